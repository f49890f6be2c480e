"""Helpers for tests of main.py: waiting for a process and reading its workdir."""

from __future__ import annotations

import contextlib
import os

import jax

from big_transfer import checkpoint, training
from big_transfer import config as config_lib
from tests.configs import tiny
from tests.conftest import PATIENCE

TINY = "tests/configs/tiny.py"


def finish(process, code=0) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, output
    return output


def killed(kind, number) -> tuple[str, str, str]:
    """The program that runs main.py and kills it at a moment; see killed.py."""
    return "tests/main/killed.py", kind, str(number)


def steps_saved(workdir) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(n) for n in os.listdir(workdir / "checkpoints") if n.isdigit())
    return []


def final_state(workdir, scenes_dir, step):
    """The training state of a checkpoint, as NumPy arrays."""
    config = tiny.get_config()
    config.input.data_dir = scenes_dir
    run = training.build(config_lib.check(config))
    checkpoints = checkpoint.Checkpoints(workdir)
    state = checkpoints.restore(step, run.abstract_state)
    checkpoints.close()
    return jax.device_get(state)


def wait_for_line(process, text) -> str:
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} never came:\n{seen}")
