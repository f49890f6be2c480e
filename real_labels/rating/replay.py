"""Replays policies of adaptive asking on recorded answers."""

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


# Maps answers to P(present) and sureness of each of their questions, (Q,) each.
Method = Callable[["Answers"], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Cost and accuracy of a policy.

    Attributes:
      answers_per_question: mean number of answers that the policy asks for.
      precision, recall, f1: of the labels whose P(present) reaches the threshold, against gold.
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
    """Measures a policy: asks as the policy says, and takes recorded answers in random order.

    In each round, every unsure question gets one more answer, and all questions are aggregated again. The
    replay ends when no question needs more answers, or the recorded answers are used up.

    Args:
      answers: many answers to each question.
      gold: truth of the questions. Precision, recall and F1 are over the questions with a truth.
      policy: decides when a question is done.
      aggregated: computes P(present) and sureness of each question from the answers so far.
      threshold: P(present) from which a label counts as present.
      seed: seed of the order of the answers.

    Raises:
      InputError: if no question of the answers has a known truth.
    """
    rows, here = gold.among(answers.questions, "answers")
    rng = np.random.default_rng(seed)
    shuffled = np.lexsort((rng.random(len(answers)), answers.question))
    # Position of each answer among the answers to its question.
    place = np.empty(len(answers), np.int64)
    place[shuffled] = np.arange(len(answers)) - np.repeat(answers.offsets[:-1], answers.asked)
    asked = np.minimum(policy.at_least, answers.asked)
    while True:
        probability, sureness = aggregated(_select(answers, place < asked[answers.question]))
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
    """Returns a method that is calibrated on gold but judges no question by its own truth.

    The gold images are split into two halves. The questions of each half are aggregated with the gold of the
    other half; images without gold are in the second half.

    Args:
      answers: all answers. The method is called with subsets of them, on the same questions.
      gold: the gold questions.
      calibrated: aggregates answers with confusions measured on gold.
      seed: seed of the split.

    Raises:
      InputError: if the gold is about fewer than two images.
    """
    rows, here = gold.among(answers.questions, "answers")
    images = np.unique(answers.questions.image[rows])
    if len(images) < 2:
        raise InputError(
            "All gold questions are about one image. Give gold on at least two images: it is split into "
            "halves."
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
            aggregate = calibrated(some, other_gold)
            probability[half] = aggregate.scores.probability[half]
            sureness[half] = aggregate.sureness[half]
        return probability, sureness

    return aggregated


def _select(answers: Answers, taken: np.ndarray) -> Answers:
    return dataclasses.replace(
        answers,
        question=answers.question[taken],
        rater=answers.rater[taken],
        answer=answers.answer[taken],
    )


def mean(outcomes: Sequence[Outcome]) -> tuple[Outcome, Outcome | None]:
    """Returns mean and standard deviation (ddof=1) of the outcomes; the latter is None for one outcome."""
    table = np.array([dataclasses.astuple(outcome) for outcome in outcomes])
    spread = Outcome(*table.std(axis=0, ddof=1).tolist()) if len(table) > 1 else None
    return Outcome(*table.mean(axis=0).tolist()), spread
