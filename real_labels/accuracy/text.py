"""Accuracies and their differences as text and as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from real_labels.accuracy.comparison import Pair
from real_labels.accuracy.paired import Difference
from real_labels.accuracy.top_k import Accuracy, Results
from real_labels.files.text_table import text_table
from real_labels.intervals import percent
from real_labels.predictions import TOP_K


def as_table(results: Results, titles: Mapping[str, str]) -> str:
    """The table of one model that a person reads: a row for each label set.

    Args:
      results: the model's.
      titles: of each label set.
    """

    def cell(accuracy: Accuracy, nothing: str = "no labelled image") -> str:
        if not accuracy.is_known:
            return nothing
        value, interval = percent(accuracy).split(" ", 1)
        return f"{value:>7}  {interval}  n={accuracy.n:,}"

    rows = [("", "top-1", "top-5")]
    for name, one in results.by_label_set.items():
        rows.append((f"{titles[name]} labels", cell(one.top1), cell(one.top5, "–")))
    for name, one in results.reassessments.items():
        if one.original_labels is not None:
            rows.append(
                (f"original labels scored on {titles[name]}", cell(one.original_labels), "")
            )
    return text_table(rows)


def accuracy_table(
    results: Sequence[tuple[str, Results]],
    titles: Mapping[str, str],
    itself: tuple[str, Mapping[str, Accuracy]] | None = None,
) -> str:
    """A table with a row for each model or, with more than two label sets, for each model and label set.

    Args:
      results: (name, accuracies) of each; all have the label sets of the first.
      titles: of each label set.
      itself: the name of the original labels, and their own accuracy by reassessment, for a last row.
    """
    first = results[0][1].by_label_set
    if len(first) > 2:
        return _long_table(results, titles, itself)
    columns = [(name, k) for name in first for k in TOP_K]
    rows = [["", *(f"{titles[name]} top-{k}" for name, k in columns), "n"]]
    for model, one in results:
        by = one.by_label_set
        cells = [percent(by[name].at(k)) for name, k in columns]
        rows.append([model, *cells, " / ".join(f"{by[name].top1.n:,}" for name in first)])
    if itself is not None and itself[1]:
        title, own = itself
        cells = [percent(own[name]) if k == 1 and name in own else "" for name, k in columns]
        rows.append([title, *cells, " / ".join(f"{own[n].n:,}" for n in first if n in own)])
    return text_table(rows)


def _long_table(
    results: Sequence[tuple[str, Results]],
    titles: Mapping[str, str],
    itself: tuple[str, Mapping[str, Accuracy]] | None,
) -> str:
    rows = [["", "labels", *(f"top-{k}" for k in TOP_K), "n"]]
    for model, one in results:
        for i, (name, by) in enumerate(one.by_label_set.items()):
            shares = [percent(by.at(k)) for k in TOP_K]
            rows.append([model if i == 0 else "", titles[name], *shares, f"{by.top1.n:,}"])
    title, own = itself or ("", {})
    for i, (name, one) in enumerate(own.items()):
        rows.append([title if i == 0 else "", titles[name], percent(one), "", f"{one.n:,}"])
    return text_table(rows, "<<<<>")


def remarks(results: Results, titles: Mapping[str, str]) -> list[str]:
    """What stands beside a model's numbers: other images, and the number as the authors count.

    Args:
      results: the model's.
      titles: of each label set.
    """
    said = []
    for name, one in results.reassessments.items():
        title, total = titles[name], results.original and results.original.top1.n
        if one.covered == 0:
            said.append(f"The {title} labels cover none of its images.")
        elif total and one.covered is not None and one.covered < total:
            said.append(
                f"The {title} labels cover {one.covered:,} of its {total:,} images. On the "
                f"{one.top1.n:,} with a label, original top-1 is {percent(one.original_top1)}."
            )
        if one.paper is not None:
            counting, value = one.paper
            said.append(f"As its authors count ({counting}), {title} top-1 is {100 * value:.2f}%.")
    return said


def together(remarks: Sequence[tuple[str, str]], total: int, what: str) -> list[str]:
    """Remarks, each once, with the names that it is about.

    Args:
      remarks: (name, remark) of each.
      total: number of names that there are.
      what: what the names are of, such as "files".
    """
    names: dict[str, list[str]] = {}
    for name, remark in remarks:
        names.setdefault(remark, []).append(name)
    said = []
    for remark, about in names.items():
        if len(about) == 1:
            said.append(f"{about[0]}: {remark}")
        elif len(about) == total:
            said.append(f"All {total:,} {what}: {remark}")
        else:
            more = ", …" if len(about) > 3 else ""
            said.append(f"{len(about):,} {what} ({', '.join(about[:3])}{more}): {remark}")
    return said


def pairs_table(tested: Sequence[Pair], titles: Mapping[str, str]) -> str:
    """Every pair for a person: differences in points, with intervals and p-values."""
    names = list(tested[0].by)
    header = ["A", "B"]
    for name in names:
        header += [f"{titles[name]} top-1, A - B, points", "p (McNemar)"]
    rows = [header]
    for pair in tested:
        cells = [cell for name in names for cell in difference_cells(pair.by[name])]
        rows.append([pair.first, pair.second, *cells])
    return text_table(rows, "<<" + ">>" * len(names))


def difference_cells(difference: Difference) -> list[str]:
    """The difference in points with its interval, and the p-value."""
    if not difference.estimate.is_known:
        return ["–", ""]
    return [percent(difference.estimate, sign="+", unit=""), f"{difference.p_value:.2g}"]


def shares(results: Results, titles: Mapping[str, str]) -> str:
    """ "original top-1 67.14% and ReaL top-1 80.30%", for a sentence."""
    return " and ".join(
        f"{titles[name]} top-1 {100 * one.top1.value:.2f}%"
        for name, one in results.by_label_set.items()
        if one.top1.is_known
    )
