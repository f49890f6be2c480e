"""Races between programs: each runs in its own process, and they take turns, one call per round.

So a drift of the machine's speed affects all contestants equally. A speed is the median over the rounds; a
ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence


def serve(run: Callable[[], object], warm_up: int = 2) -> None:
    """Runs in a contestant's process: prints "ready", then times one call of `run` per line of input."""
    for _ in range(warm_up):
        run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


def hold(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """Starts the contestants' processes; returns the seconds of each contestant in each round."""
    processes = {}
    for name, command in commands.items():
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ
            | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # the contestants share a GPU
        )
        for line in process.stdout:
            if line.strip() == "ready":
                break
        else:
            sys.exit(f"{name} failed. To see its error, run it alone:\n  {' '.join(command)}")
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


def faster(seconds: Mapping[str, Sequence[float]], ours: str, other: str) -> float:
    """How many times faster `ours` is than `other`: the median of the rounds' ratios."""
    pairs = zip(seconds[other], seconds[ours], strict=True)
    return statistics.median(t / o for t, o in pairs)
