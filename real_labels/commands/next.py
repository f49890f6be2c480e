"""python -m real_labels next."""

from __future__ import annotations

import argparse

from real_labels.commands import aggregation_options, task_output
from real_labels.commands import options as common
from real_labels.errors import InputError

SUMMARY = "find the questions that need more answers, and write the tasks of the next round"
EXAMPLE = "answers.csv --tasks tasks.jsonl --out more.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "answers",
        nargs="+",
        metavar="ANSWERS",
        help="the answers so far, in any format that `aggregate` reads",
    )
    parser.add_argument(
        "--tasks", required=True, metavar="FILE.jsonl", help="all tasks, as `tasks` writes them"
    )
    common.add_ask_until(parser)
    parser.add_argument(
        "--at-least",
        type=int,
        default=3,
        metavar="N",
        help="least number of answers to a question (default 3)",
    )
    parser.add_argument(
        "--at-most",
        type=int,
        default=9,
        metavar="N",
        help="greatest number of answers to a question (default 9)",
    )
    task_output.add_arguments(parser)
    aggregation_options.add_method(parser)
    parser.set_defaults(preset=None)


def run(options: argparse.Namespace) -> None:
    """Aggregates the answers so far, and writes the tasks with questions that need more answers."""
    from real_labels.rating import asking
    from real_labels.rating import tasks as rated

    policy = asking.Policy(options.ask_until, options.at_least, options.at_most)
    if options.gold and options.method != "gold" and not options.hold_gold:
        raise InputError("--gold would be ignored: add --method gold or --hold-gold.")
    task_output.check(options, [*aggregation_options.inputs(options), options.tasks])
    tasks = rated.load(options.tasks)
    aggregate, answers = aggregation_options.aggregated(
        options, aggregation_options.gold_questions(options)
    )
    state = asking.state(tasks, answers, aggregate.sureness, policy)
    more = asking.more_tasks(tasks, state)
    written = task_output.write(options, more)

    for remark in answers.remarks:
        common.print_warning(remark)
    print(
        f"{len(answers):,} answers of {len(answers.raters):,} raters. Of {len(state.needed):,} questions,\n"
        f"  {state.sure:,} are done: {policy.at_least} answers or more, and a sureness of "
        f"{policy.until:g} or more;\n"
        f"  {state.given_up:,} are left unsure after {policy.at_most} answers;\n"
        f"  {state.unsure:,} are unsure and asked again;\n"
        f"  {state.too_few:,} have fewer than {policy.at_least} answers."
    )
    if state.unknown:
        common.print_warning(
            f"{state.unknown:,} answered questions belong to no task; their answers still help to measure "
            f"the raters."
        )
    if more:
        print(
            f"Questions to ask again: {int(state.needed.sum()):,}, in {len(more):,} of {len(tasks):,} tasks. "
            f"The other labels of these tasks are shown for contrast. Give each task to raters who have not "
            f"answered it yet."
        )
    else:
        print("Nothing is left to ask.")
    print(f"Wrote {', '.join(written)}.")
