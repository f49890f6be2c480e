"""Requests to stop a run."""

from __future__ import annotations

import contextlib
import signal

import pytest

from big_transfer.run import preemption


@pytest.fixture
def handlers(monkeypatch):
    monkeypatch.setattr(preemption, "_interrupted", [])
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    preemption.raise_on_signals()
    yield
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_that_a_library_catches_is_raised_again(handlers, number):
    with contextlib.suppress(KeyboardInterrupt):  # the library
        signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt) as raised, preemption.Notice():
        pass
    assert raised.value.args == (number,)
    with preemption.Notice() as notice:
        assert not notice.given()


def test_the_calls_of_several_processes_are_counted_over_all_notices(monkeypatch):
    """The processes agree on a later call; with a count that begins again, this call may never come."""
    calls = []
    monkeypatch.setattr(preemption.jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        preemption.multihost_utils, "reached_preemption_sync_point", lambda n: calls.append(n)
    )
    for _ in range(3):
        with preemption.Notice() as notice:
            notice.given()
            notice.given()
    assert len(calls) == 6 and calls == list(range(calls[0], calls[0] + 6))


def test_a_request_ends_all_parts_of_a_command(handlers):
    with preemption.Notice():
        with preemption.Notice() as training:
            signal.raise_signal(signal.SIGTERM)
            assert training.given()
        with preemption.Notice() as prediction:
            assert prediction.given()
    with preemption.Notice() as another_command:
        assert not another_command.given()


def test_the_call_at_which_all_processes_stop_is_remembered(monkeypatch):
    """JAX says yes at one call only, which may be the last of a loop."""
    calls = []

    def reached(number):
        calls.append(number)
        return len(calls) == 2

    monkeypatch.setattr(preemption.jax, "process_count", lambda: 2)
    monkeypatch.setattr(preemption.multihost_utils, "reached_preemption_sync_point", reached)
    with preemption.Notice() as notice:
        assert [notice.given() for _ in range(4)] == [False, True, True, True]
        with preemption.Notice() as next_part:
            assert next_part.given()
    assert len(calls) == 2


def test_the_first_signal_is_noted_and_the_second_interrupts(handlers):
    with preemption.Notice() as notice:
        signal.raise_signal(signal.SIGINT)
        assert notice.given()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
