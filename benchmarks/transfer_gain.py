"""Measures the gain of transfer from the digits 0 to 4 to the digits 5 to 9, over training from scratch.

    python benchmarks/transfer_gain.py --workdir=runs/transfer

A small BiT ResNet learns `digit_scenes_low`, is written as a public `.npz`, and is fine-tuned with
configs/bit_transfer.py on 5 and 50 examples of each class of `digit_scenes_high`. For comparison, the same
model is trained from scratch on the same examples. There are three seeds; a seed also chooses the examples.
Only batch and image size are smaller than the BiT-HyperRule's, so that the runs take minutes on two CPU
cores.

Finished runs are not repeated. docs/transfer.md shows the printed tables.
"""

from __future__ import annotations

import argparse
import logging
import math
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from big_transfer.run import memory

memory.keep_freed_memory()

import jax

from big_transfer import training
from big_transfer.evaluation import Record
from configs import bit_transfer, digit_scenes
from real_labels import LabelSets, Predictions, accuracy

EXAMPLES = (5, 50)
SEEDS = (0, 1, 2)
UNITS, WIDTH = (1, 1, 1, 1), 0.5
UPSTREAM_STEPS = 800
SIZE, RESIZE_TO = 48, 54
# The best of four learning rates for training from scratch. With 50 examples a class and seed 7, the ReaL
# top-1 for 0.003 (the rule's), 0.01, 0.03 and 0.1 is 29.5, 30.8, 32.8 and 28.3%.
SCRATCH_LEARNING_RATE = 0.03
T_95 = 4.303  # two-sided 95% quantile of Student's distribution with 2 degrees of freedom


def upstream(workdir: pathlib.Path) -> pathlib.Path:
    """Trains on the digits 0 to 4; returns the path of the checkpoint in the public layout."""
    config = digit_scenes.get_config()
    config.input.dataset = config.eval.dataset = "digit_scenes_low"
    config.num_classes = 5
    config.total_steps = config.eval_every_steps = UPSTREAM_STEPS
    config.input.size = config.eval.size = SIZE
    config.input.resize_to = RESIZE_TO
    config.example_images = 0
    config.export_npz = "BiT-low.npz"
    config.model.units = UNITS
    config.model.width = WIDTH
    report("upstream", training.train_and_evaluate(config, workdir / "upstream"))
    return workdir / "upstream" / config.export_npz


def transfer(
    workdir: pathlib.Path, examples: int, seed: int, npz: pathlib.Path | None
) -> tuple[Record, Predictions]:
    """Fine-tunes `npz` on `examples` examples of each class; trains from scratch if `npz` is None."""
    config = bit_transfer.get_config("dataset=digit_scenes_high,model=R50x1")
    config.model.depth, config.model.units = None, UNITS
    config.model.width = WIDTH
    config.seed = seed
    config.input.examples_per_class = examples
    config.input.batch_size = 16
    config.input.size = config.eval.size = SIZE
    config.input.resize_to = RESIZE_TO
    config.eval.split = "validation"
    config.eval.real_key = "real_label"
    config.eval_every_steps = config.checkpoint_every_steps = 500
    config.log_every_steps = 250
    config.example_images = 0
    config.export_npz = ""
    if npz is not None:
        config.checkpoint = str(npz)
    else:
        config.optimizer.base_learning_rate = SCRATCH_LEARNING_RATE
    kind = "scratch" if npz is None else "transfer"
    folder = workdir / f"{kind}_{examples}_{seed}"
    record = training.train_and_evaluate(config, folder)
    report(folder.name, record)
    return record, Predictions.load(folder / "predictions.npz")


def report(name: str, record: Record) -> None:
    by = record.accuracies.by_label_set
    top1 = {labels: 100 * by[labels].top1.value for labels in ("original", "real")}
    print(f"{name}: original {top1['original']:.2f}%, ReaL {top1['real']:.2f}%", file=sys.stderr)


def mean_with_interval(values: list[float], signed: bool = False) -> str:
    mean, half = statistics.mean(values), T_95 * statistics.stdev(values) / math.sqrt(len(values))
    form = "{:+.1f}" if signed else "{:.1f}"
    return f"{form.format(mean)} ± {half:.1f}"


def real_labels_of_validation() -> LabelSets:
    from big_transfer.datasets.builders import digit_scenes as scenes

    names, labels = [], []
    for index in range(scenes.NUM_EXAMPLES["validation"]):
        names.append(f"digit_scenes_high_validation_{index + 1:08d}.JPEG")
        _, _, present = scenes.make_scene("validation", index, scenes.DigitScenesHigh.DIGITS)
        labels.append([digit - 5 for digit in present])
    return LabelSets.from_lists(names, labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/transfer"))
    workdir = parser.parse_args().workdir
    logging.getLogger("big_transfer").setLevel(logging.WARNING)
    jax.config.update("jax_compilation_cache_dir", str(workdir / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    started = time.perf_counter()
    npz = upstream(workdir)
    rows, tests = [], []
    labels = real_labels_of_validation()
    for examples in EXAMPLES:
        runs = {
            kind: [transfer(workdir, examples, seed, start) for seed in SEEDS]
            for kind, start in (("transfer", npz), ("scratch", None))
        }
        for key, name in (("original", "original"), ("real", "ReaL")):
            values = {
                kind: [
                    100 * record.accuracies.by_label_set[key].top1.value for record, _ in outcomes
                ]
                for kind, outcomes in runs.items()
            }
            gain = [a - b for a, b in zip(values["transfer"], values["scratch"], strict=True)]
            rows.append(
                f"| {examples} | {name} | {mean_with_interval(values['transfer'])} | "
                f"{mean_with_interval(values['scratch'])} | {mean_with_interval(gain, True)} |"
            )
        for seed, (_, transferred), (_, scratch) in zip(
            SEEDS, runs["transfer"], runs["scratch"], strict=True
        ):
            difference = accuracy.paired_difference(transferred, scratch, labels)
            value, low, high = (
                100 * v for v in (difference.value, difference.low, difference.high)
            )
            tests.append(
                f"| {examples} | {seed} | {100 * difference.first:.1f} | "
                f"{100 * difference.second:.1f} | {value:+.1f} [{low:+.1f}, {high:+.1f}] | "
                f"{difference.p_value:.1g} |"
            )
    print("| examples a class | labels | transfer, % | from scratch, % | gain, points |")
    print("| --- | --- | --- | --- | --- |", *rows, sep="\n")
    print(
        "\n| examples a class | seed | transfer | from scratch | gain on ReaL, points | McNemar p |"
    )
    print("| --- | --- | --- | --- | --- | --- |", *tests, sep="\n")
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes.", file=sys.stderr)


if __name__ == "__main__":
    main()
