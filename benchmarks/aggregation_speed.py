"""Speed of Dawid & Skene by EM: this project beside crowd-kit, and growth with the number of answers.

    pip install -r requirements-dev.txt -r benchmarks/requirements.txt
    python benchmarks/aggregation_speed.py --data-dir=FOLDER_OF_THE_PUBLISHED_FILES

1. On the 924,810 published answers: time of one EM iteration. The programs take turns, round by round. A
   time is the median over the rounds, the ratio is the median of the rounds' ratios. Crowd-kit gets integer
   ids, its fastest input. The time of an iteration is the difference between two runs, so that set-up time
   does not count. Then iterations and time to the fixed point.
2. Simulated answers, 5 per question: 1,000 raters with 1, 3.2 and 10 million answers, maximum likelihood;
   a million raters with ten answers each, default settings; and the 10 million answers of 1,000 raters
   once more, from a Parquet file, through `python -m real_labels aggregate` with its defaults, as a whole
   process.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
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

from real_labels import aggregation
from real_labels.aggregation import recipe
from real_labels.answers import Answers, Questions

ROUNDS = 5
ITERATIONS = {"crowd-kit": 10, "ours": 100}
SIZES = (1_000_000, 3_200_000, 10_000_000)
PER_QUESTION, NUM_RATERS = 5, 1_000


def published_answers(data_dir: str) -> None:
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    answers = recipe.raw_answers(data_dir)
    frame = pd.DataFrame(
        {"task": answers.question, "worker": answers.rater, "label": answers.answer}
    )

    def crowd_kit(iterations: int) -> None:
        DawidSkene(n_iter=iterations, tol=-1).fit(frame)

    def ours(iterations: int) -> None:
        aggregation.dawid_skene(
            answers, shrinkage=0, accelerate=False, tolerance=-1, max_passes=iterations
        )

    def iteration(run, iterations: int) -> float:
        start = time.perf_counter()
        run(1)
        first_end = time.perf_counter()
        run(1 + iterations)
        return (time.perf_counter() - first_end - (first_end - start)) / iterations

    crowd_kit(1)
    ours(1)
    rounds = []
    for _ in range(ROUNDS):
        rounds.append(
            (iteration(crowd_kit, ITERATIONS["crowd-kit"]), iteration(ours, ITERATIONS["ours"]))
        )
    crowd_kit_time, our_time = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(a / b for a, b in rounds)
    print(f"One EM iteration on the {len(answers):,} published answers, median of {ROUNDS} rounds:")
    print(f"  crowd-kit  {1e3 * crowd_kit_time:8.2f} ms")
    print(f"  ours       {1e3 * our_time:8.2f} ms   {ratio:.0f} times faster")
    print("To the fixed point (no score changes by more than 1e-6):")
    for shrinkage in (0.0, 20.0):
        for accelerate in (False, True):
            start = time.perf_counter()
            fit = aggregation.dawid_skene(answers, shrinkage=shrinkage, accelerate=accelerate)
            seconds = time.perf_counter() - start
            kind = "accelerated" if accelerate else "plain EM   "
            print(
                f"  shrinkage {shrinkage:2.0f}, {kind}  {fit.convergence.passes:4d} passes  "
                f"{seconds:6.2f} s   objective {fit.convergence.objective[-1]:.4f}"
            )


def simulated(number: int, num_raters: int = 1_000) -> Answers:
    """Simulates `number` answers of `num_raters` raters, five per question; 30% of the labels are present."""
    rng = np.random.default_rng(0)
    num_questions = number // PER_QUESTION
    truth = rng.random(num_questions) < 0.3
    confusion = np.stack(
        [rng.dirichlet([8, 1, 1], num_raters), rng.dirichlet([1, 1, 5], num_raters)], axis=1
    )
    # One rater from each fifth of the raters, so that the five raters of a question are distinct.
    fifth = num_raters // PER_QUESTION
    rater = rng.integers(0, fifth, (num_questions, PER_QUESTION), dtype=np.int32)
    rater += np.arange(PER_QUESTION, dtype=np.int32) * fifth
    rater = rater.ravel()
    question = np.repeat(np.arange(num_questions, dtype=np.int32), PER_QUESTION)
    answer = np.zeros(number, np.int8)
    for part in np.array_split(np.arange(number), max(1, number // 1_000_000)):
        chances = confusion[rater[part], truth[question[part]].astype(int)].cumsum(axis=1)
        answer[part] = (rng.random(len(part))[:, None] > chances[:, :2]).sum(axis=1)
    image, label = np.divmod(np.arange(num_questions, dtype=np.int32), 8)
    names = np.array([f"image{i:08d}.jpg" for i in range(int(image[-1]) + 1)])
    ids = np.array([f"r{i:04d}" for i in range(num_raters)])
    return Answers(Questions(names, image, label), ids, question, rater, answer)


def one_size(number: int, num_raters: int, shrinkage: float) -> None:
    """Runs in a worker process: fits once; prints seconds, passes, memory before the fit and peak (GiB)."""
    answers = simulated(number, num_raters)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    fit = aggregation.dawid_skene(answers, shrinkage=shrinkage)
    seconds = time.perf_counter() - start
    assert fit.convergence.converged
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{seconds} {fit.convergence.passes} {before / 2**20} {peak / 2**20}")


def in_a_process(number: int, num_raters: int, shrinkage: float) -> tuple[float, float, float]:
    """Fits once in a new process; returns seconds, passes and peak memory in GiB."""
    output = subprocess.run(
        [sys.executable, __file__, "--one-size", str(number), str(num_raters), str(shrinkage)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    seconds, passes, _, peak = map(float, output.split())
    return seconds, passes, peak


def many_raters() -> None:
    """Fits answers of a million raters with ten answers each; prints time, passes and peak memory."""
    seconds, passes, peak = in_a_process(10_000_000, 1_000_000, 20)
    print(
        f"A million raters with ten answers each, default settings: {seconds:.1f} s, {passes:.0f} passes, "
        f"peak {peak:.2f} GiB"
    )


def growth() -> None:
    print(f"Simulated answers of {NUM_RATERS:,} raters, five per question, to convergence:")
    measured = []
    for number in SIZES:
        seconds, passes, peak = in_a_process(number, NUM_RATERS, 0)
        measured.append((number, seconds, passes))
        print(
            f"  {number:>11,} answers  {seconds:6.2f} s  {passes:3.0f} passes  "
            f"{1e9 * seconds / passes / number:5.2f} ns per answer and pass  peak {peak:.2f} GiB"
        )
    sizes, seconds, passes = (np.array(column) for column in zip(*measured, strict=True))
    slope = np.polyfit(np.log(sizes), np.log(seconds / passes), 1)[0]
    per_answer = seconds[-1] / passes[-1] / sizes[-1]
    print(
        f"  the time of a pass grows with the number of answers to the power {slope:.2f}; 100 million "
        f"answers would take {100e6 * per_answer * passes[-1]:.0f} s at {passes[-1]:.0f} passes"
    )


def whole_process() -> None:
    import pyarrow as pa
    from pyarrow import parquet

    answers = simulated(SIZES[-1])
    questions = answers.questions
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "answers.parquet"
        file_names = pa.DictionaryArray.from_arrays(
            pa.array(questions.image[answers.question]), pa.array(questions.file_names.tolist())
        )
        raters = pa.DictionaryArray.from_arrays(
            pa.array(answers.rater), pa.array(answers.raters.tolist())
        )
        answer_names = pa.DictionaryArray.from_arrays(
            pa.array(answers.answer), pa.array(list(answers.categories))
        )
        table = pa.table(
            {
                "file_name": file_names.cast(pa.string()),
                "label": questions.label[answers.question],
                "rater": raters.cast(pa.string()),
                "answer": answer_names.cast(pa.string()),
            }
        )
        parquet.write_table(table, path)
        del table, file_names, raters, answer_names, answers
        command = [
            sys.executable, "-m", "real_labels", "aggregate", "--answers", str(path),
            "--labels-out", str(pathlib.Path(folder) / "labels.json"),
        ]  # fmt: skip
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        print(process.stdout.read().strip().replace("\n", "\n  "))
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
    print(
        f"  {SIZES[-1]:,} answers from Parquet to labels in JSON, whole process: "
        f"{time.perf_counter() - start:.1f} s, peak {usage.ru_maxrss / 2**20:.2f} GiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of the published files")
    parser.add_argument("--one-size", nargs=3, type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_size:
        number, num_raters, shrinkage = options.one_size
        one_size(int(number), int(num_raters), shrinkage)
        return
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "crowd-kit", "pandas")
    )
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {versions}\n")
    published_answers(options.data_dir)
    print()
    growth()
    many_raters()
    print()
    whole_process()


if __name__ == "__main__":
    main()
