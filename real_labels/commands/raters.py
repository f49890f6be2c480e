"""python -m real_labels raters."""

from __future__ import annotations

import argparse

from real_labels.commands import aggregation_options
from real_labels.commands import options as common
from real_labels.errors import InputError

SUMMARY = "say which raters are reliable and whom to drop"
EXAMPLE = "--answers answers.csv"
_MOST_SHOWN = 100  # rows of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    aggregation_options.add_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="the same as a table (.csv, .parquet)")


def run(options: argparse.Namespace) -> None:
    """Prints the raters, the most reliable first, and what to do about the others."""
    from real_labels import aggregation
    from real_labels.aggregation.reliability import DROP, FEW, INVERTED, KEEP, Reliability
    from real_labels.files import tables
    from real_labels.files.text_table import text_table

    common.check_outputs((options.out, common.TABLES), inputs=aggregation_options.inputs(options))
    if options.gold and options.method != "gold" and not options.hold_gold:
        raise InputError("--gold would be ignored: give --method gold or --hold-gold with it.")
    aggregate, answers = aggregation_options.aggregated(
        options, aggregation_options.gold_questions(options)
    )
    columns = Reliability.of(aggregate).columns()
    if options.out:
        tables.write(options.out, columns)  # first: the reader of the text may leave early
    for remark in answers.remarks:
        common.print_warning(remark)
    rows = [
        (
            str(rater),
            f"{number:,}",
            f"{informedness:.2f}",
            f"[{low:.2f}, {high:.2f}]",
            f"{bits:.2f}",
            f"{100 * present:.0f}%",
            f"{100 * absent:.0f}%",
            verdict if verdict != KEEP else "",
        )
        for rater, number, informedness, low, high, bits, present, absent, verdict in zip(
            *columns.values(), strict=True
        )
    ]
    header = ("rater", "answers", "informedness", "95%", "bits", "yes if present", "if absent", "")
    shown = rows[-_MOST_SHOWN:]
    print(text_table([header, *shown], "<>>>>>><"))
    if len(rows) > len(shown):
        print(f"({len(rows) - len(shown):,} more reliable ones are not shown; --out writes all)")
    print(
        "\nInformedness: mean answer (no 0 … yes 1) to labels that are present minus to labels that "
        "are\nabsent; 1 is perfect, 0 tells nothing."
    )
    for verdict, advice in (
        (DROP, "Drop (their answers tell next to nothing)"),
        (INVERTED, "Inverted (they mean the opposite; check the task with them)"),
        (FEW, "Too few answers to tell"),
    ):
        named = columns["rater"][columns["verdict"] == verdict].tolist()
        if named:
            print(f"{advice}: {', '.join(named[:20])}{' …' if len(named) > 20 else ''}")
    if not {DROP, INVERTED} & set(columns["verdict"].tolist()):
        print("Nobody needs to be dropped.")
    for doubt in aggregation.doubts(aggregate, answers):
        common.print_warning(doubt)
    if options.out:
        print(f"Wrote {options.out}.")
