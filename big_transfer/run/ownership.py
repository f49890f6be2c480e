"""A run owns its workdir: a second one that would train there is refused.

On a local disk the owner holds a kernel lock, which ends with the process, however it ends. Elsewhere (gs://,
network disks) kernel locks are not to be relied on: the owner's file has a heartbeat there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from big_transfer.run.workdir import WorkdirError
from real_labels import files

log = logging.getLogger("big_transfer")

NAME = ".owner.json"  # in the workdir
BEAT = 15.0  # seconds between two heartbeats
PATIENCE = 60.0  # seconds without one, after which an owner counts as dead
_HOST_BYTES = 256
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "lustre",
    "gpfs",
    "ceph",
    "gluster",
    "9p",
    "afs",
    "beegfs",
    "virtiofs",
    "panfs",
    "wekafs",
    "vboxsf",
    "pvfs2",
    "orangefs",
)


@contextlib.contextmanager
def owned(folder: epath.PathLike) -> Iterator[Owner]:
    """Owns a workdir while the context lasts; all processes of a run enter it together.

    Raises:
      WorkdirError: naming the owner, if another run owns it.
    """
    hosts = _hosts()
    refused, held = None, contextlib.ExitStack()
    if jax.process_index() == 0:
        try:
            owner = held.enter_context(
                _locked(pathlib.Path(folder), hosts)
                if is_local(folder)
                else _beating(epath.Path(folder), hosts)
            )
        except Exception as error:  # of any kind: the other processes must learn of it
            refused = error
    if jax.process_count() > 1:
        is_refused = multihost_utils.broadcast_one_to_all(np.array(refused is not None))
        if is_refused and refused is None:
            refused = WorkdirError(f"{folder} is owned by another run; process 0 says which.")
    if refused is not None:
        raise refused
    with held:
        yield owner if jax.process_index() == 0 else Owner()


class Owner:
    """Says whether the workdir is still owned."""

    def check(self) -> None:
        """Raises WorkdirError if another run has taken the workdir over."""


def is_local(folder: epath.PathLike) -> bool:
    """Whether a folder is on a disk of this machine alone, as far as the system tells."""
    if "://" in os.fspath(folder):
        return False
    place = os.path.realpath(os.fspath(folder))
    try:
        mounts = pathlib.Path("/proc/mounts").read_text().splitlines()
    except OSError:  # not Linux
        return True
    kinds = {}
    for line in mounts:
        _, point, kind, *_ = line.split(" ")
        kinds[point.replace("\\040", " ")] = kind
    while place not in kinds and place != "/":
        place = os.path.dirname(place)
    return not kinds.get(place, "").startswith(_NETWORK)


def _me(hosts: list[str]) -> dict[str, Any]:
    return {
        "token": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "hosts": hosts,
        "boot": _boot(),
        "namespace": _namespace(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _refusal(folder: epath.PathLike, owner: dict[str, Any]) -> WorkdirError:
    return WorkdirError(
        f"{folder} is being trained in by process {owner.get('pid', '?')} on {owner.get('host', '?')}, since "
        f"{owner.get('since', '?')}. Wait for it, end it, or give another --workdir."
    )


# ---- local disks ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(folder: pathlib.Path, hosts: list[str]) -> Iterator[Owner]:
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    file = _open_locked(path)
    if file is None:
        end = time.monotonic() + 1
        owner: dict[str, Any] = {}
        while not owner and time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                owner = _read(epath.Path(path))
            time.sleep(0.02)  # it has the lock, and is about to write its name
        raise _refusal(folder, owner)
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(_me(hosts)).encode(), 0)
        yield Owner()
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
        for place in made:  # what could not be begun leaves no trace
            with contextlib.suppress(OSError):
                place.rmdir()


def _open_locked(path: pathlib.Path) -> int | None:
    """The locked file; None if another process holds it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(file).st_ino == os.stat(path).st_ino:
                return file
        os.close(file)  # its owner has just ended, and removed it


# ---- elsewhere -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _beating(folder: epath.Path, hosts: list[str]) -> Iterator[Owner]:
    path = folder / NAME
    me = _me(hosts)
    found = _read_surely(path)
    if found and (patience := _patience(found, me)):
        log.info("%s has an owner; waiting for its heartbeat.", folder)
        if _changes(path, found, patience):
            raise _refusal(folder, found)
    begun = time.monotonic()
    _beat(path, me, 0)
    # Another run may have looked at the same moment, and write as slowly as this one.
    time.sleep(min(max(2.0, 2 * (time.monotonic() - begun)), BEAT))
    now = _read_surely(path)
    if now.get("token") != me["token"]:
        raise _refusal(folder, now)
    owner = _Beating(path, me)
    owner.start()
    try:
        yield owner
    finally:
        owner.stop()


class _Beating(Owner):
    """Writes the heartbeat until it is stopped."""

    def __init__(self, path: epath.Path, me: dict[str, Any]):
        self._path, self._me = path, me
        self._end, self._taken_by = threading.Event(), None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def check(self) -> None:
        """See `Owner.check`; looks at the file, since much may hang on it."""
        if self._taken_by is None:
            with contextlib.suppress(Exception):  # a network disk may be away for a moment
                self._look()
        if self._taken_by is not None:
            raise _refusal(self._path.parent, self._taken_by)

    def stop(self) -> None:
        """Ends, and gives the workdir back."""
        self._end.set()
        self._thread.join()
        if self._taken_by is None:
            self._path.unlink(missing_ok=True)

    def _look(self) -> None:
        now = _read(self._path)
        if now and now.get("token") != self._me["token"]:
            self._taken_by = now

    def _work(self) -> None:
        number = 0
        while not self._end.wait(BEAT):
            number += 1
            try:
                self._look()
                if self._taken_by is not None:
                    return
                _beat(self._path, self._me, number)
            except Exception as error:  # a network disk may be away for a moment
                log.warning("The heartbeat of %s is late: %s", self._path.parent, error)


def _beat(path: epath.Path, me: dict[str, Any], number: int) -> None:
    files.write_json(path, {**me, "beat": number})


def _patience(found: dict[str, Any], me: dict[str, Any]) -> float:
    """Seconds without a heartbeat after which an owner counts as dead.

    An earlier start of a run on the same hosts, whose process has ended, is dead at once. Process numbers
    mean nothing in another container: there one heartbeat is waited for.
    """
    if found.get("hosts") != me["hosts"] or found.get("host") != me["host"]:
        return PATIENCE
    if found.get("boot") != me["boot"]:
        return 0
    if found.get("namespace") != me["namespace"]:
        return min(1.5 * BEAT, PATIENCE)
    if found.get("pid") == me["pid"]:
        return 0
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return 0
    except (PermissionError, KeyError, ValueError):
        pass
    return PATIENCE


def _changes(path: epath.Path, found: dict[str, Any], patience: float) -> bool:
    """Whether an owner's file changes in that time. Clocks of different machines are not compared."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            now = _read(path)
        except Exception:  # nobody knows; a file that is replaced may be gone for a moment
            now = found
        if not now:
            return False  # it has just ended
        if now != found:
            return True
        time.sleep(min(1.0, patience / 10))
    return False


def _read(path: epath.Path) -> dict[str, Any]:
    """The owner's file; empty if there is none.

    Raises:
      OSError, ValueError, or what a bucket's library has: if it is there and cannot be read.
    """
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no owner's file")
    return found


def _read_surely(path: epath.Path) -> dict[str, Any]:
    """The same, tried for as long as an owner may be silent.

    Raises:
      WorkdirError: if it cannot be read all that time.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return _read(path)
        except Exception as error:
            if time.monotonic() > end:
                raise WorkdirError(
                    f"{path}: cannot be read ({error}), so nobody knows whether a run owns the workdir. "
                    f"Remove it if none does."
                ) from None
            time.sleep(min(1.0, PATIENCE / 10))


def _hosts() -> list[str]:
    """The hosts of all processes of the run."""
    name = socket.gethostname()
    if jax.process_count() == 1:
        return [name]
    mine = np.zeros(_HOST_BYTES, np.uint8)
    encoded = np.frombuffer(name.encode()[:_HOST_BYTES], np.uint8)
    mine[: encoded.size] = encoded
    everyones = np.asarray(multihost_utils.process_allgather(mine))
    return sorted(bytes(row).rstrip(b"\0").decode(errors="replace") for row in everyones)


def _boot() -> str:
    """Tells a machine's starts apart."""
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Tells containers apart, in which process numbers begin anew."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
