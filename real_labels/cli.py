"""The command line: real-labels COMMAND, or python -m real_labels COMMAND.

Commands import what they need when they run, so that help comes in a blink.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from real_labels.commands import (
    aggregate,
    clean,
    compare,
    curve,
    ensemble,
    fetch,
    next,
    propose,
    rate,
    raters,
    replay,
    report,
    score,
    tasks,
)
from real_labels.errors import ExpectedError

_COMMANDS = {
    "fetch": fetch,
    "score": score,
    "compare": compare,
    "ensemble": ensemble,
    "report": report,
    "propose": propose,
    "tasks": tasks,
    "rate": rate,
    "next": next,
    "replay": replay,
    "aggregate": aggregate,
    "curve": curve,
    "raters": raters,
    "clean": clean,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; bad input ends in one line on stderr and exit status 1."""
    given = sys.argv[1:] if arguments is None else arguments
    with contextlib.redirect_stdout(_Output(sys.stdout)):
        options = _parser().parse_args(_hyphenated(given))
        try:
            options.run(options)
            sys.stdout.flush()
        except ExpectedError as error:
            sys.stdout.flush()
            sys.exit(f"Error: {error}")
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            sys.exit(f"Error: {where}{error.strerror or error}.")
        except KeyboardInterrupt:
            sys.exit(130)


class _Output:
    """Standard output whose reader, `head` say, may leave early, or which is closed: the work goes on."""

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, as long as somebody reads."""
        if self._stream is not None:
            try:
                return self._stream.write(text)
            except BrokenPipeError:
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flushes, as long as somebody reads."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except BrokenPipeError:
                self._give_up()

    def _give_up(self) -> None:
        if self._stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _hyphenated(arguments: Sequence[str]) -> list[str]:
    """The arguments with --data-dir for --data_dir, as TensorFlow's programs spell options."""
    spelled, end = [], False
    for argument in arguments:
        end = end or argument == "--"
        name, equals, value = argument.partition("=")
        if name.startswith("--") and not end:
            argument = f"{name.replace('_', '-')}{equals}{value}"
        spelled.append(argument)
    return spelled


def _parser() -> argparse.ArgumentParser:
    is_installed = os.path.basename(sys.argv[0]).startswith("real-labels")
    program = "real-labels" if is_installed else "python -m real_labels"
    parser = argparse.ArgumentParser(
        prog=program,
        description="Labels, answers and accuracy: from raters' raw answers to label sets, and from "
        "predictions to accuracy on the original and the Reassessed Labels (ReaL).",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        added = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.",
            epilog=f"example: {program} {name} {module.EXAMPLE}".rstrip(),
        )
        added.set_defaults(run=module.run)
        module.add_arguments(added)
    return parser
