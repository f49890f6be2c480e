"""Ownership of a workdir: by a kernel lock on local disks, by a heartbeat elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from big_transfer.run import ownership
from big_transfer.run.workdir import WorkdirError
from tests.conftest import PATIENCE, PROJECT

_HOLDER = """
import sys, time
from big_transfer.run import ownership
with ownership.owned(sys.argv[1]):
    print("owned", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder():
    """Starts a process that owns a folder."""
    started = []

    def hold(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        started.append(process)
        assert process.stdout.readline() == "owned\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


def enter(folder):
    with ownership.owned(folder):
        pass


def test_the_second_run_is_refused_and_told_the_first(tmp_path, holder):
    process = holder(tmp_path / "run")
    with pytest.raises(WorkdirError, match=rf"is being trained in by process {process.pid} on "):
        enter(tmp_path / "run")
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    with ownership.owned(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / ownership.NAME).read_text())["pid"] == os.getpid()
    assert list((tmp_path / "run").iterdir()) == []
    enter(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()  # new empty folders are removed


def test_of_many_at_once_one_is_the_owner(tmp_path):
    inside, most, refused = [], [], []
    start = threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(50):
            try:
                with ownership.owned(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.0005)
                    inside.pop()
            except WorkdirError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) + len(refused) == 400


@pytest.fixture
def network(monkeypatch):
    """Treats folders as on a network disk, and shortens the waiting times to fractions of a second."""
    monkeypatch.setattr(ownership, "is_local", lambda _: False)
    monkeypatch.setattr(ownership, "BEAT", 0.05)
    monkeypatch.setattr(ownership, "PATIENCE", 0.6)


def owner_file(folder, **changes):
    folder.mkdir(exist_ok=True)
    record = ownership._new_record(["elsewhere"]) | {"host": "elsewhere", "beat": 7} | changes
    (folder / ownership.NAME).write_text(json.dumps(record))


def test_a_heartbeat_refuses_the_second(tmp_path, network, monkeypatch):
    with ownership.owned(tmp_path / "run") as owner:
        owner.check()
        # Another name stands for another host.
        monkeypatch.setattr(ownership.socket, "gethostname", lambda: "another")
        with pytest.raises(WorkdirError, match=f"by process {os.getpid()} on "):
            enter(tmp_path / "run")
    assert not (tmp_path / "run" / ownership.NAME).exists()


def test_without_a_heartbeat_it_is_taken_over_after_a_while(tmp_path, network):
    owner_file(tmp_path / "run")
    begun = time.monotonic()
    with ownership.owned(tmp_path / "run"):
        assert time.monotonic() - begun >= 0.6


def test_the_same_run_on_the_same_hosts_takes_over_at_once(tmp_path, network, monkeypatch):
    monkeypatch.setattr(ownership, "PATIENCE", 600)
    hosts = ownership._hosts()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for changes in ({"pid": ended.pid}, {"pid": os.getpid()}):
        owner_file(tmp_path / "run", hosts=hosts, host=hosts[0], **changes)
        enter(tmp_path / "run")


@pytest.mark.parametrize("other", [{"namespace": "pid:[1]"}, {"boot": "of another machine"}])
def test_a_host_of_the_same_name_waits_for_a_heartbeat(tmp_path, network, monkeypatch, other):
    """The owner is alive in another container or machine, where its process number has another meaning."""
    monkeypatch.setattr(ownership, "PATIENCE", 600)
    monkeypatch.setattr(ownership, "BEAT", 0.5)
    for pid in (os.getpid(), 2**22 - 1):
        changes = {**other, "pid": pid, "hosts": ownership._hosts()}
        with ownership.owned(tmp_path / "run") as owner:
            token = json.loads((tmp_path / "run" / ownership.NAME).read_text())["token"]
            owner._record |= changes | {"host": ownership._hosts()[0]}
            time.sleep(1.2)  # the next heartbeat has written the changes
            with pytest.raises(WorkdirError, match=f"by process {pid} on "):
                enter(tmp_path / "run")
            owner.check()
            assert json.loads((tmp_path / "run" / ownership.NAME).read_text())["token"] == token
    owner_file(tmp_path / "run", host=ownership._hosts()[0], **changes)  # a dead owner
    enter(tmp_path / "run")


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_file_that_cannot_be_read_for_a_moment_gives_nothing_away(
    tmp_path, network, monkeypatch, failing
):
    real, calls, this_thread = ownership._read, [], threading.get_ident()

    def read(path):
        if threading.get_ident() == this_thread:
            calls.append(path)
            if len(calls) == failing:
                raise OSError(116, "Stale file handle")
        return real(path)

    with ownership.owned(tmp_path / "run") as owner:
        monkeypatch.setattr(ownership.socket, "gethostname", lambda: "another")
        monkeypatch.setattr(ownership, "_read", read)
        with pytest.raises(WorkdirError, match="is being trained in by process"):
            enter(tmp_path / "run")
        owner.check()


def test_a_file_that_can_never_be_read_is_said(tmp_path, network):
    (tmp_path / ownership.NAME).write_text("{")
    with pytest.raises(WorkdirError, match="cannot be read .*Remove this file if no run does"):
        enter(tmp_path)


def test_of_two_heartbeats_at_once_one_stays(tmp_path, network, monkeypatch):
    """Both runs read before either has written, and one writes late."""
    monkeypatch.setattr(ownership, "BEAT", 0.3)
    write, start, late = ownership._beat, threading.Barrier(2), threading.local()

    def beat(path, record, number):
        if number == 0:
            start.wait()
            time.sleep(late.seconds)
        write(path, record, number)

    monkeypatch.setattr(ownership, "_beat", beat)
    ends = {}

    def work(name, seconds):
        late.seconds = seconds
        try:
            with ownership.owned(tmp_path) as owner:
                time.sleep(1.2)
                owner.check()
                ends[name] = "owner"
        except WorkdirError:
            ends[name] = "refused"

    threads = [threading.Thread(target=work, args=a) for a in (("a", 0.0), ("b", 0.5))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends.values()) == ["owner", "refused"]


def test_a_run_that_was_taken_over_stops(tmp_path, network):
    def watch(owner):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            owner.check()
            time.sleep(0.01)

    with ownership.owned(tmp_path / "run") as owner:
        owner_file(tmp_path / "run")
        with pytest.raises(WorkdirError, match="on elsewhere"):
            watch(owner)
    assert (tmp_path / "run" / ownership.NAME).exists()  # the file belongs to the other run


def test_a_suspended_run_leaves_the_file_of_its_successor(tmp_path, network, monkeypatch):
    monkeypatch.setattr(ownership, "BEAT", 600)  # the thread does not look again
    with ownership.owned(tmp_path / "run"):
        monkeypatch.setattr(ownership, "BEAT", 0.05)
        owner_file(tmp_path / "run")
    assert json.loads((tmp_path / "run" / ownership.NAME).read_text())["host"] == "elsewhere"


def test_which_disks_are_local(tmp_path):
    assert ownership.is_local(tmp_path) and ownership.is_local(tmp_path / "not" / "yet")
    assert not ownership.is_local("gs://bucket/run")
