"""Simulated raters and models with known truth, for the tests of real_labels."""

from __future__ import annotations

import numpy as np

from real_labels import LabelSets
from real_labels.answers import CATEGORIES, Answers, Questions


def questions(number: int, labels_per_image: int = 4) -> Questions:
    """Returns `number` questions, `labels_per_image` about each image."""
    image, label = np.divmod(np.arange(number), labels_per_image)
    names = [f"image{i:06d}.jpg" for i in range(int(image.max(initial=-1)) + 1)]
    return Questions(names, image, label)


def confusions(num_raters: int, num_categories: int, rng: np.random.Generator) -> np.ndarray:
    """Returns confusion matrices (R, 2, K) of raters of different skill, all better than chance."""
    to_no = np.linspace(6, 0.5, num_categories)
    absent = rng.dirichlet(to_no, num_raters)
    present = rng.dirichlet(to_no[::-1], num_raters)
    return np.stack([absent, present], axis=1)


def rate(
    truth: np.ndarray,
    confusion: np.ndarray,
    per_question: int,
    rng: np.random.Generator,
    categories: tuple[str, ...] = CATEGORIES,
) -> Answers:
    """Returns the answers of `per_question` random raters to each question."""
    num_raters = len(confusion)
    rater = np.argsort(rng.random((len(truth), num_raters)), axis=1)[:, :per_question]
    row = np.repeat(np.arange(len(truth)), per_question)
    rater = rater.ravel()
    chances = confusion[rater, truth[row].astype(int)].cumsum(axis=1)
    answer = (rng.random(len(row))[:, None] > chances[:, :-1]).sum(axis=1)
    ids = [f"rater{i}" for i in range(num_raters)]
    return Answers(questions(len(truth)), ids, row, rater, answer, categories)


# Small sets of answers: images, labels per image, answers per question, raters, P(present), P("maybe").
SMALL_CROWDS = (
    (5, 1, 5, 5, 0.5, 0.0),
    (20, 1, 3, 3, 0.5, 0.0),
    (20, 1, 5, 5, 0.5, 0.0),
    (50, 1, 3, 3, 0.5, 0.0),
    (20, 3, 3, 3, 0.3, 0.1),
    (50, 3, 5, 5, 0.3, 0.1),
    (100, 1, 3, 8, 0.15, 0.0),
)


def crowd(
    images: int,
    labels: int,
    per_question: int,
    raters: int,
    present: float,
    maybe: float,
    seed: int,
) -> tuple[np.ndarray, Answers]:
    """Returns (truth, answers) of raters whose probability of being right is drawn from 0.7 to 0.95.

    A rater answers "maybe" with probability `maybe`, else yes or no.
    """
    rng = np.random.default_rng(seed)
    truth = rng.random(images * labels) < present
    skill = rng.uniform(0.7, 0.95, raters)
    right = skill[:, None] * (1 - maybe)
    wrong = (1 - skill[:, None]) * (1 - maybe)
    unsure = np.full((raters, 1), maybe)
    confusion = np.stack(
        [np.hstack([right, unsure, wrong]), np.hstack([wrong, unsure, right])], axis=1
    )
    return truth, rate(truth, confusion, per_question, rng)


def model(
    real: LabelSets,
    original: LabelSets,
    accuracy: float,
    errors: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns predicted classes, (N,): a valid class with probability `accuracy`, else an error.

    Errors are "uniform" over the classes, "near" a valid class, "biased" to some classes, or within
    the "group" of ten classes of a valid class.
    """
    n, num_classes = len(real), 1000
    first = np.minimum(real.offsets[:-1], len(real.classes) - 1)
    pick = first + rng.integers(0, 1 << 30, n) % np.maximum(real.counts, 1)
    valid = np.where(real.counts > 0, real.classes[pick], original.classes).astype(np.int64)
    wrong = {
        "uniform": lambda: rng.integers(0, num_classes, n),
        "near": lambda: np.clip(valid + rng.integers(-3, 4, n), 0, num_classes - 1),
        "biased": lambda: rng.choice(num_classes, n, p=rng.dirichlet(np.full(num_classes, 0.05))),
        "group": lambda: valid // 10 * 10 + rng.integers(0, 10, n),
    }[errors]()
    return np.where(rng.random(n) < accuracy, valid, wrong)
