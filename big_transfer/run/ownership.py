"""A run owns its workdir: a second run that would train there is refused.

On a local disk the owner holds a kernel lock, which the kernel releases when the process ends for any reason.
Elsewhere (gs://, network disks) kernel locks are unreliable; there the owner updates its file as a heartbeat.
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
PATIENCE = 60.0  # seconds without a heartbeat after which an owner counts as dead
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
    """Owns a workdir within this context; all processes of a run enter it together.

    Raises:
      WorkdirError: if another run owns the workdir; the message names the owner.
    """
    hosts = _hosts()
    failure, ownership = None, contextlib.ExitStack()
    if jax.process_index() == 0:
        try:
            owner = ownership.enter_context(
                _locked(pathlib.Path(folder), hosts)
                if is_local(folder)
                else _beating(epath.Path(folder), hosts)
            )
        except Exception as error:  # any type: the other processes must learn of the failure
            failure = error
    if jax.process_count() > 1:
        has_failed = multihost_utils.broadcast_one_to_all(np.array(failure is not None))
        if has_failed and failure is None:
            failure = WorkdirError(
                f"{folder} cannot be owned by this run; the error of process 0 gives the reason."
            )
    if failure is not None:
        raise failure
    with ownership:
        yield owner if jax.process_index() == 0 else Owner()


class Owner:
    """Checks whether this run still owns the workdir; with a kernel lock, it always does."""

    def check(self) -> None:
        """Raises WorkdirError if another run has taken over the workdir."""


def is_local(folder: epath.PathLike) -> bool:
    """Whether a folder is on a local disk: neither gs:// nor a network file system in /proc/mounts."""
    if "://" in os.fspath(folder):
        return False
    path = os.path.realpath(os.fspath(folder))
    try:
        mounts = pathlib.Path("/proc/mounts").read_text().splitlines()
    except OSError:  # not Linux
        return True
    file_systems = {}
    for line in mounts:
        _, mount_point, file_system, *_ = line.split(" ")
        file_systems[mount_point.replace("\\040", " ")] = file_system
    while path not in file_systems and path != "/":
        path = os.path.dirname(path)
    return not file_systems.get(path, "").startswith(_NETWORK)


def _new_record(hosts: list[str]) -> dict[str, Any]:
    """Returns the content of the owner's file for this process."""
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
        f"{owner.get('since', '?')}. Wait for this process, end it, or set another --workdir."
    )


# ---- local disks ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(folder: pathlib.Path, hosts: list[str]) -> Iterator[Owner]:
    new_folders = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    file = _open_locked(path)
    if file is None:
        end = time.monotonic() + 1
        owner: dict[str, Any] = {}
        while not owner and time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                owner = _read(epath.Path(path))
            time.sleep(0.02)  # the owner has the lock, but may not have written its file yet
        raise _refusal(folder, owner)
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(_new_record(hosts)).encode(), 0)
        yield Owner()
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
        for new_folder in new_folders:  # remove empty folders if the run failed to start
            with contextlib.suppress(OSError):
                new_folder.rmdir()


def _open_locked(path: pathlib.Path) -> int | None:
    """Opens and locks the file; returns its descriptor, or None if another process holds the lock."""
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
        os.close(file)  # its owner has just ended and removed the file


# ---- elsewhere -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _beating(folder: epath.Path, hosts: list[str]) -> Iterator[Owner]:
    path = folder / NAME
    record = _new_record(hosts)
    earlier = _read_with_retries(path)
    if earlier and (patience := _patience(earlier, record)):
        log.info("%s has an owner; waiting for its heartbeat.", folder)
        if _changes(path, earlier, patience):
            raise _refusal(folder, earlier)
    start = time.monotonic()
    _beat(path, record, 0)
    # Another run may have read the file at the same moment, and may write as slowly as this run.
    time.sleep(min(max(2.0, 2 * (time.monotonic() - start)), BEAT))
    current = _read_with_retries(path)
    if current.get("token") != record["token"]:
        raise _refusal(folder, current)
    owner = _Beating(path, record)
    owner.start()
    try:
        yield owner
    finally:
        owner.stop()


class _Beating(Owner):
    """An owner that writes a heartbeat in a thread until `stop` is called."""

    def __init__(self, path: epath.Path, record: dict[str, Any]):
        self._path, self._record = path, record
        self._end, self._taken_by = threading.Event(), None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def check(self) -> None:
        """See `Owner.check`; reads the owner's file instead of relying on the last heartbeat."""
        if self._taken_by is None:
            with contextlib.suppress(Exception):  # a network disk may be unavailable for a moment
                self._look()
        if self._taken_by is not None:
            raise _refusal(self._path.parent, self._taken_by)

    def stop(self) -> None:
        """Ends the thread and releases the workdir."""
        self._end.set()
        self._thread.join()
        with contextlib.suppress(Exception):  # a network disk may be unavailable for a moment
            self._look()  # after a suspension of this process, the file may be another run's
        if self._taken_by is None:
            self._path.unlink(missing_ok=True)

    def _look(self) -> None:
        current = _read(self._path)
        if current and current.get("token") != self._record["token"]:
            self._taken_by = current

    def _work(self) -> None:
        number = 0
        while not self._end.wait(BEAT):
            number += 1
            try:
                self._look()
                if self._taken_by is not None:
                    return
                _beat(self._path, self._record, number)
            except Exception as error:  # a network disk may be unavailable for a moment
                log.warning(
                    "The heartbeat in %s failed and will be retried: %s", self._path.parent, error
                )


def _beat(path: epath.Path, record: dict[str, Any], number: int) -> None:
    files.write_json(path, {**record, "beat": number})


def _patience(earlier: dict[str, Any], record: dict[str, Any]) -> float:
    """Returns the seconds without a heartbeat after which an earlier owner counts as dead.

    0 for an earlier start on the same hosts whose process has ended. Process numbers of another container, or
    of another start of the machine, cannot be compared, and another machine may have the same name; so there
    the wait is 1.5 intervals between heartbeats.
    """
    if earlier.get("hosts") != record["hosts"] or earlier.get("host") != record["host"]:
        return PATIENCE
    if any(earlier.get(name) != record[name] for name in ("boot", "namespace")):
        return min(1.5 * BEAT, PATIENCE)
    if earlier.get("pid") == record["pid"]:
        return 0
    try:
        os.kill(int(earlier["pid"]), 0)
    except ProcessLookupError:
        return 0
    except (PermissionError, KeyError, ValueError):
        pass
    return PATIENCE


def _changes(path: epath.Path, earlier: dict[str, Any], patience: float) -> bool:
    """Whether the owner's file changes within `patience` seconds; uses only this machine's clock."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            current = _read(path)
        except Exception:  # unknown; a file that is being replaced may be missing for a moment
            current = earlier
        if not current:
            return False  # the owner has just ended
        if current != earlier:
            return True
        time.sleep(min(1.0, patience / 10))
    return False


def _read(path: epath.Path) -> dict[str, Any]:
    """Reads the owner's file; an empty dict if the file does not exist.

    Raises:
      OSError, ValueError, or an error of the bucket's library: if the file exists and cannot be read.
    """
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    if not isinstance(record, dict):
        raise ValueError(f"{path} is not an owner's file")
    return record


def _read_with_retries(path: epath.Path) -> dict[str, Any]:
    """Reads the owner's file like `_read`, and retries for PATIENCE seconds.

    Raises:
      WorkdirError: if every attempt fails.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return _read(path)
        except Exception as error:
            if time.monotonic() > end:
                raise WorkdirError(
                    f"{path}: cannot be read ({error}), so it is unknown whether a run owns the workdir. "
                    f"Remove this file if no run does."
                ) from None
            time.sleep(min(1.0, PATIENCE / 10))


def _hosts() -> list[str]:
    """Returns the host names of all processes of the run, sorted."""
    name = socket.gethostname()
    if jax.process_count() == 1:
        return [name]
    own_name = np.zeros(_HOST_BYTES, np.uint8)
    encoded = np.frombuffer(name.encode()[:_HOST_BYTES], np.uint8)
    own_name[: encoded.size] = encoded
    all_names = np.asarray(multihost_utils.process_allgather(own_name))
    return sorted(bytes(row).rstrip(b"\0").decode(errors="replace") for row in all_names)


def _boot() -> str:
    """Returns the id of this boot of the machine; "" if unknown."""
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Returns the id of the PID namespace, which differs between containers; "" if unknown."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
