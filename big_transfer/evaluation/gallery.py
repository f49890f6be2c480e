"""A picture of example images with their original label, reassessed labels and prediction."""

from __future__ import annotations

import math

import numpy as np
from etils import epath

from big_transfer import datasets
from big_transfer.config import EvaluationConfig
from big_transfer.datasets import preprocessing
from big_transfer.evaluation.evaluator import Evaluation
from real_labels import files
from real_labels.labels import Reassessment

_COLUMNS = 8
_RED, _GREEN, _GREY = "#c0392b", "#1e8449", "#707070"
_MAX_NAME = 18  # characters of a class name


def save(
    path: epath.PathLike,
    source: datasets.Source,
    evaluation: Evaluation,
    config: EvaluationConfig,
) -> None:
    """Draws config.example_images examples as a PNG, in rows of eight.

    Each kind of example gets up to eight images. The kinds show the paper's findings: predictions that are
    wrong by the original label and right by the reassessed labels; images with several valid labels;
    predictions that are wrong by both; images without a valid label; then any other images.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    chosen = choose(evaluation, config.example_images, config.seed)
    names = source.class_names[config.eval.original_key]
    rows = math.ceil(len(chosen) / _COLUMNS)
    figure, axes = plt.subplots(
        rows, _COLUMNS, figsize=(1.75 * _COLUMNS, 2.45 * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    titled = None  # the title of a kind is drawn above its first image
    for axis, (index, kind) in zip(axes.flat, chosen, strict=False):
        example = source[int(evaluation.rows[index])]
        axis.imshow(preprocessing.decode(example["image"], example["file_name"]))
        _caption(axis, evaluation, index, names)
        if kind != titled:
            axis.text(0, 1.3, kind, transform=axis.transAxes, fontsize=9, weight="bold")
        titled = kind
    figure.subplots_adjust(hspace=0.6, wspace=0.15)
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=110, bbox_inches="tight", pad_inches=0.15)
    plt.close(figure)


def choose(evaluation: Evaluation, count: int, seed: int) -> list[tuple[int, str]]:
    """Picks `count` (row, kind) pairs: up to eight of each kind, and the rest of the last kind."""
    n = len(evaluation.predictions)
    predicted = evaluation.predictions.classes[:, :1]
    rows = np.arange(n)
    is_original = evaluation.original.contains(rows, predicted)[:, 0]
    judge = _judge(evaluation)
    if judge is not None:
        valid = judge.labels.contains(rows, predicted)[:, 0]
        counts, title = judge.labels.counts, judge.title
        covered = np.ones(n, bool) if judge.covered is None else judge.covered
        kinds = [
            (
                f"Wrong by the original label, right by the {title} labels",
                covered & ~is_original & valid,
            ),
            ("Several valid labels", covered & (counts > 1) & valid & is_original),
            (
                f"Wrong by the original and the {title} labels",
                covered & ~is_original & ~valid & (counts > 0),
            ),
            (f"No valid label: left out of the {title} accuracy", covered & (counts == 0)),
        ]
    else:
        kinds = [("Mistakes", ~is_original)]
    kinds.append(("Other images", np.ones(n, bool)))
    rng = np.random.default_rng(seed)
    chosen: dict[int, str] = {}
    for kind, mask in kinds:
        free = [row for row in rng.permutation(np.flatnonzero(mask)).tolist() if row not in chosen]
        missing = count - len(chosen)
        number = missing if kind == kinds[-1][0] else min(_COLUMNS, missing)
        chosen |= dict.fromkeys(free[:number], kind)
    return list(chosen.items())


def _judge(evaluation: Evaluation) -> Reassessment | None:
    """The first reassessment, which decides the kind of each example; None if there is none."""
    return next(iter(evaluation.reassessments.values()), None)


def _caption(axis, evaluation: Evaluation, index: int, names: tuple[str, ...]) -> None:
    def names_of(classes) -> str:
        text = ", ".join(names[c] for c in classes) or "none"
        return text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1] + "…"

    def classes_of(label_sets) -> list[int]:
        start, stop = label_sets.offsets[index : index + 2]
        return label_sets.classes[start:stop].tolist()

    original, predicted = classes_of(evaluation.original), evaluation.predictions.classes[index, 0]
    judge = _judge(evaluation)
    if judge is not None and judge.covered is not None and not judge.covered[index]:
        judge = None  # the reassessment does not cover this image
    valid = original if judge is None else classes_of(judge.labels)
    lines = [(f"label {names_of(original)}", _GREY if set(original) <= set(valid) else _RED)]
    if judge is not None:
        lines.append((f"{judge.title} {names_of(valid)}", _GREEN if valid else _GREY))
    colour = _GREY if not valid else _GREEN if predicted in valid else _RED
    lines.append((f"predicted {names_of([predicted])}", colour))
    for i, (text, colour) in enumerate(lines):
        axis.text(
            0.5,
            1.02 + 0.085 * (len(lines) - 1 - i),
            text,
            transform=axis.transAxes,
            ha="center",
            fontsize=7.5,
            color=colour,
        )
