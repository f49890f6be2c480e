"""Workdirs of an earlier version can be continued, with the results of the earlier version."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from big_transfer import config as config_lib
from big_transfer.config import workdirs
from big_transfer.run import workdir
from real_labels import Predictions
from tests import recorded
from tests.configs import tiny
from tests.main.processes import finish, steps_saved


@pytest.fixture
def earlier(tmp_path, scenes_dir):
    """A workdir of an earlier version, after 6 of 12 steps."""
    folder = recorded.unpack("workdir.tar.gz", tmp_path / "earlier")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("DATA_DIR", scenes_dir))
    shutil.move(folder / "end", tmp_path / "end")
    return folder, tmp_path / "end"


def test_an_earlier_run_resumes_and_ends_as_it_did(earlier, start):
    folder, end = earlier
    output = finish(start(folder))
    assert f"Resuming from {folder}/checkpoints/6" in output
    assert steps_saved(folder)[-1] == 12
    ours, theirs = (Predictions.load(one / "predictions.npz") for one in (folder, end))
    np.testing.assert_array_equal(ours.file_names, theirs.file_names)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-3, atol=1e-5)
    before, after = (json.loads((one / "results.json").read_text()) for one in (end, folder))
    for record in (before, after):
        record.pop("images_per_second")
    if np.array_equal(ours.classes, theirs.classes):  # as on the processor that recorded it
        before["loss"] = after["loss"] = pytest.approx(before["loss"], rel=1e-4)
        assert recorded.differences(before, after) == []
    for name in ("original", "real"):
        for top in ("top1", "top5"):
            assert after[name][top]["n"] == before[name][top]["n"]
            assert abs(after[name][top]["value"] - before[name][top]["value"]) < 0.05
    assert after["original_labels"] == before["original_labels"]
    assert set(before) < set(after)


def test_an_earlier_result_is_shown_and_evaluated(earlier, start):
    folder, end = earlier
    finish(start(folder))
    shutil.copy(end / "results.json", folder)  # without "label_sets"
    output = finish(start(folder))
    assert "is done: 12 of 12 steps" in output
    assert "ReaL labels" in output and "original labels scored on ReaL" in output
    record = json.loads((end / "results.json").read_text())
    assert f"{100 * record['real']['top1']['value']:.2f}%" in output
    assert "ReaL labels" in finish(start(folder, "--mode=evaluate"))


def test_a_field_that_a_recorded_config_lacks_has_its_default(earlier, scenes_dir):
    folder, _ = earlier
    recorded_fields = json.loads((folder / "config.json").read_text())
    assert "units" not in recorded_fields["model"] and "depth" in recorded_fields["model"]
    del recorded_fields["checkpoint_keep"], recorded_fields["optimizer"]["momentum"]
    (folder / "config.json").write_text(json.dumps(recorded_fields))
    config = tiny.get_config()
    config.input.data_dir = scenes_dir

    def check(**changes):
        changed = config.copy_and_resolve_references()
        changed.update(changes)
        workdirs.check_belongs(folder, config_lib.check(changed))

    check()
    check(checkpoint_keep=3)
    with pytest.raises(workdir.WorkdirError, match="checkpoint_keep: 3 in the workdir, 8 now"):
        check(checkpoint_keep=8)


def test_a_run_that_recorded_steps_and_epochs_goes_on(earlier, scenes_dir):
    folder, _ = earlier
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"total_epochs": 90.0}))
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    workdirs.check_belongs(folder, config_lib.check(config))


def test_folds_of_an_earlier_version_are_like_those_of_today(earlier, tmp_path, scenes_dir):
    folder, _ = earlier
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    workdir.claim(tmp_path / "today", dataclasses.asdict(config_lib.check(config)))
    both = (workdirs.with_defaults(workdirs.recorded(f)) for f in (folder, tmp_path / "today"))
    assert workdir.differences(*both) == []


def test_renamed_fields_are_read_under_their_earlier_names(earlier, scenes_dir):
    folder, _ = earlier
    fields = json.loads((folder / "config.json").read_text())
    fields["init_npz"] = "BiT-M-R50x1.npz"
    (folder / "config.json").write_text(json.dumps(fields))
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    with pytest.raises(workdir.WorkdirError) as error:
        workdirs.check_belongs(folder, config_lib.check(config))
    assert str(error.value).count("in the workdir, ") == 1
    assert 'checkpoint: "BiT-M-R50x1.npz" in the workdir, null now' in str(error.value)
    config.checkpoint = "BiT-M-R50x1.npz"
    workdirs.check_belongs(folder, config_lib.check(config))
    config.model.units = (2,)
    with pytest.raises(
        workdir.WorkdirError, match=r"model\.units: \[1\] in the workdir, \[2\] now"
    ):
        workdirs.check_belongs(folder, config_lib.check(config))
