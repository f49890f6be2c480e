"""Says in one line why JAX's runtime aborted this process.

The runtime aborts the process when it cannot reach process 0, before Python can act.
"""

from __future__ import annotations

import contextlib
import faulthandler
import subprocess
import sys
from collections.abc import Iterator

# Reads the report of a crash. Of an abort it prints the message instead, of another crash the report.
_REPORTER = """
import sys
report = sys.stdin.read()
print(sys.argv[1] if report.startswith("Fatal Python error: Aborted") else report, end="",
      file=sys.stderr)
"""


@contextlib.contextmanager
def reported(message: str) -> Iterator[None]:
    """Prints the message if this process is aborted in this context; other crashes keep their report."""
    reporter = subprocess.Popen(
        [sys.executable, "-S", "-c", _REPORTER, f"{message}\n"],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this process alone
    )
    assert reporter.stdin is not None
    faulthandler.enable(reporter.stdin)
    try:
        yield
    finally:
        faulthandler.enable(sys.__stderr__ or sys.stderr)
        reporter.communicate()
