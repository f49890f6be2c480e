"""Fields: one view of the columns of a table and of the arrays of an archive, and how to read them."""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from real_labels.files import tables
from real_labels.labels import ClassNames
from real_labels.labels.classes import WORDNET_ID, whole_number
from real_labels.predictions.roles import Role

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped

SAMPLE = 100  # first rows, which show the content of a field


class Content(enum.Enum):
    """The kind of values in a field."""

    WHOLE = "whole numbers or WordNet ids"
    REAL = "numbers with decimals"
    FLAGS = "true or false"
    TEXT = "text"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class Field:
    """A column, some numbered columns together, or an array.

    Attributes:
      key: its name in the form that the rules compare (see tables.key_of), without the number.
      columns: names of the columns, in order, or of the array.
      role: the role that its name suggests.
      content: content of its first rows.
      width: number of values in a row, counted in the first row.
    """

    key: str
    columns: tuple[str, ...]
    role: Role
    content: Content
    width: int

    @property
    def title(self) -> str:
        """The name of the field in messages; --column accepts it, too."""
        first, last = self.columns[0], self.columns[-1]
        return first if len(self.columns) == 1 else f"{first} … {last}"

    @property
    def is_numeric(self) -> bool:
        """Whether the field holds numbers, or several columns of true and false."""
        return self.content in (Content.WHOLE, Content.REAL) or (
            self.content is Content.FLAGS and self.width > 1
        )


class Fields(abc.ABC):
    """The fields of a file besides the file names, and how to read them.

    Attributes:
      names: (N,) str file names; None if the rows are in the order of the sorted file names.
      fields: the other fields.
      all_names: names of all columns or arrays, for messages.
      kind: words that messages put before these names.
      unread: names of arrays that could not become fields, such as arrays of three dimensions.
      is_mock: whether the file says that its images were random.
      class_names: names of the classes, or None.
    """

    names: np.ndarray | None
    fields: list[Field]
    all_names: list[str]
    kind = ""
    unread: Sequence[str] = ()
    is_mock = False
    class_names: ClassNames | None = None

    @abc.abstractmethod
    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        """(N, k) class indices of a field; refuses rows of unequal length."""

    @abc.abstractmethod
    def numbers(self, field: Field) -> Shaped[np.ndarray, "rows k"]:
        """(N, k) numbers of a field, or true and false."""

    def texts(self, field: Field) -> list[str]:
        """(N,) cells of a text field; an empty list if the file cannot hold text."""
        return []

    def are_words(self, field: Field) -> bool:
        """Whether the classes of a field are written as words: class names, or WordNet ids."""
        return False

    def are_wordnet_ids(self, field: Field) -> bool:
        """Whether the classes of a field are WordNet ids of ILSVRC-2012."""
        return False

    def are_boxes(self, field: Field) -> bool:
        """Whether each class of a field is followed by a box; then only the first class of a row is read."""
        return False


def content_of(rows: Sequence[Sequence[str]], class_names: ClassNames | None) -> Content:
    """Content of rows of tokens: the first row tells numbers from text, all rows tell whole numbers."""
    first = rows[0] if rows else ()
    if not first:
        return Content.NOTHING
    if class_names is not None and class_names.index_of(" ".join(first)) is not None:
        return Content.WHOLE
    if all(token.lower() in ("true", "false") for token in first):
        return Content.FLAGS
    if any(map(WORDNET_ID.fullmatch, first)):
        return Content.WHOLE
    if not all(map(tables.is_number, first)):
        return Content.TEXT
    numbers = [token for row in rows for token in row if tables.is_number(token)]
    return Content.REAL if None in map(whole_number, numbers) else Content.WHOLE
