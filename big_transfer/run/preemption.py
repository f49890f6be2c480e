"""Requests to stop a run: SIGTERM from a scheduler, or Ctrl-C from a user."""

from __future__ import annotations

import itertools
import logging
import signal

import jax
from jax.experimental import multihost_utils

log = logging.getLogger("big_transfer")

_interrupted: list[int] = []  # signals outside a Notice


def raise_on_signals() -> None:
    """Lets SIGTERM and SIGINT raise KeyboardInterrupt, with the number of the signal.

    A library may catch that exception: a Notice that begins later raises it again.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    del frame
    _interrupted.append(number)
    raise KeyboardInterrupt(number)


class Notice:
    """A context in which the first SIGTERM or SIGINT is recorded instead of ending the process.

    A second signal ends the process at once. With several processes, JAX's preemption service handles
    SIGTERM: all processes stop at the same call of `given`, whichever process received the signal.

    A Notice within another shares its request, so that a request in one part of a command, such as the
    training of a fold, also ends the parts that follow.
    """

    _outermost: Notice | None = None
    # One count for all Notices: JAX chooses a later number as the call at which all processes stop.
    _calls = itertools.count()

    def __init__(self):
        self._received = False
        self._previous = {}

    def __enter__(self) -> Notice:
        if _interrupted:
            raise KeyboardInterrupt(_interrupted.pop())
        if Notice._outermost is None:
            for number in [signal.SIGTERM, signal.SIGINT] if jax.process_count() == 1 else []:
                self._previous[number] = signal.signal(number, self._note)
            Notice._outermost = self
        return self

    def __exit__(self, *_) -> None:
        if Notice._outermost is self:
            Notice._outermost = None
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        del frame
        self._received = True
        log.warning("Received %s: stopping after this step.", signal.Signals(number).name)
        signal.signal(number, self._previous[number])

    def given(self) -> bool:
        """Whether to stop now; every process must call this after every step and evaluated batch."""
        notice = Notice._outermost or self
        if jax.process_count() > 1 and not notice._received:
            notice._received = multihost_utils.reached_preemption_sync_point(next(self._calls))
        return notice._received
