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
    """When a question has been asked often enough.

    Attributes:
      until: sureness that ends it, in (0.5, 1]: P(present) is at least this, or at most 1 - this.
      at_least: answers that every question gets.
      at_most: answers after which none is asked again.
    """

    until: float = 0.95
    at_least: int = 3
    at_most: int = 9

    def __post_init__(self):
        if not 0.5 < self.until <= 1:
            raise InputError(
                f"--ask-until {self.until}: expected more than 0.5 and at most 1, the sureness that ends a "
                f"question."
            )
        if not 1 <= self.at_least <= self.at_most:
            raise InputError(
                f"--at-least {self.at_least} --at-most {self.at_most}: expected 1 <= at least <= at most."
            )

    def needs_more(
        self, sureness: Float[np.ndarray, "questions"], asked: Int[np.ndarray, "questions"]
    ) -> Bool[np.ndarray, "questions"]:
        """(Q,) which questions are to be asked once more.

        Args:
          sureness: (Q,) P(the likelier of present and absent | the answers so far), in [0.5, 1].
          asked: (Q,) number of answers so far.
        """
        return (asked < self.at_least) | ((sureness < self.until) & (asked < self.at_most))


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """How far the questions of some tasks are, in the order of the tasks.

    Attributes:
      needed: (Q,) which questions are to be asked once more.
      sure: number of questions with enough answers that are sure.
      given_up: number of unsure questions with `at_most` answers.
      too_few: number of questions with fewer than `at_least` answers.
      unsure: number of unsure questions with fewer than `at_most` answers.
      unknown: number of answered questions that belong to none of the tasks.
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
    """Which questions of the tasks need more answers.

    Args:
      tasks: all tasks; no two ask the same question.
      answers: the answers so far.
      sureness: (A,) of each question of the answers.
      policy: when a question is done.

    Raises:
      InputError: if none of the tasks' questions was answered: the answers are to something else.
    """
    asked = questions_of(tasks)
    rows = answers.questions.find(asked)
    answered = rows >= 0
    if not answered.any():
        theirs = answers.questions
        raise InputError(
            f"none of the {len(asked):,} questions of the tasks was answered (the tasks begin with "
            f"{asked.file_name()[0]}, label {asked.label[0]}, the answers with {theirs.file_name()[0]}, "
            f"label {theirs.label[0]}): are they of the same dataset and class numbering?"
        )
    number = np.where(answered, answers.asked[rows], 0)
    sure_to = np.where(answered, sureness[rows], 0.5)
    needed = policy.needs_more(sure_to, number)
    too_few = number < policy.at_least
    return State(
        needed,
        sure=int(np.count_nonzero(~needed & (sure_to >= policy.until))),
        given_up=int(np.count_nonzero(~needed & (sure_to < policy.until))),
        too_few=int(np.count_nonzero(too_few)),
        unsure=int(np.count_nonzero(needed & ~too_few)),
        unknown=len(answers.questions) - int(np.count_nonzero(answered)),
    )


def more_tasks(tasks: Sequence[Task], state: State) -> list[Task]:
    """The tasks that still have something to ask, reduced to it; their other labels stay for contrast."""
    needed = state.needed.tolist()
    kept, start = [], 0
    for task in tasks:
        end = start + len(task.ask)
        ask = tuple(label for label, need in zip(task.ask, needed[start:end], strict=True) if need)
        if ask:
            kept.append(dataclasses.replace(task, ask=ask))
        start = end
    return kept
