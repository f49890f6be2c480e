"""Speed of scoring predictions: this project beside timm's RealLabelsImagenet with torch.topk, in one run.

    pip install -r requirements.txt -r benchmarks/requirements.txt
    git clone https://github.com/huggingface/pytorch-image-models
    python benchmarks/scoring_speed.py --timm=pytorch-image-models --data-dir=FOLDER_OF_THE_PUBLISHED_FILES

Both programs score the same (50000, 1000) float32 logits on the ReaL labels. timm gets the logits in memory;
ours reads them from a file, scores the original labels, too, and looks for mix-ups. The programs take turns.
A time is the median over the rounds, the ratio is the median of the rounds' ratios. Then `python -m
real_labels score` is timed as a whole process.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels.accuracy import scoring
from real_labels.labels import Reference
from real_labels.predictions import reading

ROUNDS, BATCH = 7, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timm", required=True, help="checkout of pytorch-image-models")
    parser.add_argument("--data-dir", required=True, help="folder of the published files")
    options = parser.parse_args()

    import torch

    spec = importlib.util.spec_from_file_location(
        "timm_real_labels", pathlib.Path(options.timm) / "timm" / "data" / "real_labels.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    rng = np.random.default_rng(0)
    reference = Reference.load(data_dir=options.data_dir)
    names, truth = reference.file_names, reference.original.classes
    logits = rng.normal(size=(50_000, 1000)).astype(np.float32)
    logits[np.arange(50_000), truth] += rng.normal(3.5, 2, 50_000).astype(np.float32)
    real_json = str(pathlib.Path(options.data_dir) / "real.json")
    list_of_names = names.tolist()

    def timm() -> dict:
        scorer = module.RealLabelsImagenet(list_of_names, real_json=real_json)
        for start in range(0, len(logits), BATCH):
            scorer.add_result(torch.from_numpy(logits[start : start + BATCH]))
        return {k: scorer.get_accuracy(k) for k in (1, 5)}

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "logits.npy"
        np.save(path, logits)

        def ours() -> dict:
            labels = Reference.load(data_dir=options.data_dir)
            real = scoring.score(path, labels).results.reassessments["real"]
            return {k: 100 * real.at(k).value for k in (1, 5)}

        for k, value in timm().items():
            assert abs(value - ours()[k]) < 1e-9, (value, ours())
        rounds = []
        for _ in range(ROUNDS):
            pair = []
            for contestant in (timm, ours):
                start = time.perf_counter()
                contestant()
                pair.append(time.perf_counter() - start)
            rounds.append(pair)
        timm_time, our_time = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; ", end="")
        print(f"torch {torch.__version__}, numpy {np.__version__}\n")
        print("(50000, 1000) float32 logits to ReaL accuracy, labels read each time:")
        print(f"  timm {timm_time:.3f} s, ours {our_time:.3f} s: ours {ratio:.1f} times faster")

        table = pathlib.Path(folder) / "top1.csv"
        classes = reading.read(path).classes[:, 0]
        rows = "\n".join(f"{n},{c}" for n, c in zip(list_of_names, classes, strict=True))
        table.write_text(f"filename,index\n{rows}\n")
        for title, file in (("a CSV of 50,000 top-1 predictions", table), ("these logits", path)):
            seconds = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "real_labels", "score", file, "--data-dir",
                     options.data_dir],
                    check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                )  # fmt: skip
                seconds.append(time.perf_counter() - start)
            print(
                f"`real_labels score` of {title}, whole process: median "
                f"{statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f}"
            )


if __name__ == "__main__":
    main()
