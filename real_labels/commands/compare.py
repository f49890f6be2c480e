"""python -m real_labels compare."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.accuracy import Difference

SUMMARY = "test on each label set whether one of two models is significantly better"
EXAMPLE = "resnet50.csv bit.npz"
_SIGNIFICANT = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("first", metavar="A", help=common.PREDICTIONS)
    parser.add_argument(
        "second", metavar="B", help="predictions of the second model, in the same formats"
    )
    parser.add_argument("more", nargs="*", help=argparse.SUPPRESS)
    common.add_labels(parser)
    parser.add_argument("--json", metavar="FILE", help="write all numbers as JSON")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default 0)")
    for name in ("a", "b"):
        parser.add_argument(
            f"--assume-{name}",
            metavar="REPAIR",
            default="",
            help=f"undo this mix-up in {name.upper()} before comparing (see score --assume)",
        )


def run(options: argparse.Namespace) -> None:
    """Compares the two models on the images that both files cover."""
    import numpy as np

    from real_labels import accuracy
    from real_labels.accuracy import comparison, scoring
    from real_labels.accuracy.text import together
    from real_labels.files.paths import short_names
    from real_labels.files.text_table import text_table
    from real_labels.predictions import TOP_K

    if options.more:
        raise InputError(
            f"compare takes two files, found {2 + len(options.more)}. `score` lists any number of files in "
            f"one table, and `report` tests every pair."
        )
    common.check_seed(options.seed)
    common.check_outputs((options.json, (".json",)), inputs=[options.first, options.second])
    reference = common.reference(options, [options.first, options.second])
    names = common.class_names(options, reference)
    scored = [
        scoring.score(
            path, reference, common.repairs(assume), column=options.column, class_names=names
        )
        for path, assume in ((options.first, options.assume_a), (options.second, options.assume_b))
    ]
    pair = [model.predictions for model in scored]
    images = np.intersect1d(pair[0].file_names, pair[1].file_names)
    if not len(images):
        raise InputError(f"{options.first} and {options.second} have no image in common.")
    pair = first, second = [predictions.take(predictions.rows(images)) for predictions in pair]
    record: dict[str, Any] = {"files": [options.first, options.second], "num_images": len(images)}
    rows: list[tuple[str, ...]] = [
        ("", "A", "B", "A - B, points", "only A", "only B", "p (McNemar)", "n")
    ]
    verdicts = []
    measured: dict[str, dict[str, Difference]] = {}
    for key, labels in reference.label_sets.items():
        measured[key] = {}
        for k in TOP_K:
            if not all(accuracy.can_measure(predictions, labels, k) for predictions in pair):
                continue
            difference = accuracy.paired_difference(first, second, labels, k, seed=options.seed)
            measured[key][f"top{k}"] = difference
            if difference.n:
                title = f"{reference.titles[key]} top-{k}"
                rows.append((title, *_cells(difference)))
                verdicts.append(_verdict(title, difference))
    record |= comparison.by_label_set(measured)
    if options.json:
        record["warnings"] = {model.file: list(model.warnings) for model in scored}
        common.write_json(options.json, record)
    print(f"A = {options.first}\nB = {options.second}\n")
    print(text_table(rows, "<>>>>>>>") + "\n")
    print("\n".join(verdicts))
    if len(images) < max(len(model.predictions) for model in scored):
        print(f"Compared on the {len(images):,} images that both files cover.")
    for name, reassessment in reference.reassessments.items():
        covered = np.count_nonzero(reassessment.covers(images))
        if covered < len(images):
            number = f"{covered:,}" if covered else "none"
            common.print_warning(
                f"The {reference.titles[name]} labels cover {number} of the {len(images):,} images compared."
            )
    short = short_names([model.file for model in scored])
    warnings = [
        (name, warning.replace("--assume=", f"--assume-{letter}="))
        for letter, name, model in zip("ab", short, scored, strict=True)
        for warning in model.warnings
    ]
    for warning in together(warnings, 2, "files"):
        common.print_warning(warning)
    if options.json:
        print(f"Wrote {options.json}.")


def _cells(difference: Difference) -> tuple[str, ...]:
    from real_labels.accuracy.text import difference_cells

    points, p_value = difference_cells(difference)
    return (
        f"{100 * difference.first:.2f}%",
        f"{100 * difference.second:.2f}%",
        points,
        f"{difference.only_first:,}",
        f"{difference.only_second:,}",
        p_value,
        f"{difference.n:,}",
    )


def _verdict(title: str, difference: Difference) -> str:
    if difference.p_value >= _SIGNIFICANT:
        return f"On {title} A and B do not differ significantly (p = {difference.p_value:.2g})."
    better = "A" if difference.value > 0 else "B"
    return (
        f"On {title} {better} is better by {100 * abs(difference.value):.2f} points "
        f"(p = {difference.p_value:.2g})."
    )
