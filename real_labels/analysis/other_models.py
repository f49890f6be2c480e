"""Accuracies of models on the original and other label sets, from tables such as timm's result files."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files import tables
from real_labels.labels import ORIGINAL
from real_labels.labels.reassessment import REAL, check_name

if TYPE_CHECKING:
    from jaxtyping import Float

_MODEL_COLUMNS = ("model", "name", "model_name")
_SETTING_COLUMNS = ("img_size", "resolution", "size")  # a model may appear at several sizes
_TOP1 = ("top1", "top_1", "acc1", "acc@1", "accuracy", "top1_accuracy")
_SPELLINGS = {ORIGINAL: "original|imagenet|orig", REAL: "real|reassessed"}
_SUFFIX = r"(_?(top_?1|acc1?|accuracy))?"
_ONLY_IN_REAL = "top1_diff"  # timm's column of the difference between ReaL and original accuracy


@dataclasses.dataclass(frozen=True, eq=False)
class AccuracyTable:
    """Top-1 accuracy of M models on the original labels and on reassessments.

    Attributes:
      names: (M,) str, distinct.
      original: (M,) float64 shares in [0, 1].
      by: (M,) shares by each reassessment's name; NaN if a model's accuracy is not known.
      left_out: number of models left out, since they are not in both the original labels' and another table.
    """

    names: np.ndarray
    original: Float[np.ndarray, "models"]
    by: Mapping[str, Float[np.ndarray, "models"]]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def beside(self, others: Iterable[str]) -> AccuracyTable:
        """Returns the table with " (table)" added to the names that are also in `others`."""
        taken = set(others)
        names = [f"{name} (table)" if name in taken else name for name in self.names.tolist()]
        return dataclasses.replace(self, names=np.array(names))


def read(
    paths: Sequence[str | os.PathLike[str]], label_sets: Iterable[str] = (REAL,)
) -> AccuracyTable:
    """Reads one table of (model, original, real, …), or one of (model, top1) for each label set.

    Models are matched by name and, if all tables have it, image size. The accuracies of a column are percent
    if the largest is above 1, else shares.

    Args:
      paths: files of any format that `tables.read` takes. Of several files, the first is for the original
        labels and the second for ReaL. Further files are given with their label set, as NAME=FILE, and the
        first two may be given in the same way.
      label_sets: names of the reassessments that may have a column in a single table.

    Raises:
      InputError: names the file, if a column is missing, a model appears twice, an accuracy is not a valid
        number, no model is in the original labels' and another table, or the tables are swapped.
    """
    if len(paths) == 1:
        with naming(paths[0]), tables.understood():
            table = tables.with_plain_names(tables.read(paths[0]))
            keys = _keys(table)
            original = _shares(table, _matching(table, ORIGINAL))
            known = list(dict.fromkeys([REAL, *label_sets]))
            present = [name for name in known if _columns(table, name)]
            by = {
                name: _shares(table, _matching(table, name), may_lack=len(present) > 1)
                for name in present or [REAL]
            }
        return AccuracyTable(_names(keys), original, by)
    named = _named(paths)
    columns: dict[str, dict[tuple[str, ...], float]] = {}
    for name, path in named.items():
        with naming(path), tables.understood():
            table = tables.with_plain_names(tables.read(path))
            if name == ORIGINAL and _ONLY_IN_REAL in table.column_names:
                raise InputError(
                    f"has a column {_ONLY_IN_REAL}, so it holds the ReaL accuracies; name the table of "
                    f"the original labels first."
                )
            top1 = next((name for name in _TOP1 if name in table.column_names), None)
            if top1 is None:
                raise InputError(
                    f"has no column top1; the columns are {', '.join(table.column_names)}."
                )
            columns[name] = dict(zip(_keys(table), _shares(table, top1).tolist(), strict=True))
    without = [
        named[name] for name, accuracies in columns.items() if len(next(iter(accuracies))) == 1
    ]
    if without:  # a table has no image sizes, so models are matched by name alone
        columns = {
            name: _by_name(accuracies, named[name], without[0])
            for name, accuracies in columns.items()
        }
    first = columns.pop(ORIGINAL)
    common = [key for key in first if any(key in accuracies for accuracies in columns.values())]
    for name, accuracies in columns.items():
        if not any(key in first for key in accuracies):
            raise InputError(
                f"{named[ORIGINAL]} and {named[name]} have no model in common (first: "
                f"{next(iter(first))[0]} and {next(iter(accuracies))[0]})."
            )
    everything = set(first).union(*columns.values())
    return AccuracyTable(
        _names(common),
        np.array([first[key] for key in common]),
        {
            name: np.array([accuracies.get(k, np.nan) for k in common])
            for name, accuracies in columns.items()
        },
        left_out=len(everything) - len(common),
    )


def _named(paths: Sequence[str | os.PathLike[str]]) -> dict[str, str | os.PathLike[str]]:
    """The files by the name of the label set of their accuracies."""
    named: dict[str, str | os.PathLike[str]] = {}
    for number, given in enumerate(paths):
        name, is_named, path = str(given).partition("=")
        if not is_named or "/" in name or os.path.exists(given):
            if number > 1:
                raise InputError(
                    f"--accuracy-table {given}: expected NAME=FILE for each table after the first two, such "
                    f"as shankar={given}."
                )
            name, path = (ORIGINAL, REAL)[number], given
        elif name != ORIGINAL:
            check_name(name)
        if name in named:
            raise InputError(f"--accuracy-table: there are two tables of {name} accuracies.")
        named[name] = path
    if ORIGINAL not in named:
        raise InputError(
            "--accuracy-table: no table is for the original labels; give one first, or as original=FILE."
        )
    return named


def _by_name(
    accuracies: dict[tuple[str, ...], float],
    path: str | os.PathLike[str],
    without: str | os.PathLike[str],
) -> dict[tuple[str, ...], float]:
    """The accuracies by the model's name alone, because the table `without` has no image sizes."""
    by_name = {key[:1]: value for key, value in accuracies.items()}
    if len(by_name) < len(accuracies):
        several = next(k[0] for k in accuracies if sum(o[0] == k[0] for o in accuracies) > 1)
        raise InputError(
            f"{path}: has {several} at several image sizes, but {without} has no image sizes; add a column "
            f"img_size to {without}."
        )
    return by_name


def _keys(table: Any) -> list[tuple[str, ...]]:
    """(model,) or (model, image size) of each row."""
    column = next((name for name in _MODEL_COLUMNS if name in table.column_names), None)
    if column is None:
        raise InputError(f"has no column model; the columns are {', '.join(table.column_names)}.")
    parts = [tables.strings(table[column], column).tolist()]
    size = next((name for name in _SETTING_COLUMNS if name in table.column_names), None)
    if size is not None:
        parts.append(tables.strings(table[size], size).tolist())
    keys = list(zip(*parts, strict=True))
    seen: set[tuple[str, ...]] = set()
    for row, key in enumerate(keys):
        if key in seen:
            raise InputError(f"row {row + 1} repeats {' at '.join(key)}.")
        seen.add(key)
    return keys


def _names(keys: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Names of the models; a name that occurs several times gets its image size added."""
    names = [key[0] for key in keys]
    several = {name for name in names if names.count(name) > 1} if _repeats(names) else set()
    return np.array([f"{k[0]} ({k[1]})" if k[0] in several else k[0] for k in keys])


def _repeats(names: list[str]) -> bool:
    return len(set(names)) < len(names)


def _columns(table: Any, name: str) -> list[str]:
    """The columns that may hold the accuracies on a label set."""
    pattern = re.compile(f"({_SPELLINGS.get(name, re.escape(name.lower()))}){_SUFFIX}")
    return [column for column in table.column_names if pattern.fullmatch(column.lower())]


def _matching(table: Any, name: str) -> str:
    matches = _columns(table, name)
    if len(matches) != 1:
        raise InputError(
            f"expected one column of accuracies called {name}, found {', '.join(matches) or 'none'} among "
            f"{', '.join(table.column_names)}. If each label set has its own table with a "
            f"column top1, give all tables."
        )
    return matches[0]


def _shares(table: Any, column: str, *, may_lack: bool = False) -> Float[np.ndarray, "models"]:
    """Accuracies as shares in [0, 1]; if `may_lack`, an empty cell is NaN."""
    cells = table[column]
    empty = np.zeros(len(cells), bool)
    if may_lack:
        empty = np.array([cell is None or cell == "" for cell in cells.to_pylist()], bool)
        values = np.full(len(cells), np.nan)
        if not empty.all():
            values[~empty] = tables.floats(cells.filter(~empty), column)
    else:
        values = tables.floats(cells, column)
    if (~np.isnan(values)).any() and np.nanmax(values) > 1:
        values = values / 100
    bad = ~((values >= 0) & (values <= 1)) & ~empty
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"row {row + 1} has the {column} {table[column][row].as_py()}; expected percent or shares."
        )
    return values
