"""Simulated raters, who answer over HTTP as a browser does. They know the truth and err: they show that the
server, its database and the statistics work, and nothing about people.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import http.cookiejar
import json
import random
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

_TOKEN = re.compile(r'data-token="([0-9a-f]+)"')
_PATIENCE = 60  # seconds for a reply

# (image's id, class) -> whether the label is present
Truth = Callable[[int, int], bool]


@dataclasses.dataclass(frozen=True)
class Skill:
    """How a rater answers.

    Attributes:
      right: how often the rater sees the truth.
      maybe: how often the rater says maybe.
      leaning: how much more often an absent label is taken for present than the other way round, in [-1, 1].
    """

    right: float
    maybe: float = 0.05
    leaning: float = 0.0

    def answer(self, is_present: bool, rng: random.Random, categories: int) -> int:
        """The position of an answer in the categories."""
        if categories > 2 and rng.random() < self.maybe:
            return categories // 2
        wrong = (1 - self.right) * (1 - self.leaning if is_present else 1 + self.leaning)
        says_present = is_present != (rng.random() < wrong)
        return categories - 1 if says_present else 0


class Visitor:
    """A rater's browser: opens the invitation, reads the guidelines, and answers."""

    def __init__(self, invitation: str):
        """Opens the invitation.

        Args:
          invitation: its link.
        """
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)
        self._site = invitation.partition("/invite/")[0]
        with self._opener.open(invitation, timeout=_PATIENCE) as reply:
            page = reply.read().decode()
        self._token = _TOKEN.search(page)[1]
        self.acknowledged: list[tuple[int, dict[str, int]]] = []
        self.ask("begin")

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends a request of the page, and returns the reply.

        Raises:
          urllib.error.HTTPError: if it is refused.
        """
        request = urllib.request.Request(
            f"{self._site}/{path}",
            json.dumps(body or {}).encode(),
            {
                "content-type": "application/json",
                "origin": self._site,
                "x-csrf-token": self._token,
            },
        )
        with self._opener.open(request, timeout=_PATIENCE) as reply:
            return json.load(reply)

    def work(self, truth: Truth, skill: Skill, seed: int, most: int | None = None) -> int:
        """Answers until nothing is left, or `most` tasks; returns the number of tasks."""
        rng, done = random.Random(seed), 0
        while most is None or done < most:
            lent = self.ask("next")["tasks"]
            if not lent:
                break
            for task in lent:
                answers = {
                    str(question["id"]): skill.answer(
                        truth(task["image"], question["label"]), rng, 3
                    )
                    for question in task["questions"]
                    if question["is_asked"]
                }
                self.ask(
                    "answer",
                    {
                        "assignment": task["assignment"],
                        "answers": answers,
                        "key": f"{seed}-{task['assignment']}".rjust(8, "0"),
                        "seconds": rng.lognormvariate(1.5, 0.5),
                    },
                )
                self.acknowledged.append((task["image"], answers))
                done += 1
        return done


def crowd(
    invitations: Sequence[str], skills: Sequence[Skill], truth: Truth, seed: int
) -> list[Visitor]:
    """Lets raters answer side by side until none has anything left; returns them."""
    visitors = [Visitor(link) for link in invitations]
    with concurrent.futures.ThreadPoolExecutor(len(visitors)) as pool:
        jobs = [
            pool.submit(visitor.work, truth, skill, seed + place)
            for place, (visitor, skill) in enumerate(zip(visitors, skills, strict=True))
        ]
        for job in jobs:
            job.result()
    return visitors
