"""Proposals: the search of all pools beside a plain loop over them, and `propose` as a whole process.

    python benchmarks/relabelling_speed.py --models=top5.npz --data-dir=FOLDER_OF_THE_PUBLISHED_FILES

`top5.npz` has `models` (M,) and `classes` (M, 50000, k) of real models on ILSVRC-2012's validation
images. The loop tries one pool after another, with a bit mask of models for each pair. It gets 12 models,
as its time doubles with each more. Then follow the search alone for 19, 22 and 24 models, and `propose`
and `tasks` for 19, all by the first five classes. A time is the median over the rounds.
"""

from __future__ import annotations

import argparse
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels.labels import imagenet
from real_labels.predictions import Predictions
from real_labels.proposals import ExpertLabels, Pools, Proposals, Rules
from real_labels.proposals.pool_search import EverySubset

ROUNDS, TOP_K, RECALL = 5, 5, 0.9


def loop(pools: Pools) -> tuple[int, int]:
    """(size, proposals) of the smallest pool, by trying every one."""
    num_models = len(pools.proposals.models)
    weights = 1 << np.arange(num_models)
    found, always = pools.present @ weights, pools.always_found
    patterns, counts = pools.patterns
    patterns = patterns @ weights
    wanted = RECALL * pools.num_present - 1e-9
    best = (num_models + 1, 0)
    for pool in range(1, 1 << num_models):
        if np.count_nonzero(always | (found & pool > 0)) >= wanted:
            best = min(best, (pool.bit_count(), int(counts[patterns & pool > 0].sum())))
    return best


def ours(pools: Pools) -> tuple[int, int]:
    """The same by the search."""
    pool, _ = EverySubset(pools).smallest(np.ones(pools.num_present, bool), RECALL)
    return len(pool), pools.num_proposals(pool)


def timed(call, *arguments) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", required=True, help="predictions of 24 models or more (.npz)")
    parser.add_argument("--data-dir", required=True, help="folder of the published files")
    options = parser.parse_args()
    archive = np.load(options.models)
    names, classes = archive["models"], archive["classes"]
    gold_path = pathlib.Path(options.data_dir) / "golden.npz"
    gold, original = ExpertLabels.load(gold_path, 3), imagenet.original_labels()

    def pools(number: int) -> Pools:
        models = (
            (str(name), Predictions(original.file_names, one))
            for name, one in zip(names[:number], classes[:number], strict=True)
        )
        one = Pools(Proposals.of(original, models, Rules(TOP_K)), gold)
        _ = one.patterns  # computed once for both contestants
        return one

    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    twelve = pools(12)
    assert loop(twelve) == ours(twelve), (loop(twelve), ours(twelve))
    pairs = [(timed(loop, twelve), timed(ours, twelve)) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    slow, fast = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"12 models: loop {slow:.2f} s, ours {fast:.4f} s, ours is faster by {ratio:.0f}x")
    for number in (19, 22, 24):
        one = pools(number)
        print(
            f"{number} models: {statistics.median(timed(ours, one) for _ in range(ROUNDS)):.2f} s"
        )

    with tempfile.TemporaryDirectory() as folder:
        for name, one in zip(names[:19], classes[:19], strict=True):
            np.savez(f"{folder}/{name}.npz", file_names=original.file_names, classes=one)
        files = sorted(map(str, pathlib.Path(folder).glob("*.npz")))
        out = f"{folder}/proposals.csv"
        chosen = ["--gold", str(gold_path), "--gold-votes", "3"]
        for title, arguments in (
            ("propose, 19 models", ["propose", *files, "--top-k", f"{TOP_K}", "--out", out]),
            (
                "propose with gold",
                ["propose", *files, "--top-k", f"{TOP_K}", "--out", out, *chosen],
            ),
            ("tasks", ["tasks", out, "--out", f"{folder}/tasks.jsonl"]),
        ):
            command = [sys.executable, "-m", "real_labels", *arguments]
            times = [
                timed(
                    lambda c=command: subprocess.run(c, cwd=ROOT, check=True, capture_output=True)
                )
                for _ in range(3)
            ]
            print(f"{title}: {statistics.median(times):.1f} s")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20)
    print(f"most memory of these processes: {most:.2f} GiB")


if __name__ == "__main__":
    main()
