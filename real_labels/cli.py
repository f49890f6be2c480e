"""The command line: python -m real_labels COMMAND.

Each command imports what it needs when it runs, so that help comes in a blink.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from real_labels.errors import InputError

if TYPE_CHECKING:
    from real_labels.aggregation import Aggregate, PseudoRater
    from real_labels.answers import Answers
    from real_labels.gold import Gold
    from real_labels.labels import LabelSets
    from real_labels.scoring import Scored

PRESET = "reassessed-imagenet"
_LEAST_SURE = 0.75  # questions decided with less are offered for more answers
_MOST_RATERS = 100  # rows of the table of raters


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; bad input ends in one line on stderr and exit status 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except InputError as error:
        sys.exit(f"Error: {error}")
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.exit(f"Error: {error.filename or 'input or output'}: {error.strerror or error}.")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m real_labels",
        description="Labels, answers and accuracy: from raters' raw answers to label sets, and from "
        "predictions to accuracy on the original and the Reassessed Labels (ReaL).",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(run: Callable, name: str, summary: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: python -m real_labels {name} {example}",
        )
        added.set_defaults(run=run)
        return added

    fetch = command(_fetch, "fetch", "download the published ReaL files (4.9 MB)", "")
    _add_data_dir(fetch)
    fetch.add_argument("--url", metavar="URL", help="a mirror to fetch from")

    aggregate = command(
        _aggregate,
        "aggregate",
        "turn raters' answers into scores and label sets",
        "--answers answers.csv --method dawid-skene --labels-out labels.json",
    )
    _add_aggregation(aggregate)
    aggregate.add_argument(
        "--unrated",
        metavar="LABELS",
        help="labels of all images (JSON, or 'original' for ILSVRC-2012's); those without a question "
        "keep them",
    )
    point = aggregate.add_mutually_exclusive_group()
    _add_operating_point(point)
    aggregate.add_argument("--scores-out", metavar="FILE.npz", help="scores, as published")
    aggregate.add_argument("--labels-out", metavar="FILE.json", help="label sets, as published")
    aggregate.add_argument(
        "--questions-out",
        metavar="FILE",
        help="table of the questions, the least sure first (.csv, .parquet)",
    )
    aggregate.add_argument("--raters-out", metavar="FILE", help="table of the raters")
    aggregate.add_argument("--fit-out", metavar="FILE.npz", help="a fit for --start")

    curve = command(
        _curve,
        "curve",
        "precision and recall of scores against gold questions",
        "--scores scores.npz --gold gold.csv --precision 0.9 --out curve.png",
    )
    curve.add_argument("--scores", required=True, metavar="FILE.npz", help="scores, as published")
    _add_gold(curve, required=True)
    _add_operating_point(curve.add_mutually_exclusive_group())
    curve.add_argument(
        "--out",
        action="append",
        default=[],
        metavar="FILE",
        help=".png, .svg, .pdf, .csv, .parquet or .json; may be repeated",
    )

    raters = command(
        _raters,
        "raters",
        "say which raters are reliable and whom to drop",
        "--answers answers.csv",
    )
    _add_aggregation(raters)
    raters.add_argument("--out", metavar="FILE", help="the same as a table (.csv, .parquet)")

    score = command(
        _score,
        "score",
        "accuracy of predictions on the original and the ReaL labels",
        "predictions.npz timm_results.csv --json scores.json",
    )
    score.add_argument("predictions", nargs="+", metavar="PREDICTIONS", help=_PREDICTIONS)
    _add_labels(score)
    score.add_argument("--json", metavar="FILE", help="write all figures")
    score.add_argument(
        "--assume",
        metavar="REPAIR",
        default="",
        help="undo a mix-up in all files first; the diagnosis names it (several, joined by commas)",
    )

    compare = command(
        _compare,
        "compare",
        "which of two models is better, on which labels, and whether that is significant",
        "resnet50.csv bit.npz",
    )
    compare.add_argument("first", metavar="A", help=_PREDICTIONS)
    compare.add_argument("second", metavar="B", help="likewise")
    _add_labels(compare)
    compare.add_argument("--json", metavar="FILE", help="write all figures")
    compare.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    return parser


_PREDICTIONS = (
    "predictions: .npy or .npz of classes (N,), ranked classes (N, k) or logits (N, C); .csv, .jsonl, "
    ".json, .parquet with file names and class indices or WordNet ids"
)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of the published files (default: $REAL_LABELS_DIR, or the user's cache)",
    )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels",
        metavar="FILE.json",
        help="reassessed labels, as published or an object from file name to classes (default: the "
        "published ReaL labels)",
    )
    parser.add_argument(
        "--original",
        metavar="FILE.json",
        help="original labels, likewise (default for ILSVRC-2012 images: its own)",
    )
    parser.add_argument("--num-classes", type=int, metavar="C", help="if it is not ILSVRC-2012")
    _add_data_dir(parser)


def _add_gold(parser: argparse.ArgumentParser, required: bool = False) -> None:
    parser.add_argument(
        "--gold",
        metavar="FILE",
        required=required,
        help="questions with known truth: a table of file_name, label, truth; or experts' answers",
    )
    parser.add_argument(
        "--gold-votes",
        type=int,
        metavar="N",
        help="experts who must say yes for a label to be present (default: more than half)",
    )


def _add_operating_point(group: Any) -> None:
    group.add_argument(
        "--threshold", type=float, metavar="T", help="keep labels of score T or more"
    )
    group.add_argument(
        "--precision", type=float, metavar="P", help="lowest threshold of precision P"
    )
    group.add_argument("--best-f1", action="store_true", help="threshold of the best F1")


def _add_aggregation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=[PRESET], help="the published answers and recipe")
    _add_data_dir(parser)
    parser.add_argument(
        "--answers",
        nargs="+",
        metavar="FILE",
        help="raters' answers: .npz as published, or .csv, .parquet, .jsonl with the columns "
        "file_name, label, rater, answer; several files are joined",
    )
    parser.add_argument(
        "--categories",
        default="no,maybe,yes",
        metavar="A,B,…",
        help="what may be answered, from surely absent to surely present (default no,maybe,yes)",
    )
    parser.add_argument(
        "--method",
        choices=["majority", "dawid-skene", "gold"],
        default="dawid-skene",
        help="share of yes; EM; or confusions measured on gold questions (default dawid-skene)",
    )
    _add_gold(parser)
    parser.add_argument(
        "--hold-gold",
        action="store_true",
        help="dawid-skene: hold gold questions at their truth (else gold only measures)",
    )
    parser.add_argument(
        "--gold-answers",
        metavar="FILE",
        help="the raters' answers to gold questions, if they are not among --answers",
    )
    parser.add_argument(
        "--pseudo-rater",
        action="append",
        default=[],
        metavar="labels=FILE[,name=NAME][,classes=0-397][,votes=N]",
        help="labels (JSON or predictions; 'original' for ILSVRC-2012's) that vote as a rater, on "
        "these classes, measured against gold of N votes; may be repeated",
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        default=1.0,
        metavar="S",
        help="pseudo-answers of each kind that every rater is given (default 1; 0: maximum likelihood)",
    )
    parser.add_argument(
        "--shrinkage",
        type=float,
        default=0.0,
        metavar="S",
        help="pseudo-answers like the average rater's (dawid-skene; for raters with few answers)",
    )
    parser.add_argument(
        "--prior", type=float, metavar="P", help="P(present) before any answer (default: estimated)"
    )
    parser.add_argument(
        "--start", metavar="FILE.npz", help="an earlier fit to start EM from (see --fit-out)"
    )
    parser.add_argument(
        "--max-passes", type=int, default=1000, metavar="N", help="of EM (default 1000)"
    )


# ---- commands -----------------------------------------------------------------------------------


def _fetch(options: argparse.Namespace) -> None:
    from real_labels import published

    paths = published.fetch(options.data_dir, options.url or published.URL)
    print(f"{paths[0].parent} holds the published files, their checksums are right:")
    for path in paths:
        print(f"  {path.name:18} {path.stat().st_size:>9,} bytes")


def _aggregate(options: argparse.Namespace) -> None:
    import numpy as np

    from real_labels import published, tables

    _check_endings(
        (options.scores_out, (".npz",)),
        (options.fit_out, (".npz",)),
        (options.labels_out, (".json",)),
        (options.questions_out, (".csv", ".parquet")),
        (options.raters_out, (".csv", ".parquet")),
    )
    gold = _gold(options)
    if options.hold_gold and (options.precision is not None or options.best_f1):
        raise InputError(
            "Gold that is held at its truth cannot choose a threshold: every score on it is perfect. "
            "Leave --hold-gold out, or give --threshold."
        )
    aggregate, answers = _aggregated(options, gold)
    scores = aggregate.scores
    threshold = 0.5
    if options.preset:
        threshold = published.THRESHOLD
    threshold = _threshold(options, scores, gold, threshold)
    unrated = "original" if options.preset else options.unrated
    labels = scores.label_sets(threshold, _labels(unrated) if unrated else None)

    asked = np.bincount(answers.question, minlength=len(answers.questions))
    print(
        f"{len(answers):,} answers of {len(answers.raters)} raters to {len(scores):,} questions on "
        f"{len(scores.questions.file_names):,} images."
    )
    if aggregate.convergence is not None:
        print(f"{aggregate.convergence}.")
    print(
        f"Threshold {threshold:.6g}: {len(labels.classes):,} labels on {(labels.counts > 0).sum():,} "
        f"of {len(labels):,} images; {(labels.counts == 0).sum():,} without a label, "
        f"{(labels.counts > 1).sum():,} with several."
    )
    if gold is not None and not options.hold_gold:
        from real_labels.thresholds import PrecisionRecall

        print(f"On gold, {PrecisionRecall.of(scores, gold).at_threshold(threshold)}.")
    if options.preset:
        _compare_with_published(aggregate, labels, options.data_dir)
    unsure = int(np.count_nonzero(aggregate.sureness < _LEAST_SURE))
    print(
        f"{unsure:,} questions are decided with a sureness below {_LEAST_SURE}: more answers to these "
        f"help most{'' if options.questions_out else ' (--questions-out lists them)'}."
    )
    written = []
    if options.scores_out:
        scores.save(options.scores_out)
        written.append(options.scores_out)
    if options.labels_out:
        labels.to_json(options.labels_out)
        written.append(options.labels_out)
    if options.questions_out:
        order = np.argsort(aggregate.sureness, kind="stable")
        columns = {
            "file_name": scores.questions.file_name(),
            "label": scores.questions.label,
            "score": scores.probability,
            "sureness": aggregate.sureness,
            "answers": asked,
        }
        tables.write(options.questions_out, {name: c[order] for name, c in columns.items()})
        written.append(options.questions_out)
    if options.raters_out:
        _write_raters(aggregate, options.raters_out)
        written.append(options.raters_out)
    if options.fit_out:
        aggregate.save(options.fit_out)
        written.append(options.fit_out)
    if written:
        print(f"Wrote {', '.join(written)}.")


def _compare_with_published(aggregate: Aggregate, labels: LabelSets, data_dir: str | None) -> None:
    """Says how far the rebuilt scores and labels are from the published ones, if they are there."""
    import numpy as np

    from real_labels import published
    from real_labels.scores import Scores

    folder = published.data_dir(data_dir)
    if (folder / "scores.npz").exists():
        theirs = Scores.load(folder / "scores.npz")
        ours = aggregate.scores.probability[aggregate.scores.questions.find(theirs.questions)]
        print(
            f"Published scores: {len(theirs):,}, the largest difference is "
            f"{np.abs(ours - theirs.probability).max():.1e}."
        )
    if (folder / "real.json").exists():
        published_lists = published.real_labels(data_dir).to_lists()
        same = sum(a == b for a, b in zip(labels.to_lists(), published_lists, strict=True))
        print(f"Published labels: {same:,} of {len(published_lists):,} label sets are equal.")


def _curve(options: argparse.Namespace) -> None:
    from real_labels.scores import Scores
    from real_labels.thresholds import PrecisionRecall

    _check_endings(
        *((out, (".png", ".svg", ".pdf", ".csv", ".parquet", ".json")) for out in options.out)
    )
    scores, gold = Scores.load(options.scores), _gold(options)
    curve = PrecisionRecall.of(scores, gold)
    print(
        f"{curve.kept[-1]:,} gold questions, {curve.present:,} labels present; "
        f"{len(curve.thresholds):,} thresholds that differ."
    )
    asked = options.threshold is not None or options.precision is not None or options.best_f1
    best = curve.at_best_f1()
    marked = curve.at_threshold(_threshold(options, scores, gold, 0.5)) if asked else best
    print(f"Best F1:  {best}")
    if asked:
        print(f"Asked:    {marked}")
    for out in options.out:
        curve.save(out, marked)
    if options.out:
        print(f"Wrote {', '.join(options.out)}.")


def _raters(options: argparse.Namespace) -> None:
    from real_labels.reliability import DROP, FEW, INVERTED, Reliability
    from real_labels.text_table import text_table

    _check_endings((options.out, (".csv", ".parquet")))
    aggregate, _ = _aggregated(options, _gold(options))
    columns = Reliability.of(aggregate).columns()
    rows = [
        (
            str(rater),
            f"{answers:,}",
            f"{informedness:.2f}",
            f"[{low:.2f}, {high:.2f}]",
            f"{bits:.2f}",
            f"{100 * present:.0f}%",
            f"{100 * absent:.0f}%",
            verdict if verdict != "keep" else "",
        )
        for rater, answers, informedness, low, high, bits, present, absent, verdict in zip(
            *columns.values(), strict=True
        )
    ]
    header = ("rater", "answers", "informedness", "95%", "bits", "yes if present", "if absent", "")
    shown = rows[-_MOST_RATERS:]
    print(text_table([header, *shown], "<>>>>>><"))
    if len(rows) > len(shown):
        print(f"({len(rows) - len(shown):,} more reliable ones are not shown; --out writes all)")
    verdicts = columns["verdict"].tolist()
    names = columns["rater"].tolist()
    print(
        "\nInformedness: mean answer (no 0 … yes 1) to labels that are present minus to labels that "
        "are\nabsent; 1 is perfect, 0 tells nothing."
    )
    for verdict, advice in (
        (DROP, "Drop (their answers tell next to nothing)"),
        (INVERTED, "Inverted (they mean the opposite; check the task with them)"),
        (FEW, "Too few answers to tell"),
    ):
        found = [n for n, v in zip(names, verdicts, strict=True) if v == verdict]
        if found:
            print(f"{advice}: {', '.join(found[:20])}{' …' if len(found) > 20 else ''}")
    if DROP not in verdicts and INVERTED not in verdicts:
        print("Nobody needs to be dropped.")
    if options.out:
        _write_raters(aggregate, options.out)
        print(f"Wrote {options.out}.")


def _score(options: argparse.Namespace) -> None:
    from real_labels import scoring

    _check_endings((options.json, (".json",)))
    reference = _reference(options)
    assume = [name for name in options.assume.split(",") if name]
    files = options.predictions
    if len(files) > 3:
        import tqdm

        files = tqdm.tqdm(files, desc="scoring", unit=" files", leave=False, delay=1)
    scored = [scoring.score(path, reference, assume) for path in files]
    print(_scores_table(scored, reference))
    _print_warnings(scored)
    if options.json:
        _write_json(options.json, [one.as_json() for one in scored])


def _scores_table(scored: Sequence[Scored], reference: Any) -> str:
    from real_labels.text_table import text_table

    itself = reference.original_on_real()
    names = {"original": "original", "real": "ReaL"}
    keys = [key for key in names if key in scored[0].results]
    header = ["", *(f"{names[key]} top-{k}" for key in keys for k in (1, 5)), "n"]
    rows = [header]
    for one in scored:
        cells = [_percent(one.results[key][f"top{k}"]) for key in keys for k in (1, 5)]
        rows.append([one.file, *cells, _counts(one.results, keys)])
    if itself is not None:
        mark = ["", "", _percent(itself.as_json()), ""]
        rows.append(["the original labels", *mark, f"{itself.n:,}"])
    return text_table(rows)


def _percent(accuracy: dict[str, Any]) -> str:
    if accuracy["value"] is None:
        return "–"
    value, low, high = (100 * accuracy[key] for key in ("value", "low", "high"))
    return f"{value:.2f}% [{low:.2f}, {high:.2f}]"


def _counts(results: dict[str, Any], keys: Sequence[str]) -> str:
    return " / ".join(f"{results[key]['top1']['n']:,}" for key in keys)


def _compare(options: argparse.Namespace) -> None:
    import numpy as np

    from real_labels import accuracy, scoring
    from real_labels.text_table import text_table

    _check_endings((options.json, (".json",)))
    reference = _reference(options)
    scored = [scoring.score(path, reference) for path in (options.first, options.second)]
    first, second = (one.predictions for one in scored)
    common = np.intersect1d(first.file_names, second.file_names)
    if not len(common):
        raise InputError(f"{options.first} and {options.second} have no image in common.")
    first, second = (p.take(p.rows(common)) for p in (first, second))
    label_sets = {"original": reference.original, "real": reference.real}
    names = {"original": "original", "real": "ReaL"}
    record: dict[str, Any] = {"files": [options.first, options.second], "num_images": len(common)}
    rows = [("", "A", "B", "A - B, points", "only A", "only B", "p (McNemar)", "n")]
    verdicts = []
    for key, labels in label_sets.items():
        if labels is None:
            continue
        record[key] = {}
        for k in accuracy.TOP_K:
            if not all(accuracy.can_measure(p, labels, k) for p in (first, second)):
                continue
            difference = accuracy.paired_difference(first, second, labels, k, seed=options.seed)
            record[key][f"top{k}"] = difference.as_json()
            if not difference.n:
                continue
            a, b = (accuracy.top_k_accuracy(p, labels, k).value for p in (first, second))
            value, low, high = (
                100 * v for v in (difference.value, difference.low, difference.high)
            )
            rows.append(
                (
                    f"{names[key]} top-{k}",
                    f"{100 * a:.2f}%",
                    f"{100 * b:.2f}%",
                    f"{value:+.2f} [{low:+.2f}, {high:+.2f}]",
                    f"{difference.only_first:,}",
                    f"{difference.only_second:,}",
                    f"{difference.p_value:.2g}",
                    f"{difference.n:,}",
                )
            )
            verdicts.append((f"{names[key]} top-{k}", difference))
    print(f"A = {options.first}\nB = {options.second}\n")
    print(text_table(rows, "<>>>>>>>"))
    print()
    for what, difference in verdicts:
        print(_verdict(what, difference))
    smaller = min(len(p.predictions) for p in scored), max(len(p.predictions) for p in scored)
    if len(common) < smaller[1]:
        print(f"Compared on the {len(common):,} images that both cover.")
    _print_warnings(scored)
    if options.json:
        record["warnings"] = {one.file: list(one.warnings) for one in scored}
        _write_json(options.json, record)


def _verdict(what: str, difference: Any) -> str:
    if difference.p_value >= 0.05:
        return f"On {what} they cannot be told apart (p = {difference.p_value:.2g})."
    better = "A" if difference.value > 0 else "B"
    return (
        f"On {what} {better} is better by {100 * abs(difference.value):.2f} points "
        f"(p = {difference.p_value:.2g})."
    )


# ---- what several commands do -------------------------------------------------------------------


def _reference(options: argparse.Namespace) -> Any:
    from real_labels.scoring import Reference

    return Reference.load(
        options.labels,
        options.original,
        data_dir=options.data_dir,
        num_classes=options.num_classes,
    )


def _gold(options: argparse.Namespace) -> Gold | None:
    from real_labels import published
    from real_labels.gold import Gold

    if getattr(options, "preset", None):
        return Gold.load(published.locate("golden.npz", options.data_dir), at_least=3)
    if options.gold is None:
        if options.gold_votes is not None:
            raise InputError("--gold-votes needs --gold.")
        return None
    return Gold.load(options.gold, options.gold_votes)


def _aggregated(options: argparse.Namespace, gold: Gold | None) -> tuple[Aggregate, Answers]:
    from real_labels import aggregation, published
    from real_labels.answers import Answers

    if options.preset:
        if options.answers:
            raise InputError("--preset has its own answers; give it or --answers.")
        answers = published.raw_answers(options.data_dir)
        return published.rebuild(options.data_dir, answers)[0], answers
    if not options.answers:
        raise InputError(f"Give --answers FILE, or --preset {PRESET}.")
    if options.hold_gold and (options.method != "dawid-skene" or gold is None):
        raise InputError("--hold-gold goes with --method dawid-skene and --gold FILE.")
    categories = tuple(c.strip() for c in options.categories.split(","))
    answers = Answers.join([Answers.load(path, categories) for path in options.answers])
    pseudo_raters = [_pseudo_rater(text, gold) for text in options.pseudo_rater]
    if options.method == "majority":
        return aggregation.majority(answers, pseudo_raters=pseudo_raters), answers
    if options.method == "gold":
        if gold is None:
            raise InputError("--method gold needs --gold FILE.")
        gold_answers = None
        if options.gold_answers is not None:
            gold_answers = Answers.load(options.gold_answers, categories)
        aggregate = aggregation.gold_calibrated(
            answers,
            gold,
            gold_answers,
            smoothing=options.smoothing,
            prior=options.prior,
            pseudo_raters=pseudo_raters,
        )
        return aggregate, answers
    aggregate = aggregation.dawid_skene(
        answers,
        smoothing=options.smoothing,
        shrinkage=options.shrinkage,
        prior=options.prior,
        gold=gold if options.hold_gold else None,
        pseudo_raters=pseudo_raters,
        start=None if options.start is None else aggregation.Start.load(options.start),
        max_passes=options.max_passes,
    )
    return aggregate, answers


def _pseudo_rater(text: str, gold: Gold | None) -> PseudoRater:
    """Reads labels=FILE[,name=NAME][,classes=0-397][,votes=N]."""
    import numpy as np

    from real_labels.aggregation import PseudoRater

    fields = dict(part.partition("=")[::2] for part in text.split(","))
    unknown = set(fields) - {"labels", "name", "classes", "votes"}
    if unknown or not fields.get("labels"):
        raise InputError(
            f"--pseudo-rater {text}: expected labels=FILE[,name=NAME][,classes=0-397][,votes=N]."
        )
    classes = None
    try:
        if "classes" in fields:
            first, _, last = fields["classes"].partition("-")
            classes = np.arange(int(first), int(last or first) + 1)
        votes = int(fields["votes"]) if "votes" in fields else None
    except ValueError:
        raise InputError(
            f"--pseudo-rater {text}: classes are a range such as 0-397, votes a number."
        ) from None
    if votes is not None and gold is None:
        raise InputError(f"--pseudo-rater {text}: votes need --gold.")
    return PseudoRater(
        name=fields.get("name") or pathlib.Path(fields["labels"]).stem,
        labels=_labels(fields["labels"]),
        classes=classes,
        gold=None if votes is None else gold.with_votes(votes),
    )


def _labels(path: str) -> LabelSets:
    """Label sets from JSON, 'original' for ILSVRC-2012's, or the top-1 of predictions."""
    from real_labels import imagenet, prediction_files
    from real_labels.labels import LabelSets

    if path == "original":
        return imagenet.original_labels()
    if pathlib.Path(path).suffix.lower() == ".json":
        return LabelSets.from_json(path)
    found = prediction_files.read(path)
    if found.file_names is None:
        raise InputError(f"{path}: predictions that vote need file names.")
    return LabelSets.from_lists(found.file_names, found.classes[:, :1].tolist())


def _threshold(
    options: argparse.Namespace, scores: Any, gold: Gold | None, default: float
) -> float:
    from real_labels.thresholds import PrecisionRecall

    if options.precision is not None or options.best_f1:
        if gold is None:
            raise InputError("--precision and --best-f1 need --gold FILE.")
        curve = PrecisionRecall.of(scores, gold)
        if options.best_f1:
            return curve.at_best_f1().threshold
        return curve.at_precision(options.precision).threshold
    return default if options.threshold is None else options.threshold


def _write_raters(aggregate: Aggregate, path: str) -> None:
    from real_labels import tables
    from real_labels.reliability import Reliability

    tables.write(path, Reliability.of(aggregate).columns())


def _write_json(path: str, record: Any) -> None:
    from real_labels import files

    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    print(f"Wrote {path}.")


def _check_endings(*outputs: tuple[str | None, tuple[str, ...]]) -> None:
    """Before any work: a mistyped ending should cost nothing."""
    for path, endings in outputs:
        if path is not None and pathlib.Path(path).suffix.lower() not in endings:
            raise InputError(f"{path}: this is written as {' or '.join(endings)}.")


def _print_warnings(scored: Sequence[Scored]) -> None:
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    for one in scored:
        for warning in one.warnings:
            print(
                textwrap.fill(
                    f"! {one.file}: {warning}",
                    width,
                    subsequent_indent="    ",
                    break_on_hyphens=False,
                    break_long_words=False,
                )
            )
