"""Running servers: processes that can be killed, and their raters' links."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from tests.conftest import PATIENCE, PROJECT


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """`rate serve` in a process of its own."""

    def __init__(self, url: str, *options: str, port: int | None = None):
        self.url, self.options = url, options
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self) -> Server:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "real_labels", "rate", "serve", "--database", self.url, "--port",
             str(self.port), *self.options],
            cwd=PROJECT, env=os.environ, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, "the server ended by itself"
            try:
                urllib.request.urlopen(self.address, timeout=10)
            except urllib.error.HTTPError:
                return self  # it answers: 401 without a session
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(self.address)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
