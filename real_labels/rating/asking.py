"""Adaptive asking: which questions need more answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.errors import InputError
from real_labels.rating.tasks import Task, questions_of

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from real_labels.answers import Answers


@dataclasses.dataclass(frozen=True)
class Policy:
    """Rule that decides whether a question needs more answers.

    Attributes:
      until: sureness from which a question is done, in (0.5, 1]. The sureness is the larger of P(present) and
        1 - P(present).
      at_least: number of answers that every question gets.
      at_most: number of answers after which no question is asked again.
    """

    until: float = 0.95
    at_least: int = 3
    at_most: int = 9

    def __post_init__(self):
        if not 0.5 < self.until <= 1:
            raise InputError(
                f"--ask-until {self.until}: expected a sureness above 0.5 and at most 1."
            )
        if not 1 <= self.at_least <= self.at_most:
            raise InputError(
                f"--at-least {self.at_least} --at-most {self.at_most}: expected 1 <= at least <= at most."
            )

    def needs_more(
        self, sureness: Float[np.ndarray, "questions"], asked: Int[np.ndarray, "questions"]
    ) -> Bool[np.ndarray, "questions"]:
        """Returns a (Q,) mask of the questions to ask once more.

        Args:
          sureness: (Q,) max(P(present), P(absent)) given the answers so far, in [0.5, 1].
          asked: (Q,) number of answers so far.
        """
        return (asked < self.at_least) | ((sureness < self.until) & (asked < self.at_most))


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """State of the questions of tasks, in the order of the tasks.

    Attributes:
      needed: (Q,) mask of the questions to ask once more.
      sure: number of sure questions with at least `at_least` answers.
      given_up: number of unsure questions with at least `at_most` answers.
      too_few: number of questions with fewer than `at_least` answers.
      unsure: number of unsure questions with `at_least` or more, but fewer than `at_most` answers.
      unknown: number of answered questions that are in none of the tasks.
    """

    needed: Bool[np.ndarray, "questions"]
    sure: int
    given_up: int
    too_few: int
    unsure: int
    unknown: int


def state(
    tasks: Sequence[Task],
    answers: Answers,
    sureness: Float[np.ndarray, "answered_questions"],
    policy: Policy,
) -> State:
    """Determines which questions of the tasks need more answers.

    Args:
      tasks: all tasks; no two tasks ask the same question.
      answers: the answers so far.
      sureness: (A,) sureness of each question of the answers, in [0.5, 1].
      policy: decides when a question is done.

    Raises:
      InputError: if none of the tasks' questions was answered, so the answers belong to other tasks.
    """
    asked = questions_of(tasks)
    rows = answers.questions.find(asked)
    answered = rows >= 0
    if not answered.any():
        other = answers.questions
        raise InputError(
            f"none of the {len(asked):,} questions of the tasks was answered (the tasks begin with "
            f"{asked.file_name()[0]}, label {asked.label[0]}; the answers begin with "
            f"{other.file_name()[0]}, label {other.label[0]}). Tasks and answers must be of the same dataset "
            f"and class numbering."
        )
    number = np.where(answered, answers.asked[rows], 0)
    asked_sureness = np.where(answered, sureness[rows], 0.5)
    needed = policy.needs_more(asked_sureness, number)
    too_few = number < policy.at_least
    return State(
        needed,
        sure=int(np.count_nonzero(~needed & (asked_sureness >= policy.until))),
        given_up=int(np.count_nonzero(~needed & (asked_sureness < policy.until))),
        too_few=int(np.count_nonzero(too_few)),
        unsure=int(np.count_nonzero(needed & ~too_few)),
        unknown=len(answers.questions) - int(np.count_nonzero(answered)),
    )


def more_tasks(tasks: Sequence[Task], state: State) -> list[Task]:
    """Returns the tasks with needed questions; their other labels are shown for contrast."""
    needed = state.needed.tolist()
    kept, start = [], 0
    for task in tasks:
        end = start + len(task.ask)
        ask = tuple(label for label, need in zip(task.ask, needed[start:end], strict=True) if need)
        if ask:
            kept.append(dataclasses.replace(task, ask=ask))
        start = end
    return kept
