"""Accuracies and their differences as text and as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from real_labels.accuracy.comparison import Pair
from real_labels.accuracy.paired import Difference
from real_labels.accuracy.top_k import Accuracy, Results
from real_labels.files.text_table import text_table
from real_labels.intervals import percent
from real_labels.predictions import TOP_K

_MOST_DETAILED = 8  # models up to which a table in columns shows more than top-1


def as_table(results: Results, titles: Mapping[str, str]) -> str:
    """Table of one model for a terminal: a row for each label set.

    Args:
      results: results of the model.
      titles: title of each label set.
    """

    def cell(accuracy: Accuracy, nothing: str = "no labelled image") -> str:
        if not accuracy.is_known:
            return nothing
        value, interval = percent(accuracy).split(" ", 1)
        return f"{value:>7}  {interval}  n={accuracy.n:,}"

    rows = [("", "top-1", "top-5")]
    for name, accuracies in results.by_label_set.items():
        rows.append((f"{titles[name]} labels", cell(accuracies.top1), cell(accuracies.top5, "–")))
    for name, accuracies in results.reassessments.items():
        if accuracies.original_labels is not None:
            rows.append(
                (f"original labels scored on {titles[name]}", cell(accuracies.original_labels), "")
            )
    return text_table(rows)


def accuracy_table(
    results: Sequence[tuple[str, Results]],
    titles: Mapping[str, str],
    itself: tuple[str, Mapping[str, Accuracy]] | None = None,
) -> str:
    """Table with a row for each model; with more than two label sets, a second row holds the intervals.

    Args:
      results: (name, results) of each model; all have the label sets of the first.
      titles: title of each label set.
      itself: the title of a last row for the original labels, and their accuracy by reassessment; or None.
    """
    first = results[0][1].by_label_set
    if is_in_columns(results[0][1]):
        return _columns(results, titles, itself)
    columns = [(name, k) for name in first for k in TOP_K]
    rows = [["", *(f"{titles[name]} top-{k}" for name, k in columns), "n"]]
    for model, model_results in results:
        by = model_results.by_label_set
        cells = [percent(by[name].at(k)) for name, k in columns]
        rows.append([model, *cells, " / ".join(f"{by[name].top1.n:,}" for name in first)])
    if itself is not None and itself[1]:
        title, own = itself
        cells = [percent(own[name]) if k == 1 and name in own else "" for name, k in columns]
        rows.append([title, *cells, " / ".join(f"{own[n].n:,}" for n in first if n in own)])
    return text_table(rows)


def is_in_columns(results: Results) -> bool:
    """Whether `accuracy_table` has a column for each label set, and so all numbers that `remarks` states."""
    return len(results.by_label_set) > 2


def _columns(
    results: Sequence[tuple[str, Results]],
    titles: Mapping[str, str],
    itself: tuple[str, Mapping[str, Accuracy]] | None,
) -> str:
    """Table with a column for each label set: shares, intervals below them, and the number of images last."""
    sets = list(results[0][1].by_label_set)
    rows = [["", *(titles[name] for name in sets)]]
    numbers = {
        tuple(by.top1.n for by in model_results.by_label_set.values())
        for _, model_results in results
    }
    for model, model_results in results:
        by = model_results.by_label_set
        rows += _in_two_lines(f"{model}, top-1", [by[name].top1 for name in sets])
        if len(results) <= _MOST_DETAILED:
            rows += _details(model_results, sets)
        if len(numbers) > 1:
            rows.append(["  images", *(f"{by[name].top1.n:,}" for name in sets)])
    title, own = itself or ("", {})
    if own:
        rows += _in_two_lines(f"{title}, top-1", [own.get(name) for name in sets])
    if len(numbers) == 1:
        rows.append(["images", *(f"{number:,}" for number in numbers.pop())])
    elif own:
        rows.append(["  images", *(f"{own[n].n:,}" if n in own else "" for n in sets)])
    more = (
        ""
        if len(results) <= _MOST_DETAILED
        else "\n(--json FILE also writes top-5 and further figures.)"
    )
    return text_table(rows, "<" + ">" * len(sets)) + more


def _details(results: Results, sets: Sequence[str]) -> list[list[str]]:
    """Rows of the further figures of a model."""
    top5 = [results.by_label_set[name].top5 for name in sets]
    rows = _in_two_lines("  top-5", top5) if any(one.is_known for one in top5) else []
    several = [results.reassessments.get(name) for name in sets]
    same = [one and one.original_top1 for one in several]
    if any(one is not None and one.is_known for one in same):
        cells = [f"{100 * o.value:.2f}%" if o is not None and o.is_known else "" for o in same]
        rows.append(["  on original labels, same images", *cells])
    papers = [one and one.paper for one in several]
    for counting in dict.fromkeys(paper[0] for paper in papers if paper):
        values = [f"{100 * p[1]:.2f}%" if p and p[0] == counting else "" for p in papers]
        rows.append([f"  {counting}", *values])  # as the authors of the label set count
    return rows


def _in_two_lines(title: str, shares: Sequence[Accuracy | None]) -> list[list[str]]:
    """Returns a row of the shares and a row of their intervals."""
    cells = [
        percent(share).partition(" ") if share is not None else ("", "", "") for share in shares
    ]
    return [[title, *(cell[0] for cell in cells)], ["", *(cell[2] for cell in cells)]]


def remarks(results: Results, titles: Mapping[str, str], *, with_numbers: bool = True) -> list[str]:
    """Remarks on a model's results: images that are not covered, and the accuracy as the authors count.

    Args:
      results: results of the model.
      titles: title of each label set.
      with_numbers: whether to state accuracies, too; False if a table shows them.
    """
    sentences = []
    for name, accuracies in results.reassessments.items():
        title, total = titles[name], results.original and results.original.top1.n
        if accuracies.covered == 0:
            sentences.append(f"The {title} labels cover none of its images.")
        elif total and accuracies.covered is not None and accuracies.covered < total:
            covers = f"The {title} labels cover {accuracies.covered:,} of its {total:,} images."
            if with_numbers and accuracies.original_top1 is not None:
                covers += (
                    f" On the {accuracies.top1.n:,} with a label, original top-1 is "
                    f"{percent(accuracies.original_top1)}."
                )
            sentences.append(covers)
        if accuracies.paper is not None and with_numbers:
            counting, value = accuracies.paper
            sentences.append(
                f"As its authors count ({counting}), {title} top-1 is {100 * value:.2f}%."
            )
    return sentences


def together(remarks: Sequence[tuple[str, str]], total: int, what: str) -> list[str]:
    """Returns each different remark once, with the names that it applies to.

    Args:
      remarks: (name, remark) pairs.
      total: number of all names.
      what: plural noun for the names, such as "files".
    """
    names: dict[str, list[str]] = {}
    for name, remark in remarks:
        names.setdefault(remark, []).append(name)
    merged = []
    for remark, group in names.items():
        if len(group) == 1:
            merged.append(f"{group[0]}: {remark}")
        elif len(group) == total:
            merged.append(f"All {total:,} {what}: {remark}")
        else:
            more = ", …" if len(group) > 3 else ""
            merged.append(f"{len(group):,} {what} ({', '.join(group[:3])}{more}): {remark}")
    return merged


def pairs_table(tested: Sequence[Pair], titles: Mapping[str, str]) -> str:
    """Table of every pair for a terminal: differences in percentage points, with intervals and p-values."""
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
    """Returns the difference in percentage points with its interval, and the p-value."""
    if not difference.estimate.is_known:
        return ["–", ""]
    return [percent(difference.estimate, sign="+", unit=""), f"{difference.p_value:.2g}"]


def shares(results: Results, titles: Mapping[str, str]) -> str:
    """Top-1 accuracies for a sentence: "original top-1 67.14% and ReaL top-1 80.30%"."""
    return " and ".join(
        f"{titles[name]} top-1 {100 * one.top1.value:.2f}%"
        for name, one in results.by_label_set.items()
        if one.top1.is_known
    )
