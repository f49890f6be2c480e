"""Noticing that the run is asked to stop: SIGTERM from a scheduler, Ctrl-C from a person."""

from __future__ import annotations

import logging
import signal

import jax
from jax.experimental import multihost_utils

log = logging.getLogger("big_transfer")


class Notice:
    """Within its context, the first SIGTERM or SIGINT is noted instead of ending the process.

    A second one ends it at once. With several processes all of them stop at the same step, whichever
    got the signal: there JAX's own preemption service listens to SIGTERM.
    """

    def __init__(self):
        self._given = False
        self._previous = {}

    def __enter__(self) -> Notice:
        signals = [signal.SIGTERM, signal.SIGINT] if jax.process_count() == 1 else []
        for number in signals:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        del frame
        self._given = True
        log.warning("%s: stopping after this step.", signal.Signals(number).name)
        signal.signal(number, self._previous[number])

    def given(self, step: int) -> bool:
        """Whether to stop after this step; every process must ask at every step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._given
