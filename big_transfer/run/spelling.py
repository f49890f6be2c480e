"""Options that may be written with hyphens, like the options of `real_labels`, or with underscores."""

from __future__ import annotations

from collections.abc import Sequence


def underscored(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with hyphens in option names replaced: --data-dir becomes --data_dir.

    Values, and all arguments after a lone "--", are unchanged.

    >>> underscored(["main.py", "--data-dir=a-b", "x-y"])
    ['main.py', '--data_dir=a-b', 'x-y']
    """
    spelled, end = [], False
    for argument in arguments:
        end = end or argument == "--"
        name, equals, value = argument.partition("=")
        if name.startswith("--") and len(name) > 2 and not end:
            argument = f"--{name[2:].replace('-', '_')}{equals}{value}"
        spelled.append(argument)
    return spelled
