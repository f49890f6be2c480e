"""Mistakes that people reviewed one by one: how many of them each label set calls valid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from real_labels.accuracy import Accuracy
from real_labels.analysis.analysis import Analysis
from real_labels.analysis.page import section
from real_labels.analysis.page.section import Column, Content, Table
from real_labels.analysis.study import Study
from real_labels.labels import Reassessment, reviewed_mistakes
from real_labels.labels.reviewed_mistakes import ReviewedMistakes

KEY = "reviewed_mistakes"
ALL = "all"


@dataclasses.dataclass(frozen=True)
class ValidShare:
    """The share of reviewed mistakes that a reassessment calls valid.

    Attributes:
      model: the model that made the mistakes.
      reassessment: name of the reassessment.
      category, severity: of the mistakes; "all" for all of them.
      valid: the share, of the mistakes on images that the reassessment looked at.
    """

    model: str
    reassessment: str
    category: str
    severity: str
    valid: Accuracy

    @property
    def is_all(self) -> bool:
        """Whether this is about all mistakes of the model."""
        return self.category == self.severity == ALL


@dataclasses.dataclass(frozen=True)
class ReviewedShares:
    """All shares; for each model and reassessment, the share of all mistakes comes first."""

    shares: Sequence[ValidShare]


def measure(
    reviewed: Sequence[ReviewedMistakes], reassessments: Mapping[str, Reassessment]
) -> ReviewedShares:
    """Shares of reviewed mistakes that each reassessment calls valid: of all, by category, by severity."""
    shares = []
    for mistakes in reviewed:
        for name, reassessment in reassessments.items():
            judged = mistakes.judged_by(reassessment)
            valid = judged.called_valid(reassessment) if len(judged) else np.zeros(0, bool)
            groups = [(ALL, ALL, np.ones(len(judged), bool))]
            groups += [(c, ALL, judged.category == c) for c in np.unique(judged.category).tolist()]
            groups += [(ALL, s, judged.severity == s) for s in np.unique(judged.severity).tolist()]
            shares += [
                ValidShare(
                    mistakes.model,
                    name,
                    category,
                    severity,
                    Accuracy.of(
                        int(np.count_nonzero(valid & is_in_group)),
                        int(np.count_nonzero(is_in_group)),
                    ),
                )
                for category, severity, is_in_group in groups
            ]
    return ReviewedShares(shares)


def make(study: Study) -> Content:
    """Measures the reviewed mistakes by each reassessment of a study."""
    numbers = measure(study.reviewed, study.reassessments)
    titles = study.titles
    lead = reviewed_mistakes.sentence(study.reviewed, study.judge)
    by = [share for share in numbers.shares if share.valid.n]
    models = list(dict.fromkeys(share.model for share in by))
    tables = [
        _table(f"{KEY}-all", "All mistakes", [o for o in by if o.is_all], titles),
        *(
            _table(
                f"{KEY}-{number}",
                f"Mistakes of {model} by category and by severity",
                [o for o in by if o.model == model and not o.is_all],
                titles,
            )
            for number, model in enumerate(models)
        ),
    ]  # fmt: skip
    return Content(
        lead=lead,
        numbers=numbers,
        tables=tables if by else [],
        notes=[
            "Vasudevan et al. 2022 (When does dough become a bagel?) reviewed the remaining mistakes of two "
            "models with a panel, and revised Shankar et al.'s labels accordingly. By construction, the "
            "revised labels call none of these mistakes valid.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Reviewed mistakes",
    "How many mistakes that a panel of people confirmed does each label set call valid?",
    needs=("reassessments",),
    make=make,
    applies=lambda study: bool(study.reviewed),
)


def _table(key: str, title: str, shares: Sequence[ValidShare], titles: Mapping[str, str]) -> Table:
    columns = [
        Column("model", lambda share: share.model, is_text=True),
        Column("labels", lambda share: titles[share.reassessment], is_text=True),
        Column("category", lambda share: share.category, is_text=True),
        Column("severity", lambda share: share.severity, is_text=True),
        Column("called valid", lambda share: section.share(share.valid, bar=True)),
        Column("mistakes", lambda share: share.valid.n, "On images that the label set looked at"),
    ]
    return Table.of(key, title, columns, shares)
