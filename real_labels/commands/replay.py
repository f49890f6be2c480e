"""python -m real_labels replay."""

from __future__ import annotations

import argparse
import dataclasses
import re
from typing import TYPE_CHECKING

from real_labels.commands import aggregation_options
from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from real_labels.aggregation import Aggregate
    from real_labels.answers import Answers, Gold
    from real_labels.rating.asking import Policy
    from real_labels.rating.replay import Method, Outcome

SUMMARY = "measure the cost and accuracy of asking policies on answers that you already have"
EXAMPLE = "answers.csv --gold gold.csv --policies 5,9,3-9"
_POLICY = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "answers", nargs="+", metavar="ANSWERS", help="files with many answers to each question"
    )
    parser.add_argument(
        "--policies",
        default="5,9,2-5,3-9",
        metavar="N,A-B,…",
        help="policies to compare. N: N answers to each question; A-B: A answers, then up to B while the "
        "question is unsure (default 5,9,2-5,3-9)",
    )
    common.add_ask_until(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        metavar="T",
        help="score from which a label counts as present (default 0.8, as published)",
    )
    parser.add_argument(
        "--draws", type=int, default=10, help="number of random orders of the answers (default 10)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random orders (default 0)")
    parser.add_argument("--json", metavar="FILE", help="write all numbers as JSON")
    aggregation_options.add_method(parser)
    parser.set_defaults(preset=None)


def run(options: argparse.Namespace) -> None:
    """Prints the answers per question, precision, recall and F1 of each policy."""
    import tqdm

    from real_labels.files.text_table import text_table
    from real_labels.rating import replay

    _check(options)
    policies = [_policy(text.strip(), options.ask_until) for text in options.policies.split(",")]
    gold = aggregation_options.gold_questions(options)
    assert gold is not None  # checked with the other options
    answers = aggregation_options.answers_of(options)
    method = _method(options, gold, answers)
    rows: list[tuple[str, ...]] = [("policy", "answers per question", "precision", "recall", "F1")]
    record = []
    for policy in tqdm.tqdm(
        policies, desc="replaying", unit=" policies", leave=False, delay=1, disable=None
    ):
        draws = [
            replay.replay(answers, gold, policy, method, options.threshold, options.seed + draw)
            for draw in range(options.draws)
        ]
        outcome, spread = replay.mean(draws)
        rows.append((_title(policy), *_cells(outcome, spread)))
        record.append(
            {
                "at_least": policy.at_least,
                "at_most": policy.at_most,
                **dataclasses.asdict(outcome),
                "standard_deviations": None if spread is None else dataclasses.asdict(spread),
            }
        )
    if options.json:
        settings = ("ask_until", "threshold", "draws", "seed")
        content = {name: getattr(options, name) for name in settings}
        content["method"] = options.method or "dawid-skene"
        common.write_json(options.json, content | {"policies": record})
    print(
        f"{len(answers):,} answers of {len(answers.raters):,} raters to {len(answers.questions):,} "
        f"questions. Means{' and standard deviations' * (options.draws > 1)} over {options.draws} random "
        f"orders of the answers. Labels of score {options.threshold:g} or more are present. A question is "
        f"done at sureness {options.ask_until:g}.\n"
    )
    print(text_table(rows, "<>>>>"))
    fewest = int(answers.asked[answers.asked > 0].min())
    most = max(policy.at_most for policy in policies)
    if fewest < most:
        number = "1 answer" if fewest == 1 else f"{fewest} answers"
        common.print_warning(
            f"Some questions have only {number}, and a policy asks for up to {most}. These questions are "
            f"done when their answers are used up."
        )
    if options.json:
        print(f"Wrote {options.json}.")


def _check(options: argparse.Namespace) -> None:
    """Refuses invalid options before any file is read."""
    if options.gold is None:
        raise InputError("replay needs --gold FILE, to measure precision and recall.")
    if options.hold_gold:
        raise InputError(
            "--hold-gold sets the scores of the gold questions to their truth, so gold cannot measure a "
            "policy. Leave --hold-gold out."
        )
    if options.draws < 1:
        raise InputError(f"--draws {options.draws}: expected at least 1.")
    if not 0 <= options.threshold <= 1:
        raise InputError(f"--threshold {options.threshold}: expected a score, 0 <= T <= 1.")
    common.check_seed(options.seed)
    common.check_outputs((options.json, (".json",)), inputs=aggregation_options.inputs(options))


def _method(options: argparse.Namespace, gold: Gold, answers: Answers) -> Method:
    """Returns the method as a function of answers.

    With --method gold, the questions of each half of the images are aggregated with the gold of the other.
    """
    from real_labels.rating import replay

    method = aggregation_options.method_of(options, gold, answers)
    if options.method == "gold":
        gold_answers = aggregation_options.gold_answers_of(options)

        def calibrated(some: Answers, other_gold: Gold) -> Aggregate:
            return aggregation_options.calibrated(options, some, other_gold, gold_answers)

        return replay.by_halves(answers, gold, calibrated, options.seed)

    def aggregated(some: Answers) -> tuple[np.ndarray, np.ndarray]:
        aggregate = method(some)
        return aggregate.scores.probability, aggregate.sureness

    return aggregated


def _cells(outcome: Outcome, spread: Outcome | None) -> list[str]:
    """Returns the cells of a row: answers per question; precision, recall, F1 with standard deviations."""
    cells = [f"{outcome.answers_per_question:.2f}"]
    for name in ("precision", "recall", "f1"):
        deviation = "" if spread is None else f" ± {getattr(spread, name):.3f}"
        cells.append(f"{getattr(outcome, name):.3f}{deviation}")
    return cells


def _policy(text: str, until: float) -> Policy:
    from real_labels.rating.asking import Policy

    match = _POLICY.fullmatch(text)
    if match is None or int(match[1]) < 1 or int(match[2] or match[1]) < int(match[1]):
        raise InputError(
            f"--policies: {text!r} is not a policy; expected a number such as 5, or a range such as "
            f"3-9."
        )
    return Policy(until, int(match[1]), int(match[2] or match[1]))


def _title(policy: Policy) -> str:
    if policy.at_least == policy.at_most:
        return f"{policy.at_least} each"
    return f"{policy.at_least}, then up to {policy.at_most}"
