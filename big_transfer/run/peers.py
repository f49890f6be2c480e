"""Watches the other processes of a run, so that a lost process ends the run with one line.

Without it, the others wait for the lost process, or end in a page of the runtime's own messages.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from types import TracebackType
from typing import Any

import jax

from big_transfer.run import aborts

log = logging.getLogger("big_transfer")

TIMEOUT = 60.0  # seconds without a sign of life after which a process counts as lost
_BEATS = 6  # signs of life within the timeout
_FOLDER = "big_transfer/alive"
_DONE, _FAILED = "done", "failed"
_CONTINUE = "This run ends; run the same command again on all processes to continue."


class PeerMonitor:
    """A context in which each process shows signs of life to the others, through process 0.

    If a process shows none, or fails, every other process logs one line and ends with status 1. Process 0
    ends last, because the runtime aborts the others as soon as it is gone.
    """

    def __init__(self, timeout: float = TIMEOUT):
        self._beat = timeout / _BEATS  # seconds
        self._timeout = timeout
        self._stopped = threading.Event()
        self._signs: dict[int, str] | None = None  # the answer of process 0, until it is judged
        self._leaving = (
            threading.Lock()
        )  # taken by the one thread that ends the watch, and never given back
        self._threads: list[threading.Thread] = []
        self._reports = contextlib.ExitStack()

    def __enter__(self) -> PeerMonitor:
        if jax.process_count() > 1:
            # Process 0 may never answer, so one thread asks and another waits.
            for task in (self._ask, self._judge):
                self._threads.append(threading.Thread(target=task, daemon=True))
                self._threads[-1].start()
            self._reports.enter_context(
                aborts.reported(
                    "Error: JAX's runtime ended this process. If its messages above speak of a connection "
                    f"or a coordination service, process 0 was lost. {_CONTINUE}"
                )
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._threads:
            return
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            # An operation over all processes failed: wait until it is known which process was lost.
            self._stopped.wait(self._timeout + 4 * self._beat)
        if not self._leaving.acquire(blocking=False):
            self._threads[1].join()  # it ends this process
        self._leave(_DONE if error is None else _FAILED)
        self._reports.close()

    def _ask(self) -> None:
        """Shows a sign of life, and asks process 0 for the signs of all, at every beat."""
        beat = 0
        while not self._stopped.wait(self._beat):
            beat += 1
            with contextlib.suppress(Exception):  # gRPC errors of several types
                _show(str(beat))
                self._signs = _signs()

    def _judge(self) -> None:
        """Ends this process if another one is lost.

        Beats are counted, not seconds, so that a machine that slept for an hour does not blame the others.
        """
        unanswered = 0
        latest = dict.fromkeys(_peers(), "")
        silent = dict.fromkeys(_peers(), 0)  # beats since the latest new sign
        while not self._stopped.wait(self._beat):
            signs, self._signs = self._signs, None
            if signs is None:
                unanswered += 1
                if unanswered > _BEATS:
                    self._end(f"process 0 has not answered for {self._timeout:.0f} seconds")
                continue
            unanswered = 0
            for peer in _peers():
                sign = signs.get(peer, "")
                if sign == _FAILED:
                    self._end(f"process {peer} failed; its own output gives the reason")
                silent[peer] = silent[peer] + 1 if sign == latest[peer] != _DONE else 0
                latest[peer] = sign
                if silent[peer] > _BEATS:
                    self._end(
                        f"process {peer} has shown no sign of life for {self._timeout:.0f} seconds"
                    )

    def _end(self, reason: str) -> None:
        if not self._leaving.acquire(blocking=False):
            return  # the run ended by itself at the same moment
        log.error("Error: %s. %s", reason, _CONTINUE)
        self._leave(_DONE)
        end_process(1)

    def _leave(self, sign: str) -> None:
        """Shows the last sign of this process; if it is process 0, waits for the others to leave.

        A thread does it, because process 0 may never answer.
        """

        self._stopped.set()

        def show_and_wait() -> None:
            self._threads[0].join()  # a sign of life must not follow the last sign
            with contextlib.suppress(Exception):  # process 0 is lost
                _show(sign)
                while jax.process_index() == 0 and not self._is_alone():
                    time.sleep(self._beat / 10)

        leaving = threading.Thread(target=show_and_wait, daemon=True)
        leaving.start()
        leaving.join(3 * self._beat)

    def _is_alone(self) -> bool:
        signs = _signs()
        return all(signs.get(peer) in (_DONE, _FAILED) for peer in _peers())


def end_process(status: int) -> None:
    """Ends this process at once: JAX's own way would wait for the lost process."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _peers() -> list[int]:
    return [process for process in range(jax.process_count()) if process != jax.process_index()]


def _show(sign: str) -> None:
    _client().key_value_set(f"{_FOLDER}/{jax.process_index()}", sign, allow_overwrite=True)


def _signs() -> dict[int, str]:
    """The latest sign of each process that has shown one."""
    found = _client().key_value_dir_get(_FOLDER)
    return {int(key.rpartition("/")[2]): sign for key, sign in found}


def _client() -> Any:
    """JAX's client of the key-value store of process 0, which JAX does not hand out."""
    from jax._src import distributed

    return distributed.global_state.client
