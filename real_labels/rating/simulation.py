"""Simulated raters that answer over HTTP as a browser does, and a server for them.

Simulated raters know the truth and make random mistakes. They test the server, its database and the
statistics, but tell nothing about how people answer.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import http.client
import json
import random
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

_TOKEN = re.compile(r'data-token="([0-9a-f]+)"')
_TIMEOUT = 60  # seconds for a reply
_TOO_MANY = 429  # HTTP status: too many requests

# (id of the image, class index) -> whether the label is present
Truth = Callable[[int, int], bool]


@dataclasses.dataclass(frozen=True)
class Skill:
    """Answer probabilities of a simulated rater.

    Attributes:
      right: probability of the right answer, if the rater does not say maybe and leaning is 0.
      maybe: probability of the answer maybe.
      leaning: bias towards yes, in [-1, 1]. The probability of a wrong answer is (1 - right) (1 + leaning)
        for absent labels, and (1 - right) (1 - leaning) for present labels.
    """

    right: float
    maybe: float = 0.05
    leaning: float = 0.0

    def answer(self, is_present: bool, rng: random.Random, categories: int) -> int:
        """Draws an answer, as its position in the categories."""
        if categories > 2 and rng.random() < self.maybe:
            return categories // 2
        wrong = (1 - self.right) * (1 - self.leaning if is_present else 1 + self.leaning)
        says_present = is_present != (rng.random() < wrong)
        return categories - 1 if says_present else 0


class RequestRefused(Exception):
    """A request that the server refused.

    Attributes:
      status: HTTP status of the reply, such as 429.
    """

    def __init__(self, status: int, text: str):
        super().__init__(f"{status}: {text}")
        self.status = status


class Visitor:
    """A simulated rater: opens the invitation, reads the guidelines, and answers.

    Attributes:
      acknowledged: (id of the image, answers) of each answered task that the server has acknowledged.
    """

    def __init__(self, invitation: str, address: str | None = None):
        """Opens the invitation.

        Args:
          invitation: link of the invitation.
          address: IP address of the visitor, as a proxy would pass it on; None: that of this machine.

        Raises:
          RequestRefused: if the server refuses the invitation.
        """
        self._site, _, token = invitation.partition("/invite/")
        self._host = urllib.parse.urlsplit(self._site).netloc
        self._headers = {} if address is None else {"x-forwarded-for": address}
        self._connection: http.client.HTTPConnection | None = None
        headers, _ = self._send("GET", f"/invite/{token}")
        self._headers["cookie"] = headers["set-cookie"].partition(";")[0]
        _, page = self._send("GET", "/")
        match = _TOKEN.search(page.decode())
        assert match is not None, "the page holds no token"
        self._headers |= {
            "content-type": "application/json",
            "origin": self._site,
            "x-csrf-token": match[1],
        }
        self.acknowledged: list[tuple[int, dict[str, int]]] = []
        self.ask("begin")

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends a request of the page and returns the reply. On "too many requests", waits and tries again.

        Raises:
          RequestRefused: if the server refuses the request for another reason.
          OSError, http.client.HTTPException: if the connection is lost.
        """
        while True:
            try:
                _, content = self._send("POST", f"/{path}", json.dumps(body or {}))
                return json.loads(content)
            except RequestRefused as error:
                if error.status != _TOO_MANY:
                    raise
                time.sleep(0.1)

    def _send(self, method: str, path: str, body: str | None = None) -> tuple[Any, bytes]:
        """Returns headers and content of a reply. The connection stays open, as in a browser."""
        was_open = self._connection is not None
        connection = self._connection or http.client.HTTPConnection(self._host, timeout=_TIMEOUT)
        self._connection = connection
        try:
            connection.request(method, path, body, self._headers)
            reply = connection.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connection = None
            if was_open:  # send again: the server may have closed the idle connection
                return self._send(method, path, body)
            raise
        if reply.status >= 400:
            raise RequestRefused(reply.status, content.decode(errors="replace"))
        return reply.headers, content

    def work(self, truth: Truth, skill: Skill, seed: int, most: int | None = None) -> int:
        """Answers tasks until at least `most` are done, or no more are lent; returns their number."""
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


def side_by_side(
    visitors: Sequence[Visitor], skills: Sequence[Skill], truth: Truth, seed: int
) -> int:
    """Lets all visitors answer concurrently until no tasks are left; returns the number of answered tasks."""
    with concurrent.futures.ThreadPoolExecutor(len(visitors)) as pool:
        jobs = [
            pool.submit(visitor.work, truth, skill, seed + place)
            for place, (visitor, skill) in enumerate(zip(visitors, skills, strict=True))
        ]
        return sum(job.result() for job in jobs)


class Server:
    """`rate serve` in its own process, on a free port. As a context manager, it starts and kills the server.

    Attributes:
      address: URL of the server.
    """

    def __init__(self, url: str, *options: str, stdout: int = subprocess.DEVNULL):
        """Prepares the command, without starting it.

        Args:
          url: URL of the database.
          options: more options of `rate serve`.
          stdout: destination of the server's output; subprocess.PIPE keeps output and errors for `output`.
        """
        self._stdout = stdout
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._command = [sys.executable, "-m", "real_labels", "rate", "serve", "--database", url]
        self._command += ["--port", str(self._port), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        """Starts the server, and waits until it answers.

        Raises:
          RuntimeError: if the server ends before it answers.
        """
        errors = subprocess.STDOUT if self._stdout == subprocess.PIPE else None
        self._process = subprocess.Popen(self._command, stdout=self._stdout, stderr=errors)
        while self._process.poll() is None:
            try:
                urllib.request.urlopen(self.address, timeout=_TIMEOUT).close()
                return self
            except urllib.error.HTTPError:  # 401, because there is no session: the server is ready
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(
            f"{' '.join(self._command)} ended with exit status {self._process.returncode}."
        )

    def kill(self) -> None:
        """Kills the server at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def output(self) -> str:
        """Returns the output of the server. Call it after `kill`."""
        if self._process is None or self._process.stdout is None:
            return ""
        return self._process.stdout.read().decode()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
