"""An analysis: a function from a Study to what was found, and the declaration of what it is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from real_labels.analysis.page import figures
from real_labels.analysis.page.section import GALLERY, Content, Section
from real_labels.analysis.study import Study
from real_labels.labels.reassessment import REAL


@dataclasses.dataclass(frozen=True)
class Analysis:
    """The declaration of an analysis.

    Attributes:
      key: its id, in report.json, too.
      title: a few words; {by} stands for the title of the reassessment.
      question: what it answers.
      needs: the inputs of a Study without which nothing can be told.
      make: says what was found, where these inputs are there.
      by_one: whether it judges by one reassessment, and is made anew for each.
      applies: whether a study is of the kind that it is about; else nothing is said.
    """

    key: str
    title: str
    question: str
    needs: tuple[str, ...]
    make: Callable[[Study], Content]
    by_one: bool = False
    applies: Callable[[Study], bool] = lambda study: True

    def sections(self, study: Study) -> list[Section]:
        """Its sections of the report: one, or one for each reassessment; none where it does not apply."""
        if not self.applies(study):
            return []
        if not self.by_one or not study.reassessments:
            return [self._section(study)]
        sections = []
        several = len(study.reassessments) > 1
        for name, judge in study.reassessments.items():
            part = study.by_judge[name]
            made = self._section(part)
            said = []
            if judge.caveat and name != REAL:
                said.append(judge.caveat)
            if judge.covered is not None:
                said.append(
                    f"This is about the {judge.num_covered:,} images that the {judge.title} labels judge."
                )
            if part.models and part.shown != study.shown:
                said.append(
                    f"None of these is predicted by {study.shown}: shown is {part.shown} instead."
                )
            by = f": {judge.title}" if several and "{by}" not in self.title else ""
            made = dataclasses.replace(made, title=made.title + by, remarks=[*said, *made.remarks])
            sections.append(_renamed(made, name) if sections else made)
        return sections

    def _section(self, study: Study) -> Section:
        missing = study.missing(*self.needs)
        content = Content(missing=missing) if missing else self.make(study)
        fields = {f.name: getattr(content, f.name) for f in dataclasses.fields(content)}
        by = study.judge.title if study.reassessments else "ReaL"
        title = self.title.format(by=by)
        return Section(key=self.key, title=title, question=self.question, **fields)


def _renamed(section: Section, name: str) -> Section:
    """The section of a further label set, with names of its own for all that is written or linked.

    Lists are also named after models, which hold no @.
    """
    suffix = f"_{name}"
    for drawn in section.figures:
        figures.relink(
            drawn.figure, lambda link: link + suffix if link.startswith(GALLERY) else link
        )
    return dataclasses.replace(
        section,
        key=section.key + suffix,
        figures=[dataclasses.replace(one, key=one.key + suffix) for one in section.figures],
        tables=[
            dataclasses.replace(
                one,
                key=one.key + suffix,
                list_name=one.list_name and f"{one.list_name}@{name}",
            )
            for one in section.tables
        ],
        galleries=[dataclasses.replace(one, key=one.key + suffix) for one in section.galleries],
        lists={f"{list_name}@{name}": columns for list_name, columns in section.lists.items()},
        tiles=(),  # the head of the page has those of the first
    )
