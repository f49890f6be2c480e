"""Options that may be spelled with hyphens, as those of `real_labels` are, or with underscores."""

from __future__ import annotations

from collections.abc import Sequence


def underscored(arguments: Sequence[str]) -> list[str]:
    """The arguments with --data_dir for --data-dir, up to a lone "--"; values stay as they are.

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
