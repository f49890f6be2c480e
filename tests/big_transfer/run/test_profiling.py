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
    with profiling.Profile(text, folder, steps) as profile:
        for step in steps:
            profile.before(step, lambda: done.append("wait"))
            done.append(step)
            profile.after(step, lambda: done.append("wait"))
            done.append("rest")


def test_a_trace_has_its_steps_alone(done, tmp_path):
    """The devices finish the steps before it first, and its own before it ends; an evaluation comes later."""
    run(range(1, 7), "3:5", tmp_path, done)
    before, traced = [1, "rest", 2, "rest", "wait", "start"], [3, "rest", 4, "wait", "stop", "rest"]
    assert done == [*before, *traced, 5, "rest", 6, "rest"]


def test_a_trace_ends_with_the_run(done, tmp_path):
    run(range(1, 4), "2:100", tmp_path, done)
    assert done == [1, "rest", "wait", "start", 2, "rest", 3, "rest", "stop"]


def test_a_run_without_its_steps_says_so(done, tmp_path, caplog):
    run(range(10, 13), "3:5", tmp_path, done)
    assert "profile=3:5, but the run has the steps 10 to 12 left" in caplog.text
    assert "start" not in done
