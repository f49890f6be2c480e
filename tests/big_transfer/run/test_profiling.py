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


def test_a_trace_has_its_steps_alone(monkeypatch, tmp_path):
    """The devices finish the steps before it first, and its own steps before it ends."""
    done = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda path: done.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: done.append("stop"))
    with profiling.Profile("3:5", tmp_path) as profile:
        for step in range(1, 8):
            profile.before(step, lambda: done.append("wait"))
            done.append(step)
    assert done == [1, 2, "wait", "start", 3, 4, "wait", "stop", 5, 6, 7]


def test_a_trace_ends_with_the_run(monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda path: done.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: done.append("stop"))
    with profiling.Profile("2:100", tmp_path) as profile:
        for step in range(1, 4):
            profile.before(step, lambda: None)
    assert done == ["start", "stop"]
