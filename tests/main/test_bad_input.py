"""Bad input ends the program with one clear message."""

from __future__ import annotations

import pytest

from tests.main.processes import finish


def test_another_config_is_refused_with_what_differs(finished, start):
    output = finish(start(finished[0], "--config.seed=1", "--config.model.width=1.0"), code=1)
    assert "belongs to a run with another config" in output
    assert "seed: 0 in the workdir, 1 now" in output
    assert "model.width: 0.5 in the workdir, 1.0 now" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--config.model.dpeth=50"], "dpeth"),
        (
            ["--config.profile=5:2"],
            "profile: expected training steps as START:STOP, from 1, such as 10:15",
        ),
        (["--mode=compile"], "--mode=compile needs --topology, such as --topology=v5e:4x8"),
        (
            ["--mode=compile", "--topology=v5e"],
            "--topology: expected a chip (v4, v5e, v5p, v6e)",
        ),
        (["--topology=v5e:2x2"], "--topology needs --mode=compile"),
        (["--config.model.depth=34"], "model.depth: expected 50, 101, 152"),
        (["--config.input.batch_size=-4"], "input.batch_size: expected a whole number"),
        (["--config.input.split=tset"], "Unknown split 'tset'"),
        (["--config.num_classes=12"], "has 10 classes (original_label), but num_classes is 12"),
        (["--config.checkpoint=nowhere.npz"], "nowhere.npz: there is no such checkpoint file"),
        (["--config.optimizer.warmup_steps=12"], "optimizer.warmup_steps: expected less than"),
        (["--config.checkpoint_best=loss"], "checkpoint_best: expected one of"),
        (["--mode=evaluate"], "there is nothing to evaluate"),
        (["--mode=eval"], "flag --mode=eval: value should be one of <train|evaluate|cross_"),
        (["--config=configs/nowhere.py"], "No such file or directory: 'configs/nowhere.py'"),
        (["--config=configs/bit_transfer.py:model=R18x1"], "there is no BiT model 'R18x1'"),
        (["--config.input.dataset=cifar10_corrupted/x"], "TFDS cannot open 'cifar10_corrupted/x'"),
        (["--config.input.dataset=./nowhere"], "there is no such folder or tar of images"),
        (
            ["--config.input.split=train[50%:10%]"],
            "'train[50%:10%]' cannot be read (it ends before it begins)",
        ),
        (["--config.input.split=train[:0]"], "'train[:0]' cannot be read (it has no images)"),
        (["--num_processes=2"], "--num_processes needs --coordinator_address and --process_id"),
        (
            ["--config.init_npz=x", "--config.total_steps=many"],
            "--config.total_steps=many: invalid literal",
        ),
        (["--workdir="], "--workdir: is empty; give a folder"),
        (["--config.total_steps=many"], "--config.total_steps=many: invalid literal"),
    ],
)
def test_bad_input_gets_one_clear_message(start, tmp_path, arguments, complaint):
    process = start(tmp_path / "run", *arguments)
    output = finish(process, code=1)
    assert complaint in output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()
