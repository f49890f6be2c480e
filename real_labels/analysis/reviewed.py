"""What label sets say of mistakes that people reviewed one by one: how far they flatter a model."""

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
class Forgiven:
    """Mistakes that a reassessment calls valid.

    Attributes:
      model: whose mistakes.
      reassessment: its name.
      category, severity: of the mistakes; "all" for every one.
      valid: share of those on images that the reassessment looked at.
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
class Reviewed:
    """All shares, those of all mistakes of a model first."""

    shares: Sequence[Forgiven]


def measure(
    reviewed: Sequence[ReviewedMistakes], reassessments: Mapping[str, Reassessment]
) -> Reviewed:
    """How many reviewed mistakes each reassessment calls valid, by category and by severity."""
    shares = []
    for mistakes in reviewed:
        for name, one in reassessments.items():
            judged = mistakes.judged_by(one)
            valid = judged.called_valid(one) if len(judged) else np.zeros(0, bool)
            groups = [(ALL, ALL, np.ones(len(judged), bool))]
            groups += [(c, ALL, judged.category == c) for c in np.unique(judged.category).tolist()]
            groups += [(ALL, s, judged.severity == s) for s in np.unique(judged.severity).tolist()]
            shares += [
                Forgiven(
                    mistakes.model,
                    name,
                    category,
                    severity,
                    Accuracy.of(int(np.count_nonzero(valid & of)), int(np.count_nonzero(of))),
                )
                for category, severity, of in groups
            ]
    return Reviewed(shares)


def make(study: Study) -> Content:
    """Measures the reviewed mistakes by each reassessment of a study."""
    numbers = measure(study.reviewed, study.reassessments)
    titles = study.titles
    lead = reviewed_mistakes.sentence(study.reviewed, study.judge)
    by = [one for one in numbers.shares if one.valid.n]
    models = list(dict.fromkeys(one.model for one in by))
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
            "models with a panel, and revised Shankar et al.'s labels with what they found; so that set "
            "calls none of these valid, by construction.",
        ],
    )


ANALYSIS = Analysis(
    KEY,
    "Reviewed mistakes",
    "Of mistakes that people looked at one by one and called mistakes: how many do the label sets forgive?",
    needs=("reassessments",),
    make=make,
    applies=lambda study: bool(study.reviewed),
)


def _table(key: str, title: str, shares: Sequence[Forgiven], titles: Mapping[str, str]) -> Table:
    columns = [
        Column("model", lambda one: one.model, is_text=True),
        Column("labels", lambda one: titles[one.reassessment], is_text=True),
        Column("category", lambda one: one.category, is_text=True),
        Column("severity", lambda one: one.severity, is_text=True),
        Column("called valid", lambda one: section.share(one.valid, bar=True)),
        Column("mistakes", lambda one: one.valid.n, "On images that the label set looked at"),
    ]
    return Table.of(key, title, columns, shares)
