"""Traces of some training steps, for TensorBoard's profiler."""

from __future__ import annotations

import logging
from collections.abc import Callable

import jax
from etils import epath

log = logging.getLogger("big_transfer")


def parse(text: str) -> range | None:
    """The steps of a text START:STOP (1 <= START < STOP; STOP is not traced); None for another text."""
    start, _, stop = text.partition(":")
    if not (start.isascii() and start.isdigit() and stop.isascii() and stop.isdigit()):
        return None
    steps = range(int(start), int(stop))
    return steps if steps and steps.start >= 1 else None


class Profile:
    """A context that traces the given steps of process 0 into `profile/` in the workdir."""

    def __init__(self, text: str | None, folder: epath.PathLike, run: range):
        """Plans the trace; warns if the run has none of its steps.

        Args:
          text: steps as START:STOP; None: no trace.
          folder: the workdir.
          run: the steps that are still to be done.
        """
        steps = parse(text) if text is not None and jax.process_index() == 0 else None
        self._steps = steps or range(0)
        if steps and max(steps.start, run.start) >= min(steps.stop, run.stop):
            log.warning(
                "There is no trace: profile=%s, but the run has the steps %d to %d left.",
                text, run.start, run.stop - 1,
            )  # fmt: skip
        self._folder = epath.Path(folder) / "profile"
        self._is_tracing = False

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before(self, step: int, wait: Callable[[], object]) -> None:
        """Starts the trace before its first step.

        Args:
          step: the step that comes next, from 1.
          wait: waits until the devices have finished all steps so far, so that a trace has its steps alone.
        """
        if step in self._steps and not self._is_tracing:
            wait()
            jax.profiler.start_trace(str(self._folder))
            self._is_tracing = True

    def after(self, step: int, wait: Callable[[], object]) -> None:
        """Stops the trace after its last step, before an evaluation or a checkpoint that follows.

        Args:
          step: the step that was given to the devices.
          wait: see `before`.
        """
        if self._is_tracing and step + 1 not in self._steps:
            wait()
            self._stop()

    def _stop(self) -> None:
        if self._is_tracing:
            jax.profiler.stop_trace()
            self._is_tracing = False
            log.info("The trace is in %s; look at it with TensorBoard.", self._folder)
