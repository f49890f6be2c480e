import asyncio
import gc
import json
import logging
import os
import pathlib

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from big_transfer import checkpoint, resnet
from big_transfer.run import sharding
from tests.big_transfer.test_resnet import public, random_params

MODEL = resnet.ResNetV2(depth=(1, 2), width=0.5, num_classes=5)


@pytest.fixture
def arrays():
    return public(random_params(MODEL))


def write(path, arrays):
    np.savez(path, **arrays)
    return path


def test_public_files_come_back_byte_for_byte(tmp_path, arrays):
    params = checkpoint.load_npz(write(tmp_path / "a.npz", arrays))
    images = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    assert MODEL.apply({"params": params}, images).shape == (1, 5)
    checkpoint.save_npz(tmp_path / "b.npz", params)
    with np.load(tmp_path / "b.npz") as again:
        assert sorted(again.files) == sorted(arrays)
        for name, array in arrays.items():
            assert again[name].tobytes() == array.tobytes()
            assert again[name].shape == array.shape
            assert again[name].dtype == np.float32
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "b.npz"]


def test_the_layout_is_the_published_one(arrays):
    """Names and shapes are written out here again, so that a mistake in the model's names is noticed."""
    assert {
        "resnet/root_block/standardized_conv2d/kernel": (7, 7, 3, 32),
        "resnet/block1/unit01/a/group_norm/gamma": (32,),
        "resnet/block1/unit01/a/proj/standardized_conv2d/kernel": (1, 1, 32, 128),
        "resnet/block1/unit01/b/standardized_conv2d/kernel": (3, 3, 32, 32),
        "resnet/block2/unit01/a/standardized_conv2d/kernel": (1, 1, 128, 64),
        "resnet/block2/unit02/c/group_norm/beta": (64,),
        "resnet/block2/unit02/c/standardized_conv2d/kernel": (1, 1, 64, 256),
        "resnet/group_norm/gamma": (256,),
        "resnet/head/conv2d/kernel": (1, 1, 256, 5),
        "resnet/head/conv2d/bias": (5,),
    }.items() <= {name: array.shape for name, array in arrays.items()}.items()
    # Only first units have a projection.
    assert [name for name in arrays if "proj" in name and "unit02" in name] == []
    assert len(arrays) == 1 + 3 * 9 + 2 * 1 + 2 + 2


def test_numbered_layers_are_the_same_thing(tmp_path, arrays):
    odd = {
        name.replace("a/standardized_conv2d/", "a/standardized_conv2d_17/").replace(
            "proj/standardized_conv2d/", "proj/standardized_conv2d_4/"
        ): array
        for name, array in arrays.items()
    }
    assert set(odd) != set(arrays)
    params = checkpoint.load_npz(write(tmp_path / "odd.npz", odd))
    plain = checkpoint.load_npz(write(tmp_path / "plain.npz", arrays))
    jax.tree.map(np.testing.assert_array_equal, params, plain)


def test_another_number_of_classes_gets_a_new_head_at_zero(tmp_path, arrays):
    path = write(tmp_path / "a.npz", arrays)
    params = checkpoint.load_npz(path, MODEL.clone(num_classes=3))
    assert params["head"]["conv2d"]["kernel"].shape == (1, 1, 256, 3)
    assert not params["head"]["conv2d"]["kernel"].any()
    assert params["head"]["conv2d"]["bias"].shape == (3,)
    kept = checkpoint.load_npz(path, MODEL)
    np.testing.assert_array_equal(kept["head"]["conv2d"]["bias"], arrays["resnet/head/conv2d/bias"])


def test_what_is_missing_superfluous_or_misshapen_is_named_with_its_shape(tmp_path, arrays):
    del arrays["resnet/block1/unit01/b/group_norm/gamma"]
    arrays["resnet/block1/unit01/b/extra"] = np.zeros((2, 3), np.float32)
    arrays["resnet/group_norm/beta"] = np.zeros(7, np.float32)
    with pytest.raises(checkpoint.CheckpointError) as error:
        checkpoint.load_npz(write(tmp_path / "bad.npz", arrays))
    for line in (
        "bad.npz",
        "missing resnet/block1/unit01/b/group_norm/gamma (32,)",
        "superfluous resnet/block1/unit01/b/extra (2, 3)",
        "misshapen resnet/group_norm/beta: expected (256,), found (7,)",
    ):
        assert line in str(error.value)


def test_a_file_of_another_model_does_not_fit(tmp_path, arrays):
    path = write(tmp_path / "a.npz", arrays)
    with pytest.raises(checkpoint.CheckpointError, match="missing resnet/block2/unit03"):
        checkpoint.load_npz(path, MODEL.clone(depth=(1, 3)))
    with pytest.raises(
        checkpoint.CheckpointError,
        match=r"misshapen resnet/block1/unit01/a/group_norm/beta: expected \(64,\), found \(32,\)",
    ):
        checkpoint.load_npz(path, MODEL.clone(width=1))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda p, a: p.write_bytes(p.read_bytes()[:-2000]), "cut short"),
        (lambda p, a: p.write_bytes(b"not a zip"), "is not a .npz file"),
        (lambda p, a: write(p, {"x": np.zeros(3)}), "is not a BiT checkpoint"),
        (
            lambda p, a: write(p, a | {"resnet/group_norm/beta": np.full(256, np.nan, np.float32)}),
            "resnet/group_norm/beta holds NaN",
        ),
        (
            lambda p, a: write(
                p, a | {"resnet/root_block/standardized_conv2d_1/kernel": np.zeros((7, 7, 3, 32))}
            ),
            "two arrays have the name resnet/root_block",
        ),
    ],
)
def test_spoilt_files_are_named(tmp_path, arrays, spoil, complaint):
    path = write(tmp_path / "spoilt.npz", arrays)
    spoil(path, arrays)
    with pytest.raises(checkpoint.CheckpointError, match=complaint) as error:
        checkpoint.load_npz(path)
    assert "spoilt.npz" in str(error.value)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        checkpoint.load_npz("nowhere.npz")


# ---- checkpoints of a run -----------------------------------------------------------------------


def state(value):
    tree = {
        "params": {"w": jnp.full((40, 30), value), "b": jnp.arange(7.0) + value},
        "step": jnp.int32(value),
    }
    return jax.device_put(tree, sharding.replicated(sharding.make_mesh()))


def saved(folder, steps, **options):
    checkpoints = checkpoint.Checkpoints(folder, **options)
    for step in steps:
        checkpoints.save(step, state(step), {"real/top1": [0.1, 0.9, 0.3, 0.2, 0.4][step - 1]})
    checkpoints.wait()
    return checkpoints


def test_the_last_few_and_the_best_stay(tmp_path):
    checkpoints = saved(tmp_path / "last", range(1, 6), keep=2)
    assert checkpoints.steps() == [4, 5]
    checkpoints.close()
    checkpoints = saved(tmp_path / "best", range(1, 6), keep=2, best_metric="real/top1")
    assert checkpoints.steps() == [2, 4, 5]
    step, restored = checkpoints.restore_latest(state(0))
    assert step == 5
    jax.tree.map(np.testing.assert_array_equal, restored, state(5))
    checkpoints.close()


def test_nothing_saved_is_nothing_restored(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    assert checkpoints.restore_latest(state(0)) is None
    checkpoints.close()


def data_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files that hold arrays, the largest first."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name == "d"]
    return sorted(files, key=lambda path: -path.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scramble(path):
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [truncate, scramble, remove, empty])
def test_a_corrupt_checkpoint_is_skipped_with_a_warning(tmp_path, caplog, monkeypatch, spoil):
    monkeypatch.setattr(logging.getLogger("big_transfer"), "propagate", True)
    saved(tmp_path, [1, 2, 3], keep=3).close()
    for path in data_files(tmp_path / "checkpoints" / "3"):
        spoil(path)
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=3)
    step, restored = checkpoints.restore_latest(state(0))
    assert step == 2
    jax.tree.map(np.testing.assert_array_equal, restored, state(2))
    assert "Skipping a corrupt checkpoint" in caplog.text
    assert str(tmp_path / "checkpoints" / "3") in caplog.text
    # Nothing is lost, and step 3 can be saved again.
    assert (tmp_path / "corrupt_checkpoints" / "3").is_dir()
    checkpoints.save(3, state(30))
    checkpoints.wait()
    assert int(checkpoints.restore(3, state(0))["step"]) == 30
    checkpoints.close()


def test_reads_that_fail_later_print_no_traceback(tmp_path, caplog):
    """One of many reads of a damaged checkpoint raises; asyncio may report the other failed reads later."""
    saved(tmp_path, [1], keep=3).close()
    for path in data_files(tmp_path / "checkpoints" / "1"):
        truncate(path)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    with pytest.raises(checkpoint.CorruptCheckpointError):
        checkpoints.restore(1, state(0))
    checkpoints.close()

    async def read():
        raise ValueError("OUT_OF_RANGE")

    loop = asyncio.new_event_loop()
    task = loop.create_task(read())
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    del task
    gc.collect()
    assert "OUT_OF_RANGE" not in caplog.text


def test_a_changed_bit_is_noticed(tmp_path):
    """The file format does not detect changed values with a valid encoding; the fingerprint does."""
    saved(tmp_path, [1], keep=3).close()
    record = tmp_path / "checkpoints" / "1" / "fingerprint" / "metadata"
    fingerprint = json.loads(record.read_text())
    fingerprint["params/b"] ^= 1
    record.write_text(json.dumps(fingerprint))
    checkpoints = checkpoint.Checkpoints(tmp_path)
    with pytest.raises(
        checkpoint.CheckpointError, match="values of 1 arrays differ from the saved ones"
    ):
        checkpoints.restore(1, state(0))
    checkpoints.close()


def test_fingerprints_tell_values_places_and_signs_apart():
    base = state(3)
    prints = [checkpoint.fingerprint(base)]
    for change in (
        lambda b: b.at[0].set(b[1]).at[1].set(b[0]),
        lambda b: b.at[2].add(1e-6),
        lambda b: -b,
    ):
        changed = {**base, "params": {**base["params"], "b": change(base["params"]["b"])}}
        prints.append(checkpoint.fingerprint(changed))
    assert len({tuple(p.values()) for p in prints}) == 4
    flat = flax.traverse_util.flatten_dict(base)
    assert len(prints[0]) == len(flat)


def test_a_half_written_checkpoint_is_none(tmp_path):
    saved(tmp_path, [1, 2], keep=3).close()
    complete = tmp_path / "checkpoints" / "2"
    # A killed process leaves Orbax's temporary folder, which was never renamed.
    complete.rename(tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp-7")
    checkpoints = checkpoint.Checkpoints(tmp_path)
    assert checkpoints.restore_latest(state(0))[0] == 1
    checkpoints.save(2, state(2))
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]
    checkpoints.close()


def test_the_best_stays_after_the_run_was_resumed(tmp_path):
    saved(tmp_path, [1, 2, 3], keep=1, best_metric="real/top1").close()
    checkpoints = saved(tmp_path, [4, 5], keep=1, best_metric="real/top1")
    assert checkpoints.steps() == [2, 5]
    checkpoints.close()


def test_another_model_is_not_taken_for_corruption(tmp_path):
    saved(tmp_path, [1, 2], keep=3).close()
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=3)
    other = state(0)
    other["params"]["w"] = jax.device_put(jnp.zeros((4, 4)), other["step"].sharding)
    with pytest.raises(
        checkpoint.CheckpointError, match=r"params/w: expected \(4, 4\), found \(40, 30\)"
    ):
        checkpoints.restore_latest(other)
    assert checkpoints.steps() == [1, 2]
    checkpoints.close()


def test_nothing_but_corruption_is_an_error_and_stays_where_it_is(tmp_path):
    saved(tmp_path, [1, 2], keep=3).close()
    for step in ("1", "2"):
        for path in data_files(tmp_path / "checkpoints" / step):
            truncate(path)
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=3)
    with pytest.raises(checkpoint.CheckpointError, match="none of the 2 checkpoints"):
        checkpoints.restore_latest(state(0))
    assert checkpoints.steps() == [1, 2]
    checkpoints.close()
