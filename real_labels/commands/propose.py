"""python -m real_labels propose."""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from real_labels.commands import options as common
from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.accuracy.scoring import Scored
    from real_labels.labels import Reference
    from real_labels.predictions import Predictions
    from real_labels.proposals import ExpertLabels, Pool, Pools, Rules
    from real_labels.proposals.front import Point
    from real_labels.proposals.pool_search import Search

SUMMARY = (
    "choose the labels to ask raters about: the models' proposals, and the smallest pool of models"
)
EXAMPLE = "bit.npz resnet50.csv vit.npz --gold gold.csv --recall 0.97 --out proposals.csv"
_SHOWN = 12  # pools of the front in the terminal
_WIDEST = 60  # characters of a pool's names in a table
_ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="PREDICTIONS",
        help=f"{common.PREDICTIONS}; or .npz of several models: models (M,), classes (M, N, k)",
    )
    common.add_dataset(parser)
    parser.add_argument(
        "--assume",
        metavar="REPAIR",
        default="",
        help="undo this mix-up in the files that show it (see score --assume)",
    )
    rules = parser.add_argument_group("proposals of a model (its first class always)")
    rules.add_argument(
        "--top-k", type=int, default=1, metavar="K", help="propose the first K classes (default 1)"
    )
    rules.add_argument(
        "--above", type=float, metavar="P", help="propose every class of a probability above P"
    )
    rules.add_argument(
        "--most-confident",
        type=int,
        metavar="N",
        help="propose the N pairs of image and class of the highest probability, over all images",
    )
    rules.add_argument(
        "--ask-all",
        action="store_true",
        help="ask about every image with a proposal beside the original label. Default, as in the paper: do "
        "not ask where the first class of every model is the original label",
    )
    pool = parser.add_argument_group("choice of models")
    pool.add_argument(
        "--gold",
        metavar="FILE",
        help="expert labels of some images: label sets (.json), a table of file_name, label, truth, or the "
        "experts' answers. The smallest pool with enough recall of these labels is chosen",
    )
    pool.add_argument(
        "--gold-votes",
        type=int,
        metavar="N",
        help="number of experts who must answer yes for a label to be present (default: more than half)",
    )
    common.add_categories(pool)
    pool.add_argument(
        "--recall",
        type=float,
        metavar="R",
        help="share of the expert labels that the pool must propose (default 0.97)",
    )
    pool.add_argument(
        "--pool",
        metavar="NAMES",
        help=f"use these models; names joined by commas, or {_ALL} (default without --gold)",
    )
    pool.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the intervals and of the held-out recall (default 0)",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the pairs to ask about: file_name, label, models (.csv, .parquet)",
    )
    parser.add_argument(
        "--unrated-out",
        metavar="FILE.json",
        help="write the original labels of the images that need no rating, for `aggregate --unrated`",
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers as JSON")
    parser.add_argument(
        "--front",
        action="append",
        default=[],
        metavar="FILE",
        help="write the Pareto front: .png, .svg, .pdf, .csv or .parquet; may be repeated",
    )
    parser.add_argument(
        "--pools-out",
        metavar="FILE",
        help="write a table of every pool, for up to 16 models (.csv, .parquet)",
    )


def run(options: argparse.Namespace) -> None:
    """Collects the proposals, chooses the pool, writes the requested files and prints a summary."""
    from real_labels.files import records
    from real_labels.proposals import Pools, Proposals
    from real_labels.proposals import front as fronts

    rules = _checked(options)
    experts = _experts(options)
    try:
        reference = common.original_reference(options)
        models = _Models(options, reference, rules)
        proposals = Proposals.of(reference.truth, models, rules)
    except InputError:
        if options.original is None:
            common.check_own_labels(options.predictions)
        raise
    pools = Pools(proposals, experts, options.seed)
    columns, result = _choose(options, pools)
    chosen = pools.measure(columns)
    front = [fronts.Point.of(pools, pool) for pool in result.front] if result else []
    written = _write(options, pools, columns, result, front)
    contributions = _contributions(pools, columns)
    warnings = [*models.warnings, *_doubts(pools, chosen)]
    if options.json:
        record = _record(options, rules, pools, chosen, result)
        record |= {"models": contributions, "front": front, "warnings": warnings}
        common.write_json(options.json, records.as_json(record))
        written.append(options.json)

    _print_models(pools, contributions, rules)
    _print_pool(options, pools, chosen, result)
    if result is not None:
        _print_front(front, len(pools.proposals.models), result.is_exact)
    elif options.pool is None:
        _print_sizes(pools)
    for warning in warnings:
        common.print_warning(warning)
    if written:
        print(f"Wrote {', '.join(written)}.")


def _checked(options: argparse.Namespace) -> Rules:
    """Checks the options before any file is read, and returns the rules of the proposals."""
    from real_labels.predictions import mixups
    from real_labels.proposals import Rules
    from real_labels.proposals.front import ENDINGS

    common.check_outputs(
        (options.out, common.TABLES),
        (options.unrated_out, (".json",)),
        (options.json, (".json",)),
        (options.pools_out, common.TABLES),
        *((path, ENDINGS) for path in options.front),
        inputs=[*options.predictions, options.original, options.gold],
    )
    paths = [pathlib.Path(path).resolve() for path in options.predictions]
    if repeated := next(
        (p for p in options.predictions if paths.count(pathlib.Path(p).resolve()) > 1), None
    ):
        raise InputError(f"{repeated}: is named twice; name each model once.")
    mixups.check_names(common.repairs(options.assume))
    if options.gold is None and (options.recall is not None or options.front):
        raise InputError(
            f"{'--recall' if options.recall is not None else '--front'} needs --gold FILE: recall is "
            f"measured on expert labels of some images."
        )
    if options.gold is None and options.gold_votes is not None:
        raise InputError("--gold-votes needs --gold FILE.")
    if options.recall is not None and options.pool is not None:
        raise InputError("--pool and --recall both choose the models; leave one of them out.")
    if options.recall is not None and not 0 < options.recall <= 1:
        raise InputError(f"--recall {options.recall}: expected a share, 0 < R <= 1.")
    common.check_seed(options.seed)
    return Rules(options.top_k, options.above, options.most_confident, options.ask_all)


def _experts(options: argparse.Namespace) -> ExpertLabels | None:
    from real_labels.proposals import ExpertLabels

    if options.gold is None:
        return None
    return ExpertLabels.load(
        options.gold, options.gold_votes, common.categories(options), common.columns(options)
    )


class _Models:
    """Iterates over (model's name, predictions), reading one model after another."""

    def __init__(self, options: argparse.Namespace, reference: Reference, rules: Rules):
        self._options, self._reference, self._rules = options, reference, rules
        self._remarks: list[tuple[str, str]] = []
        self._number = 0

    @property
    def warnings(self) -> list[str]:
        """Returns the remarks on the models read so far, with the models' names."""
        from real_labels.accuracy.text import together

        return together(self._remarks, self._number, "models")

    def __iter__(self) -> Iterator[tuple[str, Predictions]]:
        import tqdm

        from real_labels.accuracy import scoring

        options = self._options
        class_names = common.class_names(options, self._reference)
        files = list(zip(options.predictions, _stems(options.predictions), strict=True))
        for path, stem in tqdm.tqdm(
            files, desc="reading", unit=" files", leave=False, delay=1, disable=None
        ):
            for model, scored, _ in scoring.score_each(
                path,
                self._reference,
                common.repairs(options.assume),
                column=options.column,
                class_names=class_names,
                prepare=self._rules.ranked,
            ):
                _refuse_mixed_up(scored)
                name = _checked_name(stem if model is None else model, path)
                self._number += 1
                self._remarks += [
                    (name, warning.replace("; scored on these", "")) for warning in scored.warnings
                ]
                yield name, scored.predictions


def _stems(paths: Sequence[str]) -> list[str]:
    """Returns the file names without endings, with enough parent folders to be distinct."""
    from real_labels.files.paths import short_names

    absolute = [str(pathlib.Path(path).absolute()).removesuffix(".gz") for path in paths]
    return short_names([str(pathlib.Path(path).with_suffix("")) for path in absolute])


def _checked_name(name: str, path: str) -> str:
    """Returns the model's name for proposals.csv; refuses empty names and names with separators."""
    from real_labels.proposals.proposals import SEPARATOR

    if not name.strip() or SEPARATOR in name or "," in name:
        raise InputError(
            f"{path}: a model is called {name!r}; expected a name without '{SEPARATOR}' and ',', which "
            f"separate names. Rename the model."
        )
    return name.strip()


def _refuse_mixed_up(scored: Scored) -> None:
    """Refuses predictions with mixed-up rows or class indices, which would propose wrong labels."""
    if scored.repair is not None:
        raise InputError(
            f"{scored.file}: is mixed up, so its proposals would be wrong. {scored.evidence} Give "
            f"--assume={scored.repair} to undo the mix-up."
        )


def _choose(options: argparse.Namespace, pools: Pools) -> tuple[list[int], Search | None]:
    """Returns the columns of the pool, and the result of the search, or None without gold."""
    from real_labels.proposals import search
    from real_labels.proposals.pool_search import RECALL

    result = None
    if pools.experts is not None:
        result = search(pools, options.recall or RECALL, options.seed)
    names = pools.proposals.models
    if options.pool is not None and options.pool != _ALL:
        return pools.proposals.columns(common.names_in(options.pool)), result
    if result is not None and options.pool is None:
        return list(result.pool), result
    return list(range(len(names))), result


def _write(
    options: argparse.Namespace,
    pools: Pools,
    columns: Sequence[int],
    result: Search | None,
    front: Sequence[Point],
) -> list[str]:
    """Writes the requested files and returns their paths."""
    from real_labels.proposals import front as fronts

    proposals = pools.proposals
    chosen = fronts.Point.of(pools, columns)
    is_exact = result is not None and result.is_exact
    outputs = [
        (options.out, lambda path: proposals.save(path, columns)),
        (options.unrated_out, proposals.unrated_labels(columns).to_json),
        (options.pools_out, lambda path: fronts.save_every_pool(path, pools)),
        *(
            (path, lambda path: fronts.save(path, front, chosen, is_exact=is_exact))
            for path in options.front
        ),
    ]
    requested = [(path, write) for path, write in outputs if path is not None]
    for path, write in requested:
        write(path)
    return [path for path, _ in requested]


@dataclasses.dataclass(frozen=True)
class _Contribution:
    """One model by itself, and its contribution to the pool.

    Attributes:
      name: name of the model.
      in_pool: whether the model is in the pool.
      images: number of images that the model predicts.
      differs: share of these images on which the model's first class is not the original label.
      proposals_per_image: mean number of proposals of the model and the original labels, over all images.
      recall_alone: recall of the model and the original labels; NaN without gold.
      adds_recall: recall of the pool with the model minus recall without the model; NaN without gold.
      adds_proposals_per_image: proposals per image of the pool with the model minus those without the model.
    """

    name: str
    in_pool: bool
    images: int
    differs: float
    proposals_per_image: float
    recall_alone: float
    adds_recall: float
    adds_proposals_per_image: float


def _contributions(pools: Pools, columns: Sequence[int]) -> list[_Contribution]:
    contributions = []
    proposals = pools.proposals
    for column, name in enumerate(proposals.models):
        without_model = [c for c in columns if c != column]
        with_model = sorted([*without_model, column])
        images = int(proposals.covers[:, column].sum())
        contributions.append(
            _Contribution(
                name,
                column in columns,
                images,
                float(proposals.differs[:, column].sum()) / images,
                pools.proposals_per_image([column]),
                pools.recall([column]),
                pools.recall(with_model) - pools.recall(without_model),
                pools.proposals_per_image(with_model) - pools.proposals_per_image(without_model),
            )
        )
    return contributions


def _record(
    options: argparse.Namespace, rules: Rules, pools: Pools, chosen: Pool, result: Search | None
) -> dict[str, Any]:
    """Returns the numbers of the pool and of the search, for JSON."""
    images = pools.proposals.num_images
    rated = images - chosen.unrated
    record: dict[str, Any] = {
        "rules": str(rules),
        "pool": chosen.models,
        "recall": chosen.recall,
        "recall_held_out": None,
        "recall_asked": chosen.recall_asked,
        "precision": chosen.precision,
        "proposals_per_image": chosen.proposals_per_image,
        "images": images,
        "unrated": chosen.unrated,
        "questions": chosen.questions,
        "questions_per_rated_image": chosen.questions / rated if rated else None,
    }
    if result is None:
        return record
    record["gold"] = {
        "images": pools.num_gold_images,
        "labels": pools.num_present,
        "images_left_out": pools.left_out,
    }
    record["every_subset_searched"] = result.is_exact
    if options.pool is None:
        record |= {"recall_held_out": result.held_out, "enough_recall": result.is_enough}
    return record


def _print_models(pools: Pools, contributions: Sequence[_Contribution], rules: Rules) -> None:
    from real_labels.files.text_table import text_table

    proposals = pools.proposals
    number = len(proposals.models)
    print(
        f"{number} model{'s' * (number > 1)}, {proposals.num_images:,} images. Each model proposes {rules}; "
        f"the original label is always proposed.\n"
    )
    with_gold = pools.num_present > 0
    rows = [
        (
            "model",
            "images",
            "not the original label",
            "proposals per image",
            *(("recall alone", "adds recall") if with_gold else ()),
            "adds proposals",
        )
    ]
    for model in contributions:
        recall = (model.recall_alone, model.adds_recall)
        rows.append(
            (
                f"{'* ' if model.in_pool else '  '}{model.name}",
                f"{model.images:,}",
                f"{100 * model.differs:.1f}%",
                f"{model.proposals_per_image:.2f}",
                *((f"{100 * r:.1f}%" for r in recall) if with_gold else ()),
                f"{model.adds_proposals_per_image:.2f}",
            )
        )
    print(text_table(rows, "<" + ">" * (len(rows[0]) - 1)))
    print(
        '* in the pool. "adds" columns: the pool with the model minus the pool without the model.\n'
    )


def _print_pool(
    options: argparse.Namespace, pools: Pools, chosen: Pool, result: Search | None
) -> None:
    from real_labels.files.text_table import text_table
    from real_labels.intervals import percent
    from real_labels.proposals.pool_search import RECALL

    names, number = ", ".join(chosen.models), len(chosen.models)
    is_searched = result is not None and options.pool is None
    if result is not None and is_searched:
        required = options.recall or RECALL
        total = len(pools.proposals.models)
        method = (
            f"all {(1 << total) - 1:,} pools were searched"
            if result.is_exact
            else f"{total} models are too many to search all pools; a greedy search with exchanges was used, "
            f"so a smaller pool may exist"
        )
        if result.is_enough:
            common.print_lines(
                f"The smallest pool with a recall of {100 * required:g}% or more ({method}):"
            )
        else:
            highest = pools.measure(range(total)).recall
            assert highest is not None  # a search needs experts' labels
            common.print_lines(
                f"No pool reaches a recall of {100 * required:g}%; all models together have "
                f"{percent(highest, 1)}. The smallest pool with this recall ({method}):"
            )
    else:
        print("The pool:")
    common.print_lines(names, indent="  ")
    images = pools.proposals.num_images
    rows = [("", ""), ("models", f"{number}")]
    if chosen.recall is not None:
        base = f"of {pools.num_present:,} labels of {pools.num_gold_images:,} gold images"
        rows.append(("recall", f"{percent(chosen.recall, 1)}  {base}"))
        if result is not None and is_searched:
            rows.append(("held-out recall", percent(result.held_out, 1)))
        if chosen.recall_asked is not None and chosen.recall_asked.value < chosen.recall.value:
            rows.append(("recall of labels asked or kept", percent(chosen.recall_asked, 1)))
        if chosen.precision is not None and chosen.precision.is_known:
            base = f"of {chosen.precision.n:,} proposals whose truth is known"
            rows.append(("precision", f"{percent(chosen.precision, 1)}  {base}"))
    rows += [
        ("proposals per image", f"{chosen.proposals_per_image:.2f}"),
        (
            "only the original label proposed"
            if options.ask_all
            else "all models agree with the original label",
            f"{chosen.unrated:,} of {images:,} images ({100 * chosen.unrated / images:.1f}%)",
        ),
        ("to ask", _to_ask(chosen, images - chosen.unrated)),
    ]
    print("\n".join(text_table(rows).splitlines()[1:]) + "\n")


def _to_ask(chosen: Pool, rated: int) -> str:
    mean = f" ({chosen.questions / rated:.2f} per image)" if rated else ""
    return f"{chosen.questions:,} questions on {rated:,} images{mean}"


def _print_sizes(pools: Pools) -> None:
    """Prints the pool with the fewest proposals of each size, unless there are too many models."""
    from real_labels.files.text_table import text_table
    from real_labels.proposals import GREEDY_ABOVE
    from real_labels.proposals.front import cheapest_of_each_size

    total, images = len(pools.proposals.models), pools.proposals.num_images
    if not 1 < total <= GREEDY_ABOVE:
        return
    agree = (
        "only original label proposed"
        if pools.proposals.ask_all
        else "agree with the original label"
    )
    rows = [("models", "proposals per image", agree, "")]
    for names, per_image, unrated in cheapest_of_each_size(pools):
        text = ", ".join(names) if len(names) < total else "all"
        agree = f"{unrated:,} images ({100 * unrated / images:.1f}%)"
        rows.append((f"{len(names)}", f"{per_image:.2f}", agree, _shortened(text)))
    print(
        "For each size, the pool with the fewest proposals (--gold FILE measures how many of the right "
        "labels they propose):"
    )
    print(text_table(rows, ">>><") + "\n")


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _print_front(front: Sequence[Point], number: int, is_exact: bool) -> None:
    from real_labels.files.text_table import text_table

    rows = [("recall", "precision", "proposals per image", "models", "")]
    shown = front if len(front) <= _SHOWN else _spread(front)
    for point in shown:
        names = ", ".join(point.pool) if len(point.pool) < number else "all"
        rows.append(
            (
                f"{100 * point.recall:.1f}%",
                "–" if math.isnan(point.precision) else f"{100 * point.precision:.1f}%",
                f"{point.proposals_per_image:.2f}",
                f"{len(point.pool)}",
                _shortened(names),
            )
        )
    shown_of = f" ({len(shown)} of {len(front)} pools are shown; --front FILE writes all)"
    title, no_pool = "Pareto front", "no pool"
    if not is_exact:
        title, no_pool = "Approximate Pareto front", "no pool of the greedy search"
    print(
        f"{title}: {no_pool} has as much recall with fewer proposals"
        f"{shown_of if len(shown) < len(front) else ''}."
    )
    print(text_table(rows, ">>>><") + "\n")


def _spread(front: Sequence[Point]) -> list[Point]:
    """Returns up to _SHOWN points, spread evenly over the recall, including both ends."""
    highest, lowest = front[0].recall, front[-1].recall
    marks = [highest - (highest - lowest) * i / (_SHOWN - 1) for i in range(_SHOWN)]
    rows = {min(range(len(front)), key=lambda i: abs(front[i].recall - mark)) for mark in marks}
    return [front[row] for row in sorted(rows)]


def _doubts(pools: Pools, chosen: Pool) -> list[str]:
    """Returns warnings about the gold and the recall."""
    doubts = []
    if pools.left_out:
        doubts.append(
            f"Left out: {common.counted(pools.left_out, 'gold image')} that no model predicts."
        )
    recall, asked = chosen.recall, chosen.recall_asked
    if recall is not None and asked is not None and asked.value < recall.value:
        doubts.append(
            f"The pool proposes {100 * recall.value:.1f}% of the expert labels, but only "
            f"{100 * asked.value:.1f}% are asked about or kept: as in the paper, images on which the first "
            f"class of every model is the original label are not rated. --ask-all asks about them, too."
        )
    if pools.experts is not None and not pools.experts.are_complete:
        doubts.append(
            "The gold holds single questions, not all labels of its images: precision and recall are "
            "measured only on labels that are gold questions."
        )
    return doubts
