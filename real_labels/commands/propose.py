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

SUMMARY = "which labels to ask people about: what models propose, and the smallest pool of models"
EXAMPLE = "bit.npz resnet50.csv vit.npz --gold gold.csv --recall 0.97 --out proposals.csv"
_SHOWN = 12  # pools of the front in the terminal
_WIDEST = 60  # letters of a pool's names in a table
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
    rules = parser.add_argument_group("what a model proposes, its first class always")
    rules.add_argument(
        "--top-k", type=int, default=1, metavar="K", help="its first K classes (default 1)"
    )
    rules.add_argument(
        "--above", type=float, metavar="P", help="every class of a probability above P"
    )
    rules.add_argument(
        "--most-confident",
        type=int,
        metavar="N",
        help="its N pairs of image and class of the highest probability, over all images",
    )
    rules.add_argument(
        "--ask-all",
        action="store_true",
        help="rate an image whenever a class beside the original label is proposed; else it stands unrated "
        "where the first class of every model is the original label",
    )
    pool = parser.add_argument_group("which models")
    pool.add_argument(
        "--gold",
        metavar="FILE",
        help="labels of some images by experts: label sets (.json), a table of file_name, label, truth, or "
        "the experts' answers; the smallest pool of enough recall is chosen by them",
    )
    pool.add_argument(
        "--gold-votes",
        type=int,
        metavar="N",
        help="experts who must say yes for a label to be present (default: more than half)",
    )
    common.add_categories(pool)
    pool.add_argument(
        "--recall",
        type=float,
        metavar="R",
        help="least share of the experts' labels to be proposed (default 0.97)",
    )
    pool.add_argument(
        "--pool",
        metavar="NAMES",
        help=f"these models, joined by commas, or {_ALL} (default without gold)",
    )
    pool.add_argument(
        "--seed", type=int, default=0, help="of the intervals and the held-out recall (default 0)"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="the pairs to ask about: file_name, label, models (.csv, .parquet)",
    )
    parser.add_argument(
        "--unrated-out",
        metavar="FILE.json",
        help="labels of the images that need no rating, for aggregate --unrated",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument(
        "--front",
        action="append",
        default=[],
        metavar="FILE",
        help="the Pareto front: .png, .svg, .pdf, .csv or .parquet; may be repeated",
    )
    parser.add_argument(
        "--pools-out",
        metavar="FILE",
        help="a table of every pool, of up to 16 models (.csv, .parquet)",
    )


def run(options: argparse.Namespace) -> None:
    """Collects the proposals, chooses the pool, says what came out, and writes what was asked for."""
    from real_labels import proposals as room
    from real_labels.files import records
    from real_labels.proposals import front as fronts

    rules = _checked(options)
    experts = _experts(options)
    try:
        reference = common.original_reference(options)
        models = _Models(options, reference, rules)
        proposals = room.Proposals.of(reference.truth, models, rules)
    except InputError:
        if options.original is None:
            common.check_own_labels(options.predictions)
        raise
    pools = room.Pools(proposals, experts, options.seed)
    columns, found = _choose(options, pools)
    chosen = pools.measure(columns)
    front = [fronts.Point.of(pools, one) for one in found.front] if found else []
    written = _write(options, pools, columns, found, front)
    parts = _parts(pools, columns)
    warnings = [*models.warnings, *_doubts(pools, chosen)]
    if options.json:
        record = _record(options, rules, pools, chosen, found)
        record |= {"models": parts, "front": front, "warnings": warnings}
        common.write_json(options.json, records.as_json(record))
        written.append(options.json)

    _print_models(pools, parts, rules)
    _print_pool(options, pools, chosen, found)
    if found is not None:
        _print_front(front, len(pools.proposals.models), found.is_exact)
    elif options.pool is None:
        _print_sizes(pools)
    for warning in warnings:
        common.print_warning(warning)
    if written:
        print(f"Wrote {', '.join(written)}.")


def _checked(options: argparse.Namespace) -> Rules:
    """The rules of the options, which are checked before any file is read."""
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
    if twice := next(
        (p for p in options.predictions if paths.count(pathlib.Path(p).resolve()) > 1), None
    ):
        raise InputError(f"{twice}: is named twice; name each model once.")
    mixups.check_names(common.repairs(options.assume))
    if options.gold is None and (options.recall is not None or options.front):
        raise InputError(
            f"{'--recall' if options.recall is not None else '--front'} needs --gold FILE: without the "
            f"experts' labels of some images there is no recall."
        )
    if options.gold is None and options.gold_votes is not None:
        raise InputError("--gold-votes needs --gold.")
    if options.recall is not None and options.pool is not None:
        raise InputError(
            "--pool names the models, so --recall has nothing to choose; leave one out."
        )
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
    """The models' names and predictions, read one after another."""

    def __init__(self, options: argparse.Namespace, reference: Reference, rules: Rules):
        self._options, self._reference, self._rules = options, reference, rules
        self._remarks: list[tuple[str, str]] = []
        self._number = 0

    @property
    def warnings(self) -> list[str]:
        """Remarks on the files that were read so far, with the models' names."""
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
                ranked=self._rules.ranked,
            ):
                _refuse_mixed_up(scored)
                name = _checked_name(stem if model is None else model, path)
                self._number += 1
                self._remarks += [
                    (name, w.replace("; scored on these", "")) for w in scored.warnings
                ]
                yield name, scored.predictions


def _stems(paths: Sequence[str]) -> list[str]:
    """The names of files without their endings, with as many folders as tell them apart."""
    from real_labels.files.paths import short_names

    absolute = [str(pathlib.Path(path).absolute()).removesuffix(".gz") for path in paths]
    return short_names([str(pathlib.Path(path).with_suffix("")) for path in absolute])


def _checked_name(name: str, path: str) -> str:
    """A model's name as it stands in proposals.csv."""
    from real_labels.proposals.proposals import SEPARATOR

    if not name.strip() or SEPARATOR in name or "," in name:
        raise InputError(
            f"{path}: a model is called {name!r}; expected a name without '{SEPARATOR}' and ',', which stand "
            f"between names. Rename it."
        )
    return name.strip()


def _refuse_mixed_up(scored: Scored) -> None:
    """Refuses predictions whose order or numbering is mixed up: they would propose wrong labels."""
    if scored.repair is not None:
        raise InputError(
            f"{scored.file}: is mixed up, so its proposals would be wrong. {scored.evidence} Say "
            f"--assume={scored.repair} to undo that."
        )


def _choose(options: argparse.Namespace, pools: Pools) -> tuple[list[int], Search | None]:
    """The columns of the pool, and what the search found, if there is gold."""
    from real_labels.proposals import search
    from real_labels.proposals.pool_search import RECALL

    found = None
    if pools.experts is not None:
        found = search(pools, options.recall or RECALL, options.seed)
    names = pools.proposals.models
    if options.pool is not None and options.pool != _ALL:
        return pools.proposals.columns(common.names_in(options.pool)), found
    if found is not None and options.pool is None:
        return list(found.pool), found
    return list(range(len(names))), found


def _write(
    options: argparse.Namespace,
    pools: Pools,
    columns: Sequence[int],
    found: Search | None,
    front: Sequence[Point],
) -> list[str]:
    """Writes the files that are asked for, and returns their paths."""
    from real_labels.proposals import front as fronts

    proposals = pools.proposals
    chosen = fronts.Point.of(pools, columns)
    is_exact = found is not None and found.is_exact
    outputs = [
        (options.out, lambda path: proposals.save(path, columns)),
        (options.unrated_out, proposals.unrated_labels(columns).to_json),
        (options.pools_out, lambda path: fronts.save_every_pool(path, pools)),
        *(
            (path, lambda path: fronts.save(path, front, chosen, is_exact=is_exact))
            for path in options.front
        ),
    ]
    asked = [(path, write) for path, write in outputs if path is not None]
    for path, write in asked:
        write(path)
    return [path for path, _ in asked]


@dataclasses.dataclass(frozen=True)
class _Part:
    """What one model has to do with the pool.

    Attributes:
      name, in_pool: the model.
      images: that it predicts.
      differs: share of these on which its first class is not the original label.
      proposals_per_image: of the model alone, over all images, with the original labels.
      recall_alone: of the model and the original labels; NaN without gold, as is adds_recall.
      adds_recall: recall that the pool would lack without the model, or gain by it.
      adds_proposals_per_image: proposals that the pool would lack without the model, or gain by it.
    """

    name: str
    in_pool: bool
    images: int
    differs: float
    proposals_per_image: float
    recall_alone: float
    adds_recall: float
    adds_proposals_per_image: float


def _parts(pools: Pools, columns: Sequence[int]) -> list[_Part]:
    parts = []
    proposals = pools.proposals
    for column, name in enumerate(proposals.models):
        without = [c for c in columns if c != column]
        with_it = sorted([*without, column])
        images = int(proposals.covers[:, column].sum())
        parts.append(
            _Part(
                name,
                column in columns,
                images,
                float(proposals.differs[:, column].sum()) / images,
                pools.proposals_per_image([column]),
                pools.recall([column]),
                pools.recall(with_it) - pools.recall(without),
                pools.proposals_per_image(with_it) - pools.proposals_per_image(without),
            )
        )
    return parts


def _record(
    options: argparse.Namespace, rules: Rules, pools: Pools, chosen: Pool, found: Search | None
) -> dict[str, Any]:
    """The figures of the pool and of the search."""
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
    if found is None:
        return record
    record["gold"] = {
        "images": pools.num_gold_images,
        "labels": pools.num_present,
        "images_left_out": pools.left_out,
    }
    record["every_subset_searched"] = found.is_exact
    if options.pool is None:
        record |= {"recall_held_out": found.held_out, "enough_recall": found.is_enough}
    return record


def _print_models(pools: Pools, parts: Sequence[_Part], rules: Rules) -> None:
    from real_labels.files.text_table import text_table

    proposals = pools.proposals
    number = len(proposals.models)
    print(
        f"{number} model{'s' * (number > 1)}, {proposals.num_images:,} images. Proposed are {rules} of each "
        f"model, and the original label.\n"
    )
    with_gold = pools.num_present > 0
    rows = [
        (
            "model",
            "images",
            "not the original label",
            "proposals an image",
            *(("recall alone", "adds recall") if with_gold else ()),
            "adds proposals",
        )
    ]
    for part in parts:
        recall = (part.recall_alone, part.adds_recall)
        rows.append(
            (
                f"{'* ' if part.in_pool else '  '}{part.name}",
                f"{part.images:,}",
                f"{100 * part.differs:.1f}%",
                f"{part.proposals_per_image:.2f}",
                *((f"{100 * r:.1f}%" for r in recall) if with_gold else ()),
                f"{part.adds_proposals_per_image:.2f}",
            )
        )
    print(text_table(rows, "<" + ">" * (len(rows[0]) - 1)))
    print("* in the pool. A model adds what the pool would lack without it, or gain by it.\n")


def _print_pool(
    options: argparse.Namespace, pools: Pools, chosen: Pool, found: Search | None
) -> None:
    from real_labels.files.text_table import text_table
    from real_labels.intervals import percent
    from real_labels.proposals.pool_search import RECALL

    names, number = ", ".join(chosen.models), len(chosen.models)
    is_searched = found is not None and options.pool is None
    if found is not None and is_searched:
        wanted = options.recall or RECALL
        total = len(pools.proposals.models)
        how = (
            f"all {(1 << total) - 1:,} pools were searched"
            if found.is_exact
            else f"{total} models are too many for all pools: searched greedily with exchanges, so a smaller "
            f"pool may exist"
        )
        if found.is_enough:
            common.print_lines(f"The smallest pool of recall {100 * wanted:g}% or more ({how}):")
        else:
            highest = pools.measure(range(total)).recall
            assert highest is not None  # a search needs experts' labels
            common.print_lines(
                f"No pool reaches recall {100 * wanted:g}%; all models together have "
                f"{percent(highest, 1)}. The smallest pool of as much ({how}):"
            )
    else:
        print("The pool:")
    common.print_lines(names, indent="  ")
    images = pools.proposals.num_images
    rows = [("", ""), ("models", f"{number}")]
    if chosen.recall is not None:
        of = f"of {pools.num_present:,} labels of {pools.num_gold_images:,} gold images"
        rows.append(("recall", f"{percent(chosen.recall, 1)}  {of}"))
        if found is not None and is_searched:
            rows.append(("recall held out", percent(found.held_out, 1)))
        if chosen.recall_asked is not None and chosen.recall_asked.value < chosen.recall.value:
            rows.append(("recall of what is asked or kept", percent(chosen.recall_asked, 1)))
        if chosen.precision is not None and chosen.precision.is_known:
            of = f"of {chosen.precision.n:,} proposals whose truth is known"
            rows.append(("precision", f"{percent(chosen.precision, 1)}  {of}"))
    rows += [
        ("proposals an image", f"{chosen.proposals_per_image:.2f}"),
        (
            "nothing else is proposed" if options.ask_all else "all agree with the original label",
            f"{chosen.unrated:,} of {images:,} images ({100 * chosen.unrated / images:.1f}%)",
        ),
        ("to ask", _to_ask(chosen, images - chosen.unrated)),
    ]
    print("\n".join(text_table(rows).splitlines()[1:]) + "\n")


def _to_ask(chosen: Pool, rated: int) -> str:
    each = f" ({chosen.questions / rated:.2f} an image)" if rated else ""
    return f"{chosen.questions:,} questions on {rated:,} images{each}"


def _print_sizes(pools: Pools) -> None:
    """Prints the cheapest pool of each size, where all pools can be counted."""
    from real_labels.files.text_table import text_table
    from real_labels.proposals import GREEDY_ABOVE
    from real_labels.proposals.front import cheapest_of_each_size

    total, images = len(pools.proposals.models), pools.proposals.num_images
    if not 1 < total <= GREEDY_ABOVE:
        return
    agree = "nothing else proposed" if pools.proposals.ask_all else "agree with the original label"
    rows = [("models", "proposals an image", agree, "")]
    for names, per_image, unrated in cheapest_of_each_size(pools):
        text = ", ".join(names) if len(names) < total else "all"
        agree = f"{unrated:,} images ({100 * unrated / images:.1f}%)"
        rows.append((f"{len(names)}", f"{per_image:.2f}", agree, _shortened(text)))
    print("The pool of fewest proposals of each size (--gold tells which finds most):")
    print(text_table(rows, ">>><") + "\n")


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _print_front(front: Sequence[Point], number: int, is_exact: bool) -> None:
    from real_labels.files.text_table import text_table

    rows = [("recall", "precision", "proposals an image", "models", "")]
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
    part = f", {len(shown)} of {len(front)} (--front has all)" if len(shown) < len(front) else ""
    title, none = "Pareto front", "no pool"
    if not is_exact:
        title, none = "Approximate front", "of the pools that were looked at, none"
    print(f"{title}: {none} proposes less and finds as much{part}.")
    print(text_table(rows, ">>>><") + "\n")


def _spread(front: Sequence[Point]) -> list[Point]:
    """Points spread evenly over the recall, the ends among them."""
    highest, lowest = front[0].recall, front[-1].recall
    marks = [highest - (highest - lowest) * i / (_SHOWN - 1) for i in range(_SHOWN)]
    rows = {min(range(len(front)), key=lambda i: abs(front[i].recall - mark)) for mark in marks}
    return [front[row] for row in sorted(rows)]


def _doubts(pools: Pools, chosen: Pool) -> list[str]:
    """Remarks on the gold and on the recall."""
    doubts = []
    if pools.left_out:
        doubts.append(
            f"Left out: {common.counted(pools.left_out, 'gold image')} that no model predicts."
        )
    recall, asked = chosen.recall, chosen.recall_asked
    if recall is not None and asked is not None and asked.value < recall.value:
        doubts.append(
            f"Of the experts' labels, {100 * recall.value:.1f}% are proposed, and "
            f"{100 * asked.value:.1f}% are asked about or kept: as in the paper, an image "
            f"stands unrated where all first classes are the original label. --ask-all "
            f"rates such images, too."
        )
    if pools.experts is not None and not pools.experts.are_complete:
        doubts.append(
            "The gold holds questions, not all labels of its images: precision is about the proposals that "
            "were asked, and labels that nobody was asked about are missing from the recall."
        )
    return doubts
