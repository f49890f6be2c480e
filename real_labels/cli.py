"""The command line: `real-labels COMMAND` or `python -m real_labels COMMAND`.

Each command imports its dependencies when it runs, so that `--help` is fast.
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
from real_labels.errors import ExpectedError, bucket_errors_as_os_errors, printable

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
    """Runs a command; bad input prints one line to stderr and exits with status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with contextlib.redirect_stdout(_Output(sys.stdout)):
        options = _parser().parse_args(_hyphenated(arguments))
        try:
            with bucket_errors_as_os_errors():
                options.run(options)
            sys.stdout.flush()
        except ExpectedError as error:
            sys.stdout.flush()
            sys.exit(f"Error: {error}")
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            sys.exit(printable(f"Error: {where}{error.strerror or error}."))
        except KeyboardInterrupt:
            sys.exit(130)


class _Output:
    """Standard output for a command.

    It may be closed, or its reader, such as `head`, may exit; the command runs on. Control characters, such
    as those of a file name, are written as escapes.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the text; discards it once the reader is gone."""
        if self._stream is not None:
            try:
                return self._stream.write(printable(text))
            except BrokenPipeError:
                self._discard()
        return len(text)

    def flush(self) -> None:
        """Flushes the stream while it has a reader."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except BrokenPipeError:
                self._discard()

    def _discard(self) -> None:
        if self._stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _hyphenated(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with --data_dir, the spelling of TensorFlow programs, as --data-dir."""
    hyphenated, is_end = [], False
    for argument in arguments:
        is_end = is_end or argument == "--"
        name, equals, value = argument.partition("=")
        if name.startswith("--") and not is_end:
            argument = f"{name.replace('_', '-')}{equals}{value}"
        hyphenated.append(argument)
    return hyphenated


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
        subparser = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.",
            epilog=f"example: {program} {name} {module.EXAMPLE}".rstrip(),
        )
        subparser.set_defaults(run=module.run)
        module.add_arguments(subparser)
    return parser
