"""Trains or evaluates a BiT ResNet.

    python main.py --config=configs/digit_scenes.py --workdir=runs/digit_scenes
    python main.py --config=configs/digit_scenes.py --workdir=runs/digit_scenes --mode=evaluate

Any field of the config can be set on the command line: --config.input.batch_size=64.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from typing import NoReturn

# TensorFlow is used only for TFDS and TensorBoard files; these settings silence its start-up messages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# --compilation_cache keeps programs that take this long to compile.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from big_transfer import config, evaluation, training
from big_transfer.evaluation import results
from big_transfer.run import hardware, memory, peers, preemption, processes
from big_transfer.run.spelling import underscored
from real_labels import files
from real_labels.errors import ExpectedError, bucket_errors_as_os_errors, printable

log = logging.getLogger("big_transfer")

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file of the experiment.", lock_config=False
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints and results; may be gs://…")
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "evaluate", "cross_validate", "features", "compile"],
    "Train, evaluate checkpoints, cross-validate, write pooled features, or compile for a TPU slice.",
)
_FOLD = flags.DEFINE_integer("fold", None, "With --mode=cross_validate: run only this fold.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address",
    None,
    "host:port of process 0, for several processes outside Cloud TPU (on Cloud TPU, JAX detects it).",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "With --coordinator_address: the number of processes."
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "With --coordinator_address: this process, from 0."
)
_PEER_TIMEOUT = flags.DEFINE_float(
    "peer_timeout",
    peers.TIMEOUT,
    "Seconds without a sign of life after which another process counts as lost, and the run ends.",
    lower_bound=1.0,
)
_CACHE = flags.DEFINE_string(
    "compilation_cache", None, "Folder that keeps compiled programs for later starts."
)

_DEBUG_NANS = flags.DEFINE_bool(
    "debug_nans", False, "Stop at the first NaN, with the operation that made it (jax_debug_nans)."
)
_DISABLE_JIT = flags.DEFINE_bool(
    "disable_jit", False, "Run operation by operation, for a debugger (jax_disable_jit)."
)
_TOPOLOGY = flags.DEFINE_string(
    "topology", None, "With --mode=compile: TPU slices, such as v5e:4x8, joined by commas."
)
_EXAMPLES = flags.DEFINE_integer(
    "examples", None, "With --mode=compile: number of training images.", lower_bound=1
)
_AREA = flags.DEFINE_float(
    "area", None, "With --mode=compile: height · width of a training image.", lower_bound=1.0
)
_JSON = flags.DEFINE_string("json", None, "With --mode=compile: file for the numbers.")

_CLEARED: list[str] = []  # fields that the command line sets to None


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    _set_up_logging()
    # SIGTERM before and after the loop is like Ctrl-C; in the loop, `preemption.Notice` handles both.
    preemption.raise_on_signals()
    try:
        # The config is checked before any device is touched, so that a mistyped field is reported at once.
        config.replace_alternatives(_CONFIG.value, _fields_given())
        config.clear(_CONFIG.value, _CLEARED)
        if _MODE.value == "compile":
            print(printable(_plan()))
            return
        checked = config.check(_CONFIG.value, training=_MODE.value in ("train", "cross_validate"))
        for name in ("topology", "examples", "area", "json"):
            if flags.FLAGS[name].value is not None:
                raise config.ConfigError(f"--{name} needs --mode=compile")
        if _FOLD.value is not None and _MODE.value != "cross_validate":
            raise config.ConfigError("--fold needs --mode=cross_validate")
        workdir = _WORKDIR.value
        if workdir is None:
            raise config.ConfigError("--workdir: is missing; give a folder, such as runs/first")
        if not workdir.strip():
            raise config.ConfigError("--workdir: is empty; give a folder, such as runs/first")
        processes.check(*_process_flags())
        files.check_reachable(workdir, "google-cloud-storage")
        _set_up_jax()
        run = {
            "train": training.train_and_evaluate,
            "evaluate": evaluation.evaluate_only,
            "cross_validate": functools.partial(training.cross_validate, only=_FOLD.value),
            "features": evaluation.write_features,
        }[_MODE.value]
        with peers.PeerMonitor(_PEER_TIMEOUT.value), bucket_errors_as_os_errors():
            record = run(checked, workdir)
    except (ExpectedError, OSError) as error:
        _exit(1, f"Error: {error}")
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _exit(1, f"Error: {memory.advice(str(error))}")
    except KeyboardInterrupt as error:
        status = 128 + next(iter(error.args), signal.SIGINT)
        _exit(status, "Interrupted. Run the same command again to continue.")
    if record is not None and jax.process_index() == 0:
        print(printable(_as_text(record)))
        log.info("All results are in %s.", _WORKDIR.value)


def _plan() -> str:
    """Compiles the config for --topology; no device and no dataset is needed."""
    if _TOPOLOGY.value is None:
        raise config.ConfigError("--mode=compile needs --topology, such as --topology=v5e:4x8")
    for name in ("fold", "debug_nans", "disable_jit"):
        if flags.FLAGS[name].present:
            raise config.ConfigError(f"--{name} has no meaning with --mode=compile")
    from big_transfer import compilation  # imported here, because no other mode needs it

    # Signals end the process at once: nothing is lost, and the compiler would not listen for minutes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    jax.config.update("jax_platforms", "cpu")  # the compiler of another platform works beside it
    _set_up_cache()
    found = compilation.plan(
        _CONFIG.value,
        _TOPOLOGY.value,
        examples=_EXAMPLES.value,
        area=_AREA.value,
        json_path=_JSON.value,
    )
    if _CACHE.value is not None:
        log.info("The compiled programs are in %s.", _CACHE.value)
    return found


def _exit(status: int, message: str) -> NoReturn:
    print(printable(message), file=sys.stderr)
    if jax.distributed.is_initialized():
        peers.end_process(status)
    sys.exit(status)


def _as_text(record: object) -> str:
    """The result of a mode as text for the terminal."""
    if isinstance(record, evaluation.Comparison):
        return results.comparison_table(record)
    return results.table(record) if isinstance(record, evaluation.Record) else f"\n{record}\n"


class _Formatter(logging.Formatter):
    """Formats log lines, with control characters such as those of a file name as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _set_up_logging() -> None:
    """Logs this project's lines to stderr; absl's info lines (clu, Orbax, TFDS) only with --verbosity=0."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    if not flags.FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.WARNING)


def _process_flags() -> tuple[str | None, int | None, int | None]:
    return _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value


def _set_up_jax() -> None:
    """Joins the other processes, if any, and sets JAX options before the first computation."""
    if not hardware.has_accelerator():
        memory.keep_freed_memory()
    jax.config.update("jax_debug_nans", _DEBUG_NANS.value)
    jax.config.update("jax_disable_jit", _DISABLE_JIT.value)
    processes.join(*_process_flags(), _PEER_TIMEOUT.value)
    _set_up_cache()
    if jax.process_index() > 0:
        log.setLevel(logging.WARNING)  # only process 0 logs progress
    kinds = sorted({device.device_kind for device in jax.devices()})
    log.info(
        "%d process(es), %d device(s): %s.",
        jax.process_count(),
        jax.device_count(),
        ", ".join(kinds),
    )


def _set_up_cache() -> None:
    if _CACHE.value is not None:
        jax.config.update("jax_compilation_cache_dir", _CACHE.value)


def _fields_given() -> list[str]:
    """Dotted names of the config fields that the command line sets."""
    return list(config_flags.get_override_values(flags.FLAGS["config"]))


def _parse_flags(arguments: list[str]) -> list[str]:
    """Parses the command line; an error ends the program with one line, without a traceback."""
    arguments = [config.current_argument(argument) for argument in underscored(arguments)]
    arguments, _CLEARED[:] = config.split_cleared(arguments)
    try:
        sys.argv = arguments  # config_flags reads them there
        return flags.FLAGS(arguments)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        names = [a.removeprefix("--").partition("=")[0] for a in arguments]
        fields = [name.removeprefix("config.") for name in names if name.startswith("config.")]
        while "Traceback" in str(error) and error.__context__ is not None:
            error = error.__context__  # absl wraps the config file's own error
        sys.exit(f"Error: {config.explain_unknown(fields) or error}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config"])
    app.run(main, flags_parser=_parse_flags)
