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

_EVALUATION_SECONDS = 10.0  # between two lines of an evaluation


def log_overview(params: Any) -> None:
    """Logs every parameter's name, shape and size, and the total."""
    from clu import parameter_overview

    if jax.process_index() == 0:
        overview = parameter_overview.get_parameter_overview(params, include_stats=False)
        log.info("Parameters:\n%s", overview)


class Progress:
    """Reports how far a run is and how fast it goes, without the time of evaluations."""

    def __init__(self, first: int, total: int, batch_size: int, schedule: optax.Schedule):
        self._total, self._batch_size, self._schedule = total, batch_size, schedule
        self._reported, self._since = first, time.perf_counter()
        self._first = first

    def report(self, step: int, measured: list[dict[str, float]], writer: Any) -> None:
        """One line for a person, the same numbers for TensorBoard.

        Args:
          step: 1-based.
          measured: the metrics of the steps since the last report; their means are reported.
        """
        now = time.perf_counter()
        means = {
            name: sum(values[name] for values in measured) / len(measured) for name in measured[0]
        }
        rate = float(np.asarray(self._schedule(step - 1)))
        speed = (step - self._reported) * self._batch_size / max(now - self._since, 1e-9)
        values = means | {"learning_rate": rate, "images_per_second": speed}
        writer.write_scalars(step, {f"train/{name}": value for name, value in values.items()})
        # The first step's time is compilation's, no basis for a forecast.
        is_first = step == self._first + 1
        left = (self._total - step) * self._batch_size / speed
        log.info(
            "step %*s/%s  loss %.4f  lr %.4g%s",
            len(f"{self._total:,}"),
            f"{step:,}",
            f"{self._total:,}",
            means["loss"],
            rate,
            f"  (compiled in {now - self._since:.0f} s)"
            if is_first
            else f"  {speed:,.0f} images/s  {duration(left)} left",
        )
        self._reported, self._since = step, now

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The time spent within does not count against the speed."""
        begun = time.perf_counter()
        yield
        self._since += time.perf_counter() - begun


class EvaluationProgress:
    """How far an evaluation is and how fast it goes, without compilation."""

    def __init__(self, first: int, total: int, telling: bool):
        """Starts the clock.

        Args:
          first: images that were done before.
          total: images in all.
          telling: whether to log a line now and then.
        """
        self._first, self._total, self._telling = first, total, telling
        self._compiled: tuple[float, int] | None = None
        self._begun = self._told = self._now = time.perf_counter()
        self._done = first

    def report(self, done: int) -> None:
        """Notes that so many images are done."""
        self._now, self._done = time.perf_counter(), done
        if self._compiled is None:
            self._compiled = (self._now, done)
        if self._telling and self._now - self._told > _EVALUATION_SECONDS:
            self._told = self._now
            speed = self.images_per_second() or math.inf
            log.info(
                "%s of %s images  %s images/s  %s left",
                f"{done:,}",
                f"{self._total:,}",
                f"{speed:,.1f}" if speed < 100 else f"{speed:,.0f}",
                duration((self._total - done) / speed),
            )

    def images_per_second(self) -> float | None:
        """Speed since compilation; of everything where the first batch is all there is.

        None where all was done before.
        """
        since, before = self._compiled or (self._begun, self._first)
        if self._done == before:
            since, before = self._begun, self._first
        if self._done == before:
            return None
        return (self._done - before) / max(self._now - since, 1e-9)


def duration(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
