"""Traces of training steps."""

from __future__ import annotations

import jax
import pytest

from big_transfer.run import profiling


@pytest.mark.parametrize(
    "text", ["", "5", "5:5", "6:5", "0:3", "-1:2", "1:2:3", "a:b", "²:3", "1.0:2"]
)
def test_other_texts_are_no_steps(text):
    assert profiling.parse(text) is None


@pytest.fixture
def done(monkeypatch):
    """What the profiler and the run have done, in order."""
    events = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda path: events.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: events.append("stop"))
    return events


def run(steps, text, folder, done):
    with profiling.Profile(text, folder) as profile:
        for step in steps:
            profile.before(step, lambda: done.append("wait"))
            done.append(step)


def test_a_trace_has_its_steps_alone(done, tmp_path):
    """The devices finish the steps before it first, and its own steps before it ends."""
    run(range(1, 8), "3:5", tmp_path, done)
    assert done == [1, 2, "wait", "start", 3, 4, "wait", "stop", 5, 6, 7]


def test_a_trace_ends_with_the_run(done, tmp_path):
    run(range(1, 4), "2:100", tmp_path, done)
    assert done == [1, "wait", "start", 2, 3, "stop"]
