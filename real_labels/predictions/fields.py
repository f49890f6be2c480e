"""What the columns of a table and the arrays of an archive hold, alike, and how to read them."""

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

SAMPLE = 100  # rows by which a content is told


class Content(enum.Enum):
    """What the cells are."""

    WHOLE = "whole numbers or WordNet ids"
    REAL = "numbers with decimals"
    FLAGS = "true or false"
    TEXT = "text"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class Field:
    """A column, some numbered columns together, or an array.

    Attributes:
      key: its name as rules compare it, without the number.
      columns: the columns or the array, in order.
      role: what its name says.
      content: what its first rows hold.
      width: numbers in each row, as the first one tells.
    """

    key: str
    columns: tuple[str, ...]
    role: Role
    content: Content
    width: int

    @property
    def title(self) -> str:
        """What messages call it, and --column may."""
        first, last = self.columns[0], self.columns[-1]
        return first if len(self.columns) == 1 else f"{first} … {last}"

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.content in (Content.WHOLE, Content.REAL) or (
            self.content is Content.FLAGS and self.width > 1
        )


class Fields(abc.ABC):
    """A file's fields beside the file names, and how to read them.

    Attributes:
      names: (N,) str file names; None where rows stand for sorted file names.
      fields: the others.
      found: names of all columns or arrays, for messages.
      kind: what messages call them.
      unread: names of arrays that are none of these, such as those of three dimensions.
      is_mock: whether the file says that its images were random.
      class_names: names that stand for classes, or None.
    """

    names: np.ndarray | None
    fields: list[Field]
    found: list[str]
    kind = ""
    unread: Sequence[str] = ()
    is_mock = False
    class_names: ClassNames | None = None

    @abc.abstractmethod
    def classes(self, field: Field) -> Int[np.ndarray, "rows k"]:
        """Class indices; rows of unequal length are refused."""

    @abc.abstractmethod
    def numbers(self, field: Field) -> Shaped[np.ndarray, "rows k"]:
        """Numbers, or true and false."""

    def texts(self, field: Field) -> list[str]:
        """(N,) the cells of a field of text; none where there is no text."""
        return []

    def are_words(self, field: Field) -> bool:
        """Whether classes are written as words: class names, or WordNet ids."""
        return False

    def are_wordnet_ids(self, field: Field) -> bool:
        """Whether classes are WordNet ids of ILSVRC-2012."""
        return False

    def are_boxes(self, field: Field) -> bool:
        """Whether classes stand in front of boxes, of which only the first class is read."""
        return False


def content_of(rows: Sequence[Sequence[str]], class_names: ClassNames | None) -> Content:
    """What rows of words and numbers hold: the first one tells numbers from text, all tell whole ones."""
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
