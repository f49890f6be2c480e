"""Progress lines of training and evaluation, and the parameter overview."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import optax

log = logging.getLogger("big_transfer")

_EVALUATION_SECONDS = 10.0  # seconds between two progress lines of an evaluation


def log_overview(params: Any) -> None:
    """Logs every parameter's name, shape and size, and the total."""
    from clu import parameter_overview

    if jax.process_index() == 0:
        overview = parameter_overview.get_parameter_overview(params, include_stats=False)
        log.info("Parameters:\n%s", overview)


class Progress:
    """Reports step, metrics, speed and remaining time of training; evaluation time is not counted."""

    def __init__(self, first: int, total: int, batch_size: int, schedule: optax.Schedule):
        self._total, self._batch_size, self._schedule = total, batch_size, schedule
        self._reported_step, self._reported_at = first, time.perf_counter()
        self._first = first

    def report(self, step: int, measured: list[dict[str, float]], writer: Any) -> None:
        """Logs a progress line, and writes the same numbers to TensorBoard.

        Args:
          step: 1-based step.
          measured: metrics of each step since the last report; their means are reported.
          writer: TensorBoard writer (see `writers.make_writer`).
        """
        now = time.perf_counter()
        means = {
            name: sum(values[name] for values in measured) / len(measured) for name in measured[0]
        }
        rate = float(np.asarray(self._schedule(step - 1)))
        speed = (step - self._reported_step) * self._batch_size / max(now - self._reported_at, 1e-9)
        values = means | {"learning_rate": rate, "images_per_second": speed}
        writer.write_scalars(step, {f"train/{name}": value for name, value in values.items()})
        # The first step includes compilation, so its time does not predict the remaining time.
        is_first = step == self._first + 1
        remaining = (self._total - step) * self._batch_size / speed
        log.info(
            "step %*s/%s  loss %.4f  lr %.4g%s",
            len(f"{self._total:,}"),
            f"{step:,}",
            f"{self._total:,}",
            means["loss"],
            rate,
            f"  (compiled in {now - self._reported_at:.0f} s)"
            if is_first
            else f"  {speed:,.0f} images/s  {duration(remaining)} left",
        )
        self._reported_step, self._reported_at = step, now

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose time is not counted in the speed."""
        start = time.perf_counter()
        yield
        self._reported_at += time.perf_counter() - start


class EvaluationProgress:
    """Logs progress and speed of an evaluation; compilation time is not counted."""

    def __init__(self, first: int, total: int, telling: bool):
        """Starts the clock.

        Args:
          first: number of images evaluated before, by an earlier start.
          total: total number of images.
          telling: whether to log progress lines, at most one in 10 seconds.
        """
        self._first, self._total, self._telling = first, total, telling
        self._compiled: tuple[float, int] | None = None
        self._start = self._logged_at = self._now = time.perf_counter()
        self._done = first

    def report(self, done: int) -> None:
        """Records that `done` images are evaluated, and logs a line if it is due.

        The first call ends compilation.
        """
        self._now, self._done = time.perf_counter(), done
        if self._compiled is None:
            self._compiled = (self._now, done)
        if self._telling and self._now - self._logged_at > _EVALUATION_SECONDS:
            self._logged_at = self._now
            speed = self.images_per_second() or math.inf
            log.info(
                "%s of %s images  %s images/s  %s left",
                f"{done:,}",
                f"{self._total:,}",
                f"{speed:,.1f}" if speed < 100 else f"{speed:,.0f}",
                duration((self._total - done) / speed),
            )

    def images_per_second(self) -> float | None:
        """Returns the speed since the end of the first batch, without compilation.

        With a single batch, the speed includes compilation. None if no image was evaluated since the start.
        """
        since, before = self._compiled or (self._start, self._first)
        if self._done == before:
            since, before = self._start, self._first
        if self._done == before:
            return None
        return (self._done - before) / max(self._now - since, 1e-9)


def duration(seconds: float) -> str:
    """Formats seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
