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

SUMMARY = "what a policy of asking would have cost and brought, on answers that are there"
EXAMPLE = "answers.csv --gold gold.csv --policies 5,9,3-9"
_POLICY = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "answers", nargs="+", metavar="ANSWERS", help="many answers to each question"
    )
    parser.add_argument(
        "--policies",
        default="5,9,2-5,3-9",
        metavar="N,A-B,…",
        help="N answers to each question, or A and then up to B where it is unsure (default 5,9,2-5,3-9)",
    )
    common.add_ask_until(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        metavar="T",
        help="score from which a label counts as present (default 0.8, as published)",
    )
    parser.add_argument("--draws", type=int, default=10, help="orders of the answers (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the orders (default 0)")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    aggregation_options.add_method(parser)
    parser.set_defaults(preset=None)


def run(options: argparse.Namespace) -> None:
    """Prints what each policy costs and brings."""
    import tqdm

    from real_labels.files.text_table import text_table
    from real_labels.rating import replay

    _check(options)
    policies = [_policy(text.strip(), options.ask_until) for text in options.policies.split(",")]
    gold = aggregation_options.gold_questions(options)
    assert gold is not None  # checked with the other options
    answers = aggregation_options.answers_of(options)
    method = _method(options, gold, answers)
    rows: list[tuple[str, ...]] = [("policy", "answers a question", "precision", "recall", "F1")]
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
        f"questions. Means{' and standard deviations' * (options.draws > 1)} of {options.draws} random "
        f"orders of the answers; score {options.threshold:g} or more; done when sure to "
        f"{options.ask_until:g}.\n"
    )
    print(text_table(rows, "<>>>>"))
    fewest = int(answers.asked[answers.asked > 0].min())
    most = max(policy.at_most for policy in policies)
    if fewest < most:
        number = "1 answer" if fewest == 1 else f"{fewest} answers"
        common.print_warning(
            f"Some questions have only {number}, fewer than the {most} of a policy: they stop there."
        )
    if options.json:
        print(f"Wrote {options.json}.")


def _check(options: argparse.Namespace) -> None:
    """Refuses options that make no sense, before any file is read."""
    if options.gold is None:
        raise InputError("replay needs --gold FILE, to say what a policy brings.")
    if options.hold_gold:
        raise InputError(
            "Gold that is held at its truth cannot measure a policy: every score on it is perfect. Leave "
            "--hold-gold out."
        )
    if options.draws < 1:
        raise InputError(f"--draws {options.draws}: expected at least 1.")
    if not 0 <= options.threshold <= 1:
        raise InputError(f"--threshold {options.threshold}: expected a score, 0 <= T <= 1.")
    common.check_seed(options.seed)
    common.check_outputs((options.json, (".json",)), inputs=aggregation_options.inputs(options))


def _method(options: argparse.Namespace, gold: Gold, answers: Answers) -> Method:
    """The method as a function of some of the answers; --method gold is calibrated on the other half."""
    from real_labels.rating import replay

    method = aggregation_options.method_of(options, gold, answers)
    if options.method == "gold":
        gold_answers = aggregation_options.gold_answers_of(options)

        def calibrated(some: Answers, other_gold: Gold) -> Aggregate:
            return aggregation_options.calibrated(options, some, other_gold, gold_answers)

        return replay.by_halves(answers, gold, calibrated, options.seed)

    def aggregated(some: Answers) -> tuple[np.ndarray, np.ndarray]:
        one = method(some)
        return one.scores.probability, one.sureness

    return aggregated


def _cells(outcome: Outcome, spread: Outcome | None) -> list[str]:
    """Answers a question, precision, recall and F1, with their standard deviations."""
    cells = [f"{outcome.answers_per_question:.2f}"]
    for name in ("precision", "recall", "f1"):
        deviation = "" if spread is None else f" ± {getattr(spread, name):.3f}"
        cells.append(f"{getattr(outcome, name):.3f}{deviation}")
    return cells


def _policy(text: str, until: float) -> Policy:
    from real_labels.rating.asking import Policy

    found = _POLICY.fullmatch(text)
    if found is None or int(found[1]) < 1 or int(found[2] or found[1]) < int(found[1]):
        raise InputError(f"--policies: {text!r} is no policy; expected a number such as 5, or 3-9.")
    return Policy(until, int(found[1]), int(found[2] or found[1]))


def _title(policy: Policy) -> str:
    if policy.at_least == policy.at_most:
        return f"{policy.at_least} each"
    return f"{policy.at_least}, then up to {policy.at_most}"
