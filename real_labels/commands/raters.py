"""python -m real_labels raters."""

from __future__ import annotations

import argparse

from real_labels.commands import aggregation_options
from real_labels.commands import options as common
from real_labels.errors import InputError

SUMMARY = "measure how reliable each rater is, and list the raters to drop"
EXAMPLE = "--answers answers.csv"
_MOST_SHOWN = 100  # rows of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    aggregation_options.add_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="write the table of raters (.csv, .parquet)")


def run(options: argparse.Namespace) -> None:
    """Prints the raters, most reliable first, and advice about unreliable raters."""
    from real_labels import aggregation
    from real_labels.aggregation.reliability import DROP, FEW, INVERTED, KEEP, Reliability
    from real_labels.files import tables
    from real_labels.files.text_table import text_table

    common.check_outputs((options.out, common.TABLES), inputs=aggregation_options.inputs(options))
    if options.gold and options.method != "gold" and not options.hold_gold:
        raise InputError("--gold would be ignored: add --method gold or --hold-gold.")
    aggregate, answers = aggregation_options.aggregated(
        options, aggregation_options.gold_questions(options)
    )
    columns = Reliability.of(aggregate).columns()
    if options.out:
        # Before printing: standard output may be a pipe that closes early.
        tables.write(options.out, columns)
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
        print(
            f"({len(rows) - len(shown):,} more reliable raters are not shown; --out FILE writes all)"
        )
    print(
        "\nInformedness: mean answer (no 0 … yes 1) to present labels minus mean answer to absent labels;"
        "\n1 is perfect, 0 is no better than guessing."
    )
    for verdict, advice in (
        (DROP, "Drop (answers carry almost no information)"),
        (
            INVERTED,
            "Inverted (answers mean the opposite; check whether these raters understood the task)",
        ),
        (FEW, "Too few answers to tell"),
    ):
        names = columns["rater"][columns["verdict"] == verdict].tolist()
        if names:
            print(f"{advice}: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}")
    if not {DROP, INVERTED} & set(columns["verdict"].tolist()):
        print("No rater needs to be dropped.")
    for doubt in aggregation.doubts(aggregate, answers):
        common.print_warning(doubt)
    if options.out:
        print(f"Wrote {options.out}.")
