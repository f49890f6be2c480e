"""Rebuilds the published scores and labels from the published raw answers."""

from __future__ import annotations

import os

from real_labels.aggregation.aggregate import Aggregate, PseudoRater
from real_labels.aggregation.methods import gold_calibrated
from real_labels.answers import Answers, Gold
from real_labels.labels import imagenet
from real_labels.labels.published import locate

THRESHOLD = 0.8  # the lowest score of the published labels


def raw_answers(folder: str | os.PathLike[str] | None = None) -> Answers:
    """Loads the published 924,810 answers of 85 raters."""
    return Answers.load(locate("raters.npz", folder))


def rebuild(
    folder: str | os.PathLike[str] | None = None, answers: Answers | None = None
) -> Aggregate:
    """Rebuilds the published scores from the raters' raw answers.

    The published labels are `rebuild().scores.label_sets(THRESHOLD, unrated=imagenet.original_labels())`.

    The recipe reproduces all 184,962 scores and 50,000 label sets, as a test verifies. The confusion
    matrices are measured on the gold questions (present if at least 3 of the 5 experts said yes), with one
    added to every count. The original label votes as an additional rater on animals (measured against 2 of 5
    experts). Labels with a score of 0.8 or more are kept. Images that were not rated keep their original
    label. See docs/labels.md.

    Args:
      folder: folder of the published files (see `published.data_dir`).
      answers: the raw answers, if they are already loaded.
    """
    gold = Gold.load(locate("golden.npz", folder), at_least=3)
    voter = PseudoRater(
        "original", imagenet.original_labels(), imagenet.animals(), gold.with_votes(2)
    )
    return gold_calibrated(
        raw_answers(folder) if answers is None else answers,
        gold,
        Answers.load(locate("raters_golden.npz", folder)),
        pseudo_raters=[voter],
    )
