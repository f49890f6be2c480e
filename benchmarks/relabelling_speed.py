"""Speed of proposals: the search of all pools beside a plain loop over the pools; `propose` as a process.

    python benchmarks/relabelling_speed.py --models=top5.npz --data-dir=FOLDER_OF_THE_PUBLISHED_FILES

`top5.npz` has `models` (M,) and `classes` (M, 50000, k) of real models on ILSVRC-2012's validation
images. The loop tries one pool after another, with a bit mask of models for each pair of image and label. It
runs on 12 models, because its time doubles with each further model. The program then times the search alone
for 19, 22 and 24 models, and the commands `propose` and `tasks` for 19 models, all with the first five
classes. A time is the median over the rounds.
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
    """Tries every pool; returns the number of models and of proposals of the smallest sufficient pool."""
    num_models = len(pools.proposals.models)
    weights = 1 << np.arange(num_models)
    finders, always = pools.present @ weights, pools.always_found
    patterns, counts = pools.patterns
    patterns = patterns @ weights
    min_found = RECALL * pools.num_present - 1e-9
    best = (num_models + 1, 0)
    for pool in range(1, 1 << num_models):
        if np.count_nonzero(always | (finders & pool > 0)) >= min_found:
            best = min(best, (pool.bit_count(), int(counts[patterns & pool > 0].sum())))
    return best


def ours(pools: Pools) -> tuple[int, int]:
    """Finds the same pool by `EverySubset`; returns the same numbers."""
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

    def make_pools(number: int) -> Pools:
        models = (
            (str(name), Predictions(original.file_names, ranked))
            for name, ranked in zip(names[:number], classes[:number], strict=True)
        )
        pools = Pools(Proposals.of(original, models, Rules(TOP_K)), gold)
        _ = pools.patterns  # computed once for both contestants
        return pools

    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    twelve = make_pools(12)
    assert loop(twelve) == ours(twelve), (loop(twelve), ours(twelve))
    pairs = [(timed(loop, twelve), timed(ours, twelve)) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    slow, fast = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"12 models: loop {slow:.2f} s, ours {fast:.4f} s, ours is faster by {ratio:.0f}x")
    for number in (19, 22, 24):
        pools = make_pools(number)
        print(
            f"{number} models: {statistics.median(timed(ours, pools) for _ in range(ROUNDS)):.2f} s"
        )

    with tempfile.TemporaryDirectory() as folder:
        for name, ranked in zip(names[:19], classes[:19], strict=True):
            np.savez(f"{folder}/{name}.npz", file_names=original.file_names, classes=ranked)
        files = sorted(map(str, pathlib.Path(folder).glob("*.npz")))
        out = f"{folder}/proposals.csv"
        gold_arguments = ["--gold", str(gold_path), "--gold-votes", "3"]
        for title, arguments in (
            ("propose, 19 models", ["propose", *files, "--top-k", f"{TOP_K}", "--out", out]),
            (
                "propose with gold",
                ["propose", *files, "--top-k", f"{TOP_K}", "--out", out, *gold_arguments],
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
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20)
    print(f"peak memory of these processes: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
