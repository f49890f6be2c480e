"""Starting `python -m real_labels report` inside a test."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from real_labels import cli
from tests.conftest import PROJECT


def run(capsys, *arguments, fails: bool = False):
    """(report.json or None, standard output, error message and standard error)."""
    arguments = ["report", *map(str, arguments)]
    if fails:
        with pytest.raises(SystemExit) as exit_:
            cli.main(arguments)
    else:
        cli.main(arguments)
    captured = capsys.readouterr()
    error = str(exit_.value) if fails else ""
    out = arguments[arguments.index("--out") + 1]
    try:
        record = json.loads(
            (PROJECT / out / "report.json").read_text(), parse_constant=lambda c: pytest.fail(c)
        )
    except FileNotFoundError:
        record = None
    return record, captured.out, error + captured.err


def labels_of(files):
    return "--labels", files / "real.json", "--original", files / "original.json"


def write(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path
