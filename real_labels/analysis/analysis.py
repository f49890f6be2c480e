"""The declaration of an analysis: its title, question, inputs and function from a Study to a section."""

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
      key: id of the section on the page and in report.json.
      title: heading of the section; {by} stands for the title of the reassessment.
      question: the question that the analysis answers.
      needs: names of the inputs of a Study that the analysis requires.
      make: makes the content of the section; called only if all required inputs are there.
      by_one: whether the analysis judges by one reassessment, and has a section for each.
      applies: whether the analysis applies to a study; if not, it has no section.
    """

    key: str
    title: str
    question: str
    needs: tuple[str, ...]
    make: Callable[[Study], Content]
    by_one: bool = False
    applies: Callable[[Study], bool] = lambda study: True

    def sections(self, study: Study) -> list[Section]:
        """The analysis's sections: one, or one for each reassessment; none if it does not apply."""
        if not self.applies(study):
            return []
        if not self.by_one or not study.reassessments:
            return [self._section(study)]
        sections = []
        several = len(study.reassessments) > 1
        for name, judge in study.reassessments.items():
            judged = study.by_judge[name]
            section = self._section(judged)
            remarks = []
            if judge.caveat and name != REAL:
                remarks.append(judge.caveat)
            if judge.covered is not None:
                remarks.append(
                    f"This section is about the {judge.num_covered:,} images that the {judge.title} labels "
                    f"judge."
                )
            if judged.models and judged.shown != study.shown:
                remarks.append(
                    f"None of these is predicted by {study.shown}: shown is {judged.shown} instead."
                )
            by = f": {judge.title}" if several and "{by}" not in self.title else ""
            section = dataclasses.replace(
                section, title=section.title + by, remarks=[*remarks, *section.remarks]
            )
            # The first section keeps its keys.
            sections.append(_renamed(section, name) if sections else section)
        return sections

    def _section(self, study: Study) -> Section:
        missing = study.missing(*self.needs)
        content = Content(missing=missing) if missing else self.make(study)
        fields = {f.name: getattr(content, f.name) for f in dataclasses.fields(content)}
        by = study.judge.title if study.reassessments else "ReaL"
        title = self.title.format(by=by)
        return Section(key=self.key, title=title, question=self.question, **fields)


def _renamed(section: Section, name: str) -> Section:
    """Adds the name of a label set to the keys, gallery links and lists of a section, and removes its tiles.

    So the section can stand beside the section of the first label set. Some lists are named after models.
    The name of a model holds no @, so LIST@NAME never equals the list of a model.
    """
    suffix = f"_{name}"
    for figure in section.figures:
        figures.relink(
            figure.figure, lambda link: link + suffix if link.startswith(GALLERY) else link
        )
    return dataclasses.replace(
        section,
        key=section.key + suffix,
        figures=[
            dataclasses.replace(figure, key=figure.key + suffix) for figure in section.figures
        ],
        tables=[
            dataclasses.replace(
                table,
                key=table.key + suffix,
                list_name=table.list_name and f"{table.list_name}@{name}",
            )
            for table in section.tables
        ],
        galleries=[
            dataclasses.replace(gallery, key=gallery.key + suffix) for gallery in section.galleries
        ],
        lists={f"{list_name}@{name}": columns for list_name, columns in section.lists.items()},
        tiles=(),  # the page shows the tiles of the first label set only
    )
