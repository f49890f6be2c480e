"""Runs main.py and kills it at a chosen moment: `killed.py KIND NUMBER`, then the arguments of main.py.

The moments of a run are its operations on files of the workdir ("file"), counted from 0, and its training
steps and evaluated batches ("batch"). A run with the number -1 is not killed; it prints its moments.
"""

import math
import os
import runpy
import signal
import sys
import threading

_OPERATIONS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Moments:
    """Counts moments, and kills this process at one of them, before the operation is done."""

    def __init__(self, kind: str, last: int):
        self.kind, self.last, self.counts = kind, last, {"file": 0, "batch": 0}
        self._lock = threading.Lock()

    def reach(self, kind: str) -> None:
        with self._lock:
            if kind == self.kind and self.counts[kind] == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.counts[kind] += 1


def main() -> None:
    kind, number, *arguments = sys.argv[1:]
    moments = Moments(kind, int(number))
    workdir = next(a.partition("=")[2] for a in arguments if a.startswith("--workdir="))

    def watch(event: str, values: tuple) -> None:
        if event == "open" and not (isinstance(values[2], int) and values[2] & _WRITES):
            return
        if event in _OPERATIONS or event == "open":
            path = values[0]
            if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(workdir):
                moments.reach("file")

    sys.path.insert(0, os.getcwd())
    sys.argv = ["main.py", *arguments]
    from big_transfer.evaluation import partial_results
    from big_transfer.run import preemption

    class Notice(preemption.Notice):
        def given(self) -> bool:
            moments.reach("batch")
            return super().given()

    preemption.Notice = Notice
    # Save the outputs of an evaluation after every batch.
    partial_results._SAVE_INTERVAL, partial_results._MAX_SAVE_SHARE = 0.0, math.inf
    sys.addaudithook(watch)
    try:
        runpy.run_path("main.py", run_name="__main__")
    finally:
        if moments.last < 0:
            print(f"moments: {moments.counts['file']} {moments.counts['batch']}")


main()
