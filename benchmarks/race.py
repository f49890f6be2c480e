"""A fair race: each contestant is a process of its own; they take turns, one call each per round.

So a machine whose speed drifts is equally slow to all. Speeds are medians over the rounds, ratios the
medians of the rounds' ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence


def serve(run: Callable[[], object], warm_up: int = 2) -> None:
    """A contestant's end: times one call per line of input."""
    for _ in range(warm_up):
        run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


def hold(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """Starts the contestants' processes and returns each one's seconds per round."""
    processes = {}
    for name, command in commands.items():
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # they share a GPU
        )
        for line in process.stdout:
            if line.strip() == "ready":
                break
        else:
            sys.exit(f"{name} failed; run it alone to see why:\n  {' '.join(command)}")
        processes[name] = process
    seconds: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            seconds[name].append(float(process.stdout.readline()))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return seconds


def faster(seconds: Mapping[str, Sequence[float]], ours: str, theirs: str) -> float:
    """How many times faster `ours` is than `theirs`."""
    pairs = zip(seconds[theirs], seconds[ours], strict=True)
    return statistics.median(t / o for t, o in pairs)
