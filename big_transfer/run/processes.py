"""Joins the processes of a run on several hosts."""

from __future__ import annotations

import importlib.util
import logging
import socket
import time

import jax

from big_transfer.run import aborts, hardware
from real_labels.errors import ExpectedError

log = logging.getLogger("big_transfer")

_JOIN_SECONDS = 120  # that process 0 and the others wait for each other at the start
# JAX's own check ends in a page of messages, so `peers` must find a loss before it.
_RUNTIME_PATIENCE = 120  # seconds


class ProcessError(ExpectedError, RuntimeError):
    """The processes of a run were named wrongly, or cannot reach each other."""


def check(address: str | None, number: int | None, process: int | None) -> None:
    """Checks the flags that name the processes of a run, before any process is started.

    Args:
      address: HOST:PORT of process 0, from --coordinator_address.
      number: of processes, from --num_processes.
      process: this process, from --process_id.

    Raises:
      ProcessError: if one is missing or unusable.
    """
    given = {"coordinator_address": address, "num_processes": number, "process_id": process}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return
    if missing:
        present = next(f"--{name}" for name, value in given.items() if value is not None)
        raise ProcessError(
            f"{present} needs {' and '.join(missing)}, too: for process I of N, give "
            f"--coordinator_address=HOST0:PORT --num_processes=N --process_id=I."
        )
    assert address is not None and number is not None and process is not None
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ProcessError(
            f"--coordinator_address: expected HOST:PORT of process 0, with a port from 1 to 65535, such as "
            f"10.0.0.1:1234; found {address!r}."
        )
    if number < 1 or not 0 <= process < number:
        raise ProcessError(
            f"--process_id: expected a number from 0 to {max(number, 1) - 1} with --num_processes={number}, "
            f"found {process}."
        )


def join(address: str | None, number: int | None, process: int | None) -> None:
    """Joins the other processes, if there are any: those of the flags, or the hosts of a TPU slice.

    Args:
      address, number, process: see `check`.

    Raises:
      ProcessError: if the processes do not reach each other within two minutes.
    """
    if address is not None:
        fix = (
            f"Start all {number} processes within {_JOIN_SECONDS} seconds, process 0 on the host of "
            f"--coordinator_address."
        )
        if process:
            _wait_for(address, fix)
        with aborts.reported(f"Error: the {number} processes did not meet at {address}. {fix}"):
            try:
                jax.distributed.initialize(
                    address,
                    number,
                    process,
                    initialization_timeout=_JOIN_SECONDS,
                    heartbeat_timeout_seconds=_RUNTIME_PATIENCE,
                )
            except (RuntimeError, ValueError) as error:
                reason = str(error).strip().partition("\n")[0][:200]
                raise ProcessError(
                    f"process {process} could not join the others at {address} ({reason}). {fix}"
                ) from None
    elif hardware.is_tpu_vm():
        if importlib.util.find_spec("libtpu") is None:
            log.warning("This host has TPUs, but libtpu is not installed: pip install .[tpu]")
        else:
            jax.distributed.initialize()  # JAX finds the other hosts of the TPU slice


def _wait_for(address: str, fix: str) -> None:
    """Waits until process 0 answers at its address.

    Raises:
      ProcessError: if it does not within two minutes.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _JOIN_SECONDS
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_JOIN_SECONDS):
                return
        except OSError as error:
            if time.monotonic() > deadline or isinstance(error, socket.gaierror):
                raise ProcessError(
                    f"process 0 does not answer at {address} ({error.strerror or error}). {fix}"
                ) from None
            time.sleep(0.5)
