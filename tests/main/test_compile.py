"""The programs that a plan compiles are those that a run starts, so that a run takes them over."""

from __future__ import annotations

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from big_transfer import config as config_lib
from big_transfer.compilation import programs
from big_transfer.training import setup
from tests.configs import tiny
from tests.main.processes import finish


@pytest.fixture
def compiled_programs(tmp_path, monkeypatch):
    """A folder for all of JAX's compiled programs, used by this process until the test ends."""
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # for the run
    settings = {
        "jax_compilation_cache_dir": str(tmp_path / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield tmp_path / "compiled"
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.mark.parametrize("strategy", ["replicated", pytest.param("fsdp", marks=pytest.mark.long)])
def test_a_run_and_its_plan_share_compiled_programs(
    start, scenes_dir, tmp_path, compiled_programs, strategy
):
    sharding = f"--config.sharding={strategy}"
    cache = f"--compilation_cache={compiled_programs}"
    finish(start(tmp_path / "run", cache, sharding, devices=8))
    of_the_run = {path.name for path in compiled_programs.iterdir()}
    assert sum(name.startswith("jit_step-") for name in of_the_run) == 2

    config = tiny.get_config()
    config.input.data_dir, config.sharding = str(scenes_dir), strategy
    run = setup.build(config_lib.check(config))
    programs.training_program(run.config, run.mesh, run.schedule).lowered.compile()
    programs.evaluation_program(run.config, run.mesh).lowered.compile()
    new = {path.name for path in compiled_programs.iterdir()} - of_the_run
    assert not [name for name in new if name.startswith("jit_step-")]
