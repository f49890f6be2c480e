"""Replaying policies of asking on answers that are there already."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.answers import Gold
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.aggregation import Aggregate
    from real_labels.answers import Answers
    from real_labels.rating.asking import Policy


# Answers -> P(present) and sureness of each of their questions, (Q,) each.
Method = Callable[["Answers"], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The cost and worth of a policy.

    Attributes:
      answers_per_question: mean number of answers asked for.
      precision, recall, f1: of the labels that score at least the threshold, against gold.
    """

    answers_per_question: float
    precision: float
    recall: float
    f1: float


def replay(
    answers: Answers,
    gold: Gold,
    policy: Policy,
    aggregated: Method,
    threshold: float,
    seed: int,
) -> Outcome:
    """Asks as the policy says, and takes the answers from a random order of those that are there.

    All questions are aggregated anew each time that the unsure ones have got one more answer, until none is
    unsure or the answers are used up.

    Args:
      answers: many answers to each question.
      gold: their truths; of questions without a truth nothing is measured.
      policy: when a question is done.
      aggregated: P(present) and sureness of each question, by the answers so far.
      threshold: P(present) from which a label counts as present.
      seed: of the order.

    Raises:
      InputError: if no question of the answers has a known truth.
    """
    rows, here = gold.among(answers.questions, "answers")
    rng = np.random.default_rng(seed)
    shuffled = np.lexsort((rng.random(len(answers)), answers.question))
    place = np.empty(len(answers), np.int64)  # of each answer among those to its question
    place[shuffled] = np.arange(len(answers)) - np.repeat(answers.offsets[:-1], answers.asked)
    asked = np.minimum(policy.at_least, answers.asked)
    while True:
        probability, sureness = aggregated(_some(answers, place < asked[answers.question]))
        more = policy.needs_more(sureness, asked) & (asked < answers.asked)
        if not more.any():
            break
        asked += more
    kept, present = probability[rows] >= threshold, gold.present[here]
    hits = np.count_nonzero(kept & present)
    return Outcome(
        float(asked.mean()),
        hits / max(1, np.count_nonzero(kept)),
        hits / max(1, np.count_nonzero(present)),
        2 * hits / max(1, np.count_nonzero(kept) + np.count_nonzero(present)),
    )


def by_halves(
    answers: Answers,
    gold: Gold,
    calibrated: Callable[[Answers, Gold], Aggregate],
    seed: int,
) -> Method:
    """A method that is calibrated on gold, so that no question is judged by its own truth.

    The images are halved; the questions of one half are aggregated with the gold of the other.

    Args:
      answers: all answers; what is aggregated later are some of them, to the same questions.
      gold: the gold questions.
      calibrated: the aggregate of some answers, by some gold.
      seed: of the halves.

    Raises:
      InputError: if the gold is of fewer than two images.
    """
    rows, here = gold.among(answers.questions, "answers")
    images = np.unique(answers.questions.image[rows])
    if len(images) < 2:
        raise InputError(
            "The gold questions are of one image; two or more are needed, to halve them."
        )
    in_first = np.zeros(len(answers.questions.file_names), bool)
    in_first[np.random.default_rng(seed).permutation(images)[: len(images) // 2]] = True
    first = in_first[answers.questions.image]
    halves = []
    for half in (first, ~first):
        others = ~half[rows]
        questions = answers.questions.take(rows[others])
        halves.append((half, Gold(questions, gold.present[here[others]])))

    def aggregated(some: Answers) -> tuple[np.ndarray, np.ndarray]:
        probability, sureness = np.empty((2, len(some.questions)))
        for half, other_gold in halves:
            one = calibrated(some, other_gold)
            probability[half] = one.scores.probability[half]
            sureness[half] = one.sureness[half]
        return probability, sureness

    return aggregated


def _some(answers: Answers, taken: np.ndarray) -> Answers:
    return dataclasses.replace(
        answers,
        question=answers.question[taken],
        rater=answers.rater[taken],
        answer=answers.answer[taken],
    )


def mean(outcomes: Sequence[Outcome]) -> tuple[Outcome, Outcome | None]:
    """The mean of one or more draws, and their standard deviations; None of a single draw."""
    table = np.array([dataclasses.astuple(one) for one in outcomes])
    spread = Outcome(*table.std(axis=0, ddof=1).tolist()) if len(table) > 1 else None
    return Outcome(*table.mean(axis=0).tolist()), spread
