"""Accuracies of models on both label sets, from tables such as timm's two result files."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels.errors import InputError, naming
from real_labels.files import tables

if TYPE_CHECKING:
    from jaxtyping import Float

_MODEL_COLUMNS = ("model", "name", "model_name")
_SETTING_COLUMNS = ("img_size", "resolution", "size")  # one model may be there at several
_TOP1 = ("top1", "top_1", "acc1", "acc@1", "accuracy", "top1_accuracy")
_ORIGINAL = re.compile(r"(original|imagenet|orig)(_?(top_?1|acc1?|accuracy))?")
_REAL = re.compile(r"(real|reassessed)(_?(top_?1|acc1?|accuracy))?")
_ONLY_IN_REAL = "top1_diff"  # timm writes how much ReaL differs from the original labels


@dataclasses.dataclass(frozen=True, eq=False)
class AccuracyTable:
    """Top-1 accuracy of M models on both label sets.

    Attributes:
      names: (M,) str, distinct.
      original, real: (M,) float64 shares in [0, 1].
      left_out: models that only one of two tables has.
    """

    names: np.ndarray
    original: Float[np.ndarray, "models"]
    real: Float[np.ndarray, "models"]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def beside(self, others: Iterable[str]) -> AccuracyTable:
        """The same, with names that tell these models from others of the same name."""
        taken = set(others)
        names = [f"{name} (table)" if name in taken else name for name in self.names.tolist()]
        return dataclasses.replace(self, names=np.array(names))


def read(paths: Sequence[str | os.PathLike[str]]) -> AccuracyTable:
    """Reads one table of (model, original, real), or two of (model, top1): the original labels' first.

    Models are matched by name and, where both tables have it, image size. Accuracies are percent or
    shares, as the largest one tells.

    Args:
      paths: one or two files, of any kind that `tables.read` takes.

    Raises:
      InputError: naming the file: a column is missing, a model is there twice, an accuracy is none, no
        model is in both, or the two tables are swapped.
    """
    if len(paths) == 1:
        with naming(paths[0]), tables.understood():
            table = tables.with_plain_names(tables.read(paths[0]))
            keys = _keys(table)
            original = _shares(table, _matching(table, _ORIGINAL, "original"))
            real = _shares(table, _matching(table, _REAL, "real"))
        return AccuracyTable(_names(keys), original, real)
    if len(paths) != 2:
        raise InputError(
            f"Expected one table of (model, original, real), or two: the original labels' and ReaL's; "
            f"found {len(paths)} files."
        )
    columns: list[dict[tuple[str, ...], float]] = []
    for path in paths:
        with naming(path), tables.understood():
            table = tables.with_plain_names(tables.read(path))
            if path == paths[0] and _ONLY_IN_REAL in table.column_names:
                raise InputError(
                    f"has a column {_ONLY_IN_REAL}, so it holds the ReaL accuracies; name the table of "
                    f"the original labels first."
                )
            top1 = next((name for name in _TOP1 if name in table.column_names), None)
            if top1 is None:
                raise InputError(f"has no column top1; there are {', '.join(table.column_names)}.")
            columns.append(dict(zip(_keys(table), _shares(table, top1).tolist(), strict=True)))
    first, second = columns
    if not all(len(key) == 2 for key in (next(iter(first)), next(iter(second)))):
        # One of them has no image sizes: names alone must do.
        first, second = (_by_name(one, path) for one, path in zip(columns, paths, strict=True))
    common = [key for key in first if key in second]
    if not common:
        raise InputError(
            f"{paths[0]} and {paths[1]} have no model in common (first: {next(iter(first))[0]} and "
            f"{next(iter(second))[0]})."
        )
    return AccuracyTable(
        _names(common),
        np.array([first[key] for key in common]),
        np.array([second[key] for key in common]),
        left_out=len(first) + len(second) - 2 * len(common),
    )


def _by_name(
    accuracies: dict[tuple[str, ...], float], path: str | os.PathLike[str]
) -> dict[tuple[str, ...], float]:
    found = {key[:1]: value for key, value in accuracies.items()}
    if len(found) < len(accuracies):
        several = next(k[0] for k in accuracies if sum(o[0] == k[0] for o in accuracies) > 1)
        raise InputError(
            f"{path}: has {several} at several image sizes, which the other table does not tell apart; it "
            f"needs a column img_size, too."
        )
    return found


def _keys(table: Any) -> list[tuple[str, ...]]:
    """(model,) or (model, image size) of each row."""
    column = next((name for name in _MODEL_COLUMNS if name in table.column_names), None)
    if column is None:
        raise InputError(f"has no column model; there are {', '.join(table.column_names)}.")
    parts = [tables.strings(table[column], column).tolist()]
    size = next((name for name in _SETTING_COLUMNS if name in table.column_names), None)
    if size is not None:
        parts.append(tables.strings(table[size], size).tolist())
    keys = list(zip(*parts, strict=True))
    seen: set[tuple[str, ...]] = set()
    for row, key in enumerate(keys):
        if key in seen:
            raise InputError(f"row {row + 1} has {' at '.join(key)} once more.")
        seen.add(key)
    return keys


def _names(keys: Sequence[tuple[str, ...]]) -> np.ndarray:
    """The models' names, with the image size where a name alone stands for several."""
    names = [key[0] for key in keys]
    several = {name for name in names if names.count(name) > 1} if _repeats(names) else set()
    return np.array([f"{k[0]} ({k[1]})" if k[0] in several else k[0] for k in keys])


def _repeats(names: list[str]) -> bool:
    return len(set(names)) < len(names)


def _matching(table: Any, pattern: re.Pattern[str], what: str) -> str:
    found = [name for name in table.column_names if pattern.fullmatch(name)]
    if len(found) != 1:
        raise InputError(
            f"expected one column of accuracies called {what}, found {', '.join(found) or 'none'} among "
            f"{', '.join(table.column_names)}. Of two tables with a column top1, give both."
        )
    return found[0]


def _shares(table: Any, column: str) -> Float[np.ndarray, "models"]:
    values = tables.floats(table[column], column)
    if values.size and np.nanmax(values) > 1:
        values = values / 100
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"row {row + 1} has the {column} {table[column][row].as_py()}; expected percent or shares."
        )
    return values
