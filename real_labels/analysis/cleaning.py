"""The images that a cleaning rule drops: by class, compared with the truth, and as a page."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from real_labels import files
from real_labels.analysis.page import html
from real_labels.errors import InputError
from real_labels.files import records
from real_labels.intervals import Estimate
from real_labels.predictions import cleaning

if TYPE_CHECKING:
    from jaxtyping import Bool

    from real_labels.analysis.page.thumbnails import Thumbnails
    from real_labels.labels import ClassNames, LabelSets
    from real_labels.predictions.out_of_fold import OutOfFold

_CARDS = 120  # images on the page
_INSTEAD = 3  # predicted classes to name for each label


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """The dropped images of one label.

    Attributes:
      label: the class.
      images: number of images with this label.
      dropped: number of these images that are dropped.
      instead: (class, number of images) of the first class other than the label that is predicted for the
        dropped images, the most frequent classes first.
    """

    label: int
    images: int
    dropped: int
    instead: Sequence[tuple[int, int]]


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """The result of a cleaning rule.

    Attributes:
      rule: name of the rule.
      kept: (N,) whether each image is kept.
      share: share of all images that are dropped.
      classes: the dropped images of each label, the largest share first.
      num_wrong: number of wrong labels; 0 without truth.
      wrong: share of all labels that are wrong: the precision of dropping by chance; None without truth.
      precision: share of the dropped labels that are wrong; None without truth.
      recall: share of the wrong labels that are dropped; None without truth.
    """

    rule: str
    kept: Bool[np.ndarray, "images"]
    share: Estimate
    classes: Sequence[ClassCounts]
    num_wrong: int = 0
    wrong: Estimate | None = None
    precision: Estimate | None = None
    recall: Estimate | None = None

    @property
    def dropped(self) -> int:
        """Number of dropped images."""
        return int(np.count_nonzero(~self.kept))

    def as_json(self) -> dict[str, Any]:
        """All numbers; null for the values of an estimate without images."""
        return records.as_json(
            {
                "rule": self.rule,
                "images": len(self.kept),
                "dropped": self.dropped,
                **{
                    n: getattr(self, n)
                    for n in ("share", "wrong", "precision", "recall", "classes")
                },
            }
        )


def measure(
    predictions: OutOfFold,
    kept: Bool[np.ndarray, "images"],
    rule: str,
    truth: LabelSets | None = None,
) -> Outcome:
    """Counts the dropped images.

    Args:
      predictions: out-of-fold predictions.
      kept: (N,) whether the rule keeps each image.
      rule: name of the rule.
      truth: true labels of the images; a label is wrong if it is not among them. So every label of an image
        without true labels is wrong.

    Raises:
      InputError: if an image is missing in the truth, or no image has a true label.
    """
    n, is_dropped = len(predictions), ~kept
    images = np.bincount(predictions.label, minlength=predictions.num_classes)
    dropped = np.bincount(predictions.label[is_dropped], minlength=predictions.num_classes)
    instead: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    first = np.where(
        predictions.classes[:, 0] == predictions.label,
        predictions.classes[:, min(1, predictions.classes.shape[1] - 1)],
        predictions.classes[:, 0],
    )
    for label, other in zip(
        predictions.label[is_dropped].tolist(), first[is_dropped].tolist(), strict=True
    ):
        instead[label][other] += 1
    present = np.flatnonzero(images)
    order = present[np.lexsort((present, -(dropped[present] / images[present])))]
    classes = [
        ClassCounts(c, int(images[c]), int(dropped[c]), instead[c].most_common(_INSTEAD))
        for c in order.tolist()
    ]
    number = int(is_dropped.sum())
    plain = Outcome(rule, kept, Estimate.of_share(number, n), classes)
    if truth is None:
        return plain
    rows = truth.rows(predictions.file_names)
    if not truth.counts[rows].any():
        raise InputError(
            f"gives no label to any of the {n:,} images; expected the true labels of the images."
        )
    wrong = ~truth.contains(rows, predictions.label[:, None])[:, 0]
    hits, num_wrong = int((wrong & is_dropped).sum()), int(wrong.sum())
    return dataclasses.replace(
        plain,
        num_wrong=num_wrong,
        wrong=Estimate.of_share(num_wrong, n),
        precision=Estimate.of_share(hits, number),
        recall=Estimate.of_share(hits, num_wrong),
    )


def write_page(
    folder: pathlib.Path,
    predictions: OutOfFold,
    outcome: Outcome,
    names: ClassNames,
    truth: LabelSets | None = None,
    thumbnails: Thumbnails | None = None,
) -> list[str]:
    """Writes index.html: the dropped images by class, and the labels most likely to be wrong with images.

    Args:
      folder: folder to write to.
      predictions: out-of-fold predictions.
      outcome: the result of `measure`.
      names: names of the classes.
      truth: true labels, shown beside the other labels.
      thumbnails: thumbnails of the images; None for a page without images.

    Returns:
      File names of the images to show that are missing in the folder of `thumbnails`, or unreadable.
    """
    suspicion = cleaning.suspicion(predictions)
    dropped = np.flatnonzero(~outcome.kept)
    shown = dropped[np.argsort(-suspicion[dropped], kind="stable")][:_CARDS]
    true = (
        None if truth is None else truth.take(truth.rows(predictions.file_names[shown])).to_lists()
    )
    cards = [
        {
            "file_name": predictions.file_names[row].item(),
            "label": names[int(predictions.label[row])],
            "label_score": float(predictions.label_score[row]),
            "predicted": [
                (names[int(c)], float(s))
                for c, s in zip(
                    predictions.classes[row, :2], predictions.scores[row, :2], strict=True
                )
                if c != predictions.label[row]
            ],
            "true": None if true is None else [names[c] for c in true[place]],
            "image": thumbnails and thumbnails.data_uri(predictions.file_names[row].item()),
        }
        for place, row in enumerate(shown.tolist())
    ]
    text = html.rendered(
        "cleaning.html", outcome=outcome, number=len(predictions), names=names, cards=cards
    )
    with files.replacing(folder / "index.html") as temporary:
        temporary.write_bytes(text.encode())
    return [str(card["file_name"]) for card in cards if thumbnails and card["image"] is None]
