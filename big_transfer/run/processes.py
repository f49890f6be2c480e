"""Joins the processes of a run on several hosts."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import socket
import time

import jax

from big_transfer.run import aborts, hardware
from real_labels.errors import ExpectedError

log = logging.getLogger("big_transfer")

_JOIN_SECONDS = 120  # that process 0 and the others wait for each other at the start
_LAUNCH_SECONDS = 300  # the same with a launcher, whose hosts may start at different times
# JAX's own check ends in a page of messages. `peers` must find a loss before it: it takes up to 11/6 of its
# timeout, until process 0 has left.
_LEAST_PATIENCE = 120  # seconds

# The variables by which JAX finds a launcher (jax/_src/clusters).
_OF_SLURM = {
    "SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"
}  # fmt: skip
_ADDRESS_OF_OPEN_MPI = "OMPI_MCA_orte_hnp_uri"
_OF_KUBERNETES = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"}


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
    if number == 1 and address is None and process in (None, 0):
        return
    given = {"coordinator_address": address, "num_processes": number, "process_id": process}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    found = launcher() if missing else None
    obstacle = _obstacle(found)
    if obstacle and found != "Cloud TPU":
        raise ProcessError(obstacle)
    if 0 < len(missing) < len(given) and (found is None or obstacle):
        present = next(f"--{name}" for name, value in given.items() if value is not None)
        raise ProcessError(
            f"{present} needs {' and '.join(missing)}, too: for process I of N, give "
            f"--coordinator_address=HOST0:PORT --num_processes=N --process_id=I."
        )
    if address is not None:
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
            raise ProcessError(
                f"--coordinator_address: expected HOST:PORT of process 0, with a port from 1 to 65535, such "
                f"as 10.0.0.1:1234; found {address!r}."
            )
    if number is not None and number < 1:
        raise ProcessError(f"--num_processes: expected 1 or more, found {number}.")
    if process is not None and not 0 <= process < (number or process + 1):
        of = "" if number is None else f" to {number - 1} with --num_processes={number}"
        raise ProcessError(f"--process_id: expected a number from 0{of}, found {process}.")


def launcher() -> str | None:
    """The launcher that started this process as one of several.

    The variables are those that JAX reads. A process that a launcher started alone is no part of a cluster;
    neither is a pod of Kubernetes outside an indexed Job.
    """
    if hardware.is_tpu_vm():
        return "Cloud TPU"
    if os.environ.get("OMPI_COMM_WORLD_SIZE", "1") != "1":
        return "Open MPI"
    if os.environ.keys() >= _OF_SLURM and os.environ["SLURM_NTASKS"] != "1":
        return "SLURM"
    if os.environ.keys() >= _OF_KUBERNETES:
        return "Kubernetes"
    return None


def _obstacle(found: str | None) -> str | None:
    """Why JAX cannot ask this launcher for the other processes; None if it can."""
    if found == "Cloud TPU" and importlib.util.find_spec("libtpu") is None:
        return "This host has TPUs, but libtpu is not installed: pip install .[tpu]"
    if found == "Open MPI" and _ADDRESS_OF_OPEN_MPI not in os.environ:
        return (
            "this version of Open MPI does not tell its processes an address: give "
            "--coordinator_address=HOST0:PORT --num_processes=$OMPI_COMM_WORLD_SIZE "
            "--process_id=$OMPI_COMM_WORLD_RANK (docs/scaling.md)."
        )
    if found == "Kubernetes" and importlib.util.find_spec("kubernetes") is None:
        return (
            "this pod is one of an indexed Job, but JAX finds the others only with a package: pip install "
            "kubernetes. To run this pod alone, give --num_processes=1."
        )
    return None


def join(
    address: str | None, number: int | None, process: int | None, peer_timeout: float = 60.0
) -> None:
    """Joins the other processes, if there are any: those of the flags, or those of a launcher.

    Args:
      address, number, process: see `check`. A launcher adds those that are None.
      peer_timeout: seconds after which `peers` counts a process as lost; the runtime waits longer.

    Raises:
      ProcessError: if the processes do not reach each other within two minutes (five with a launcher, because
        its hosts may start at different times).
    """
    if number == 1:  # also in a launcher's hands, such as independent folds
        return
    seconds = _JOIN_SECONDS
    if address is not None and number is not None and process is not None:
        who = f"the {number} processes at {address}"
        fix = (
            f"Start all {number} processes within {seconds} seconds, process 0 on the host of "
            f"--coordinator_address."
        )
        if process:
            _wait_for(address, fix)
    else:
        found = launcher()
        if found is None:
            return
        if obstacle := _obstacle(found):  # without libtpu, this host computes on its CPU
            log.warning(obstacle)
            return
        who, seconds = f"the processes that {found} started", _LAUNCH_SECONDS
        fix = (
            "Look at the output of the other processes, or name them with flags (docs/scaling.md)."
        )
        log.info("Joining %s.", who)
    failure = f"{who} could not be joined"
    with aborts.reported(f"Error: {failure} within {seconds} seconds. {fix}"):
        try:
            jax.distributed.initialize(
                address,
                number,
                process,
                initialization_timeout=seconds,
                heartbeat_timeout_seconds=max(_LEAST_PATIENCE, math.ceil(2 * peer_timeout) + 30),
            )
        # JAX, its runtime and the launchers' packages have their own types.
        except Exception as error:
            reason = str(error).strip().partition("\n")[0][:200]
            raise ProcessError(f"{failure} ({reason or type(error).__name__}). {fix}") from None


def _wait_for(address: str, fix: str) -> None:
    """Waits until process 0 answers at its address.

    Raises:
      ProcessError: if it does not within two minutes.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _JOIN_SECONDS
    is_told = False
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_JOIN_SECONDS):
                return
        except OSError as error:
            # In Kubernetes, a name is unknown until its host has started.
            reason = error.strerror or str(error)
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"process 0 does not answer at {address} ({reason}). {fix}"
                ) from None
            if not is_told:
                is_told = True
                log.info("Waiting for process 0 at %s (%s).", address, reason)
            time.sleep(0.5)
