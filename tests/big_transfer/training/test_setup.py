"""The state before the first step."""

from __future__ import annotations

import jax
import numpy as np

from big_transfer import checkpoint, training
from big_transfer import config as config_lib
from tests.configs import tiny


def begun(scenes_dir, **changes):
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    for name, value in changes.items():
        config.update_from_flattened_dict({name.replace("__", "."): value})
    run = training.build(config_lib.check(config))
    return jax.device_get(training.fresh_state(run)["params"])


def test_the_heads_bias_is_the_configs_and_all_else_the_seeds(scenes_dir, tmp_path):
    zero, biased = begun(scenes_dir), begun(scenes_dir, model__head_bias=-2.2)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(zero), jax.tree.leaves(biased)):
        is_bias = jax.tree_util.keystr(path) == "['head']['conv2d']['bias']"
        np.testing.assert_array_equal(b, np.full_like(a, -2.2) if is_bias else a)
    # A new head on a checkpoint also starts at this bias; the checkpoint's own head stays unchanged.
    with_head = jax.tree.map(lambda x: x + 1, zero)
    checkpoint.save_npz(tmp_path / "BiT.npz", with_head)
    start = {"checkpoint": str(tmp_path / "BiT.npz"), "model__head_bias": -2.2}
    new, own = begun(scenes_dir, reset_head=True, **start), begun(scenes_dir, **start)
    np.testing.assert_array_equal(new["head"]["conv2d"]["bias"], np.float32(-2.2))
    assert not np.any(new["head"]["conv2d"]["kernel"])
    np.testing.assert_array_equal(
        own["head"]["conv2d"]["bias"], with_head["head"]["conv2d"]["bias"]
    )
