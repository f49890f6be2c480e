"""Fixtures that run main.py as a process, and one finished run that tests share."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.main.processes import TINY, finish

_WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys({without!r}))
sys.argv[0] = "main.py"
runpy.run_path("main.py", run_name="__main__")
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def start(scenes_dir, cache):
    """Starts main.py; processes that are still running at the end of the test are killed."""
    with contextlib.ExitStack() as stack:

        def launch(
            workdir,
            *arguments,
            config=TINY,
            devices=1,
            data_dir=scenes_dir,
            without=(),
            program=("main.py",),
        ):
            environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
            environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
            command = [sys.executable, *program, f"--config={config}", f"--workdir={workdir}"]
            if without:  # as if these packages were not installed
                command[1:2] = ["-c", _WITHOUT.format(without=without)]
            command += [f"--compilation_cache={cache}", *arguments]
            if config == TINY:
                command.append(f"--config.input.data_dir={data_dir}")
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(process.kill)
            return process

        yield launch


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "undisturbed"


@pytest.fixture
def finished(undisturbed, start):
    """The workdir of an uninterrupted run of 12 steps, and the output of the program."""
    if not (undisturbed / "results.json").exists():
        (undisturbed.parent / "output").write_text(finish(start(undisturbed)))
    return undisturbed, (undisturbed.parent / "output").read_text()
