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
_DONE, _FAILED = "done", "failed"
_CONTINUE = "This run ends; run the same command again on all processes to continue."


class PeerMonitor:
    """A context in which each process shows signs of life to the others, through process 0.

    If a process shows none, or fails, every other process logs one line and ends with status 1.
    """

    def __init__(self, timeout: float = TIMEOUT):
        self._timeout = timeout
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._reports = contextlib.ExitStack()

    def __enter__(self) -> PeerMonitor:
        if jax.process_count() > 1:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
            self._reports.enter_context(
                aborts.reported(f"Error: the connection to process 0 was lost. {_CONTINUE}")
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is None:
            return
        if isinstance(error, jax.errors.JaxRuntimeError):
            # An operation over all processes failed: wait until it is known which process was lost.
            self._thread.join(self._timeout * (1 + 2 / _BEATS))
        self._stopped.set()
        self._thread.join(self._timeout)
        try:
            self._show(_DONE if error is None else _FAILED)
        except Exception:  # process 0 is lost, too
            log.debug("The end of this process could not be reported.", exc_info=True)
        self._reports.close()

    def _watch(self) -> None:
        peers = {p for p in range(jax.process_count()) if p != jax.process_index()}
        signs = dict.fromkeys(peers, "")
        answered = time.monotonic()
        seen = dict.fromkeys(peers, answered)
        beat = 0
        while not self._stopped.wait(self._timeout / _BEATS):
            beat += 1
            try:
                self._show(str(beat))
                latest = {peer: _sign_of(peer) for peer in peers}
                answered = time.monotonic()
            except Exception:  # gRPC errors of several types
                if time.monotonic() - answered > self._timeout:
                    _end(f"process 0 has not answered for {self._timeout:.0f} seconds")
                continue
            now = time.monotonic()
            for peer, sign in latest.items():
                if sign == _FAILED:
                    _end(f"process {peer} failed; its own output gives the reason")
                if sign == _DONE:
                    peers.discard(peer)
                elif sign != signs[peer]:
                    signs[peer], seen[peer] = sign, now
            for peer in peers:
                if now - seen[peer] > self._timeout:
                    _end(
                        f"process {peer} has shown no sign of life for {self._timeout:.0f} seconds"
                    )

    def _show(self, sign: str) -> None:
        _client().key_value_set(_key(jax.process_index()), sign, allow_overwrite=True)


def _sign_of(process: int) -> str:
    """The latest sign of a process; "" if it has shown none yet."""
    try:
        return _client().key_value_try_get(_key(process))
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" in str(error):
            return ""
        raise


def end_process(status: int) -> None:
    """Ends this process at once: JAX's own way would wait for the lost process."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _end(reason: str) -> None:
    log.error("Error: %s. %s", reason, _CONTINUE)
    end_process(1)


def _key(process: int) -> str:
    return f"big_transfer/alive/{process}"


def _client() -> Any:
    """JAX's client of the key-value store of process 0, which JAX does not hand out."""
    from jax._src import distributed

    return distributed.global_state.client
