"""Small datasets with made-up labels, raters and models, for the tests of the analyses."""

from __future__ import annotations

import numpy as np

from real_labels import Answers, LabelSets, Predictions, Questions, Scores
from real_labels.labels import Reassessment
from real_labels.labels.reassessment import mine


def labels(images: int = 600, classes: int = 12, seed: int = 0) -> tuple[LabelSets, LabelSets]:
    """(original, ReaL) labels of images with 0 to 4 classes; classes 1 and 2 often occur together.

    A tenth of the original labels is wrong.
    """
    rng = np.random.default_rng(seed)
    names = [f"folder/image{i:05d}.jpg" for i in range(images)]
    sets, original = [], []
    for _ in range(images):
        number = min(rng.choice(5, p=[0.06, 0.64, 0.2, 0.07, 0.03]), classes)
        valid = set(rng.choice(classes, number, replace=False).tolist())
        if valid & {1, 2} and rng.random() < 0.5 and classes > 2:
            valid |= {1, 2}
        sets.append(sorted(valid))
        right = valid and rng.random() < 0.9
        original.append([int(rng.choice(sorted(valid)) if right else rng.integers(classes))])
    return LabelSets.from_lists(names, original), LabelSets.from_lists(names, sets)


def model(
    original: LabelSets,
    real: LabelSets,
    *,
    accuracy: float = 0.8,
    picks_original: float | None = None,
    classes: int = 12,
    k: int = 5,
    with_scores: bool = True,
    seed: int = 1,
) -> Predictions:
    """Predictions of a model that names a valid class with probability `accuracy`, else any class.

    If several classes are valid and the original label is one of them, the model names the original label
    with probability `picks_original`, else any other valid class. With None, it names any valid class.
    """
    rng = np.random.default_rng(seed)
    k = min(k, classes)
    ranked = np.empty((len(real), k), np.int64)
    lists, label = real.to_lists(), original.classes.tolist()
    for i, valid in enumerate(lists):
        first = int(rng.integers(classes))
        if valid and rng.random() < accuracy:
            if picks_original is not None and label[i] in valid and len(valid) > 1:
                others = [c for c in valid if c != label[i]]
                first = label[i] if rng.random() < picks_original else int(rng.choice(others))
            else:
                first = int(rng.choice(valid))
        rest: list[int] = []
        while len(rest) < k - 1:
            other = int(rng.integers(classes))
            if other != first and other not in rest:
                rest.append(other)
        ranked[i] = [first, *rest]
    scores = None
    if with_scores:
        scores = -np.sort(-rng.dirichlet(np.ones(k) * 0.5, len(real)), axis=1)
    return Predictions(real.file_names, ranked, scores)


def rated(
    original: LabelSets, real: LabelSets, *, classes: int = 12, seed: int = 2
) -> tuple[Answers, Scores]:
    """Mostly correct answers of raters to some questions about every second image, and their scores.

    Some questions about an image go to other raters than the rest.
    """
    rng = np.random.default_rng(seed)
    names, asked, answer, question, rater, probability = [], [], [], [], [], []
    for i, (name, valid, label) in enumerate(
        zip(real.file_names.tolist(), real.to_lists(), original.classes.tolist())
    ):
        if i % 2:
            continue
        chosen = {label, *rng.choice(classes, min(4, classes), replace=False).tolist()}
        tasks = [rng.choice(9, 3, replace=False), rng.choice(9, 3, replace=False)]
        for c in sorted(chosen):
            raters = tasks[int(rng.random() < 0.3)]
            truth = 2 if c in valid else 0
            given = np.where(rng.random(3) < 0.75, truth, rng.integers(0, 3, 3))
            names.append(name)
            asked.append(c)
            probability.append(0.05 + 0.9 * given.mean() / 2)
            question += [len(names) - 1] * 3
            rater += raters.tolist()
            answer += given.tolist()
    questions = Questions.from_pairs(names, np.array(asked))
    ids = [f"rater{i}" for i in range(9)]
    answers = Answers(questions, ids, np.array(question), np.array(rater), np.array(answer))
    return answers, Scores(questions, np.array(probability))


def reassessed(real: LabelSets | None, **others: LabelSets) -> dict[str, Reassessment]:
    """Label sets as reassessments, the ReaL labels first."""
    named = ({} if real is None else {"real": real}) | others
    return {name: mine(name, labels) for name, labels in named.items()}
