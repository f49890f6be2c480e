"""What a rule of cleaning drops: by class, against the truth, and as a page of the likeliest wrong labels."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels import files
from real_labels.analysis.page import html
from real_labels.analysis.page.thumbnails import Thumbnails
from real_labels.intervals import Estimate
from real_labels.predictions import cleaning

if TYPE_CHECKING:
    from jaxtyping import Bool

    from real_labels.labels import ClassNames, LabelSets
    from real_labels.predictions.out_of_fold import OutOfFold

_CARDS = 120  # images of the page
_INSTEAD = 3  # classes predicted instead that are named


@dataclasses.dataclass(frozen=True)
class OfClass:
    """What goes of the images of one label.

    Attributes:
      label: the class.
      images: number labelled so.
      dropped: number of those that go.
      instead: (class, images) of the first predictions for those, the most frequent first.
    """

    label: int
    images: int
    dropped: int
    instead: Sequence[tuple[int, int]]


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a rule drops.

    Attributes:
      rule: its name.
      kept: (N,) of each image.
      share: of all images, that go.
      classes: what goes of each, the largest share first.
      num_wrong: number of labels that are wrong, where the truth is known.
      wrong: share of all labels that are wrong: what dropping by chance would hit; None without truth.
      precision: share of the dropped labels that are wrong; likewise.
      recall: share of the wrong labels that are dropped; likewise.
    """

    rule: str
    kept: Bool[np.ndarray, "images"]
    share: Estimate
    classes: Sequence[OfClass]
    num_wrong: int = 0
    wrong: Estimate | None = None
    precision: Estimate | None = None
    recall: Estimate | None = None

    @property
    def dropped(self) -> int:
        """Number of images that go."""
        return int(np.count_nonzero(~self.kept))

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        estimates = {n: getattr(self, n) for n in ("share", "wrong", "precision", "recall")}
        return {
            "rule": self.rule,
            "images": len(self.kept),
            "dropped": self.dropped,
            **{n: None if e is None else dataclasses.asdict(e) for n, e in estimates.items()},
            "classes": [dataclasses.asdict(one) for one in self.classes],
        }


def measure(
    found: OutOfFold, kept: Bool[np.ndarray, "images"], rule: str, truth: LabelSets | None = None
) -> Outcome:
    """Counts what goes.

    Args:
      found: the predictions.
      kept: of each image.
      rule: its name.
      truth: true labels of the images; a label is wrong where it is none of them, so it is on an image that
        shows no class.
    """
    n, gone = len(found), ~kept
    images = np.bincount(found.label, minlength=found.num_classes)
    dropped = np.bincount(found.label[gone], minlength=found.num_classes)
    instead: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    first = np.where(
        found.classes[:, 0] == found.label,
        found.classes[:, min(1, found.classes.shape[1] - 1)],
        found.classes[:, 0],
    )
    for label, other in zip(found.label[gone].tolist(), first[gone].tolist(), strict=True):
        instead[label][other] += 1
    present = np.flatnonzero(images)
    order = present[np.lexsort((present, -(dropped[present] / images[present])))]
    classes = [
        OfClass(c, int(images[c]), int(dropped[c]), instead[c].most_common(_INSTEAD))
        for c in order.tolist()
    ]
    number = int(gone.sum())
    plain = Outcome(rule, kept, Estimate.of_share(number, n), classes)
    if truth is None:
        return plain
    rows = truth.rows(found.file_names)
    wrong = ~truth.contains(rows, found.label[:, None])[:, 0]
    hits, num_wrong = int((wrong & gone).sum()), int(wrong.sum())
    return dataclasses.replace(
        plain,
        num_wrong=num_wrong,
        wrong=Estimate.of_share(num_wrong, n),
        precision=Estimate.of_share(hits, number),
        recall=Estimate.of_share(hits, num_wrong),
    )


def write_page(
    folder: pathlib.Path,
    found: OutOfFold,
    outcome: Outcome,
    names: ClassNames,
    truth: LabelSets | None = None,
    images: str | None = None,
) -> list[str]:
    """Writes index.html: what goes by class, and the likeliest wrong labels with their images.

    Args:
      folder: to write to.
      found: the predictions.
      outcome: see `measure`.
      names: of the classes.
      truth: true labels, shown beside the others.
      images: folder of the images; None: the page has none.

    Returns:
      The images to show that are not below that folder, or cannot be read.
    """
    doubt = cleaning.suspicion(found)
    gone = np.flatnonzero(~outcome.kept)
    shown = gone[np.argsort(-doubt[gone], kind="stable")][:_CARDS]
    thumbnails = Thumbnails(images) if images else None
    true = None if truth is None else truth.take(truth.rows(found.file_names[shown])).to_lists()
    cards = [
        {
            "file_name": found.file_names[row].item(),
            "label": names[int(found.label[row])],
            "label_score": float(found.label_score[row]),
            "predicted": [
                (names[int(c)], float(s))
                for c, s in zip(found.classes[row, :2], found.scores[row, :2], strict=True)
                if c != found.label[row]
            ],
            "true": None if true is None else [names[c] for c in true[place]],
            "image": thumbnails and thumbnails.data_uri(found.file_names[row].item()),
        }
        for place, row in enumerate(shown.tolist())
    ]
    text = html.rendered(
        "cleaning.html", outcome=outcome, number=len(found), names=names, cards=cards
    )
    with files.replacing(folder / "index.html") as temporary:
        temporary.write_bytes(text.encode())
    return [str(one["file_name"]) for one in cards if images and one["image"] is None]
