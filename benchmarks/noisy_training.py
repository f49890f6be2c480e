"""Measures training under label noise on digit_scenes: loss, cleaned labels and length of the schedule.

    python benchmarks/noisy_training.py              # all unfinished cells; takes hours
    python benchmarks/noisy_training.py --quick      # a few short cells, into another folder; 15 minutes
    python benchmarks/noisy_training.py --table      # the tables and the figure of the finished cells
    python benchmarks/noisy_training.py --digits     # rules and accuracies by the number of digits in a scene

There are two levels of label noise: digit_scenes' own labels, of which 16% are wrong, and labels of which 40%
are wrong. The true labels of the training scenes are computed again: to add noise, to measure the rules, and
to choose the images of the cells that are called oracle or controls. Each cell is a run with its own workdir;
an interrupted run is resumed. A finished cell leaves a small JSON file in benchmarks/results/noisy_training
and is not run again; so does a finished rule (clean_*.json). The tables are Markdown, as in docs/training.md.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels import LabelSets, Predictions
from real_labels.files import replacing, write_json
from real_labels.intervals import Estimate, mcnemar, percent

RESULTS = ROOT / "benchmarks" / "results" / "noisy_training"
FIGURE = ROOT / "docs" / "noisy_training.png"
LEVELS = {"own": None, "40%": 0.4}  # share of wrong training labels; None: the dataset's own labels
FOLDS, FOLD_STEPS = 10, 1600
DATASET = "digit_scenes"
LOSSES = ("softmax", "sigmoid")
RULES = ("confident", "top-k=2", "top1")
# Lists that differ from the list of `confident` in one respect, to learn what this list does.
CONTROLS = {
    "confident-right": "without its wrong labels",
    "confident-all-right": "with the right labels that it drops",
    "confident-random-wrong": "with as many wrong labels, drawn at random from all wrong ones",
}
LABELS = ("all", *RULES, "oracle", *CONTROLS)


@dataclasses.dataclass(frozen=True)
class Cell:
    """Settings of a training run.

    Attributes:
      level: level of label noise, a key of LEVELS.
      loss: softmax or sigmoid.
      labels: all, oracle, a rule of `real_labels clean`, or a control.
      steps: number of steps, each with 64 images.
      seed: seed of the run; the seed of the noise and of the folds is always 0.
    """

    level: str
    loss: str
    labels: str
    steps: int
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the cell's workdir and of its JSON file."""
        return plain(f"{self.level}_{self.loss}_{self.labels}_{self.steps}_{self.seed}")

    @property
    def rank(self) -> tuple[int, ...]:
        """Place of the cell in the tables."""
        level, loss = list(LEVELS).index(self.level), LOSSES.index(self.loss)
        return level, self.steps, loss, LABELS.index(self.labels), self.seed


def plain(text: str) -> str:
    """Text without the characters that file names avoid."""
    return re.sub("[%=]", "", text)


def cells() -> list[Cell]:
    """All cells: the main grid (first the cells that need no folds), further seeds, rules and controls."""
    grid = [
        Cell(level, loss, labels, steps)
        for labels in ("all", "oracle", "confident")
        for steps in (1600, 4800)
        for level in ("40%", "own")
        for loss in LOSSES
    ]
    pair = (("softmax", "all"), ("sigmoid", "confident"))
    grid += [Cell("40%", loss, labels, 4800, seed) for seed in (1, 2) for loss, labels in pair]
    grid += [Cell("40%", "sigmoid", labels, 4800) for labels in (*RULES[1:], *CONTROLS)]
    return grid + [Cell("40%", loss, labels, 14_400) for loss, labels in pair]


def quick_cells() -> list[Cell]:
    """A few short cells."""
    return [
        Cell("40%", "softmax", "all", 300),
        Cell("40%", "sigmoid", "all", 300),
        Cell("40%", "sigmoid", "oracle", 300),
        Cell("40%", "sigmoid", "confident", 300),
    ]


# ---- labels --------------------------------------------------------------------------------------


def training_labels() -> tuple[LabelSets, LabelSets]:
    """Original and true labels of the training scenes. Generates the scenes again to get the true labels."""
    from big_transfer import datasets
    from big_transfer.datasets.builders import digit_scenes

    source = datasets.open_source(DATASET, "train", ["original_label"])
    names = datasets.file_names_of(source).tolist()
    labels = datasets.labels_of(source, "original_label")
    truth = LabelSets.from_lists(names, digit_scenes.true_labels(names))
    return LabelSets.from_lists(names, labels), truth


def is_right(labels: LabelSets, truth: LabelSets) -> np.ndarray:
    """Whether the only label of each image is one of its true labels, (N,) bool."""
    return truth.contains(truth.rows(labels.file_names), labels.classes[:, None])[:, 0]


def with_noise(original: LabelSets, truth: LabelSets, share: float | None) -> LabelSets:
    """Replaces right labels by classes that are not in the scene, until `share` of the labels is wrong.

    Returns `original` if `share` is None.
    """
    if share is None:
        return original
    rng = np.random.default_rng(0)
    names, labels = original.file_names.tolist(), original.classes.copy()
    valid = truth.take(truth.rows(original.file_names)).to_lists()
    right = np.flatnonzero(is_right(original, truth))
    num_more = round(share * len(names)) - (len(names) - len(right))
    for row in rng.permutation(right)[:num_more].tolist():
        labels[row] = rng.choice([c for c in range(10) if c not in valid[row]])
    return LabelSets.from_lists(names, [[c] for c in labels.tolist()])


class Data:
    """Training labels and lists of training images, in the folder `out`; results of rules, in `results`."""

    def __init__(self, out: pathlib.Path, results: pathlib.Path, fold_steps: int, folds: int):
        self._out, self._results = out, results
        self._fold_steps, self._folds = fold_steps, folds
        out.mkdir(parents=True, exist_ok=True)
        self._truth = out / "truth.json"
        if not self._truth.exists():
            original, truth = training_labels()
            for level, share in LEVELS.items():
                with_noise(original, truth, share).to_json(self._labels(level))
            truth.to_json(self._truth)

    def _labels(self, level: str) -> pathlib.Path:
        return self._out / f"labels_{plain(level)}.json"

    def labels(self, level: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """File names of the training images, whether the label is right, and the number of true labels."""
        noisy, truth = LabelSets.from_json(self._labels(level)), LabelSets.from_json(self._truth)
        rows = truth.rows(noisy.file_names)
        return noisy.file_names, is_right(noisy, truth), truth.counts[rows]

    def kept(self, level: str, labels: str) -> np.ndarray:
        """The images to learn from, (N,) bool. Trains folds if the rule has no result yet."""
        _, right, _ = self.labels(level)
        if labels == "oracle":
            return right
        if labels in CONTROLS:
            return control(labels, self.kept(level, "confident"), right)
        path = rule_path(self._results, level, labels)
        if not path.exists():
            write_json(path, self._clean(level, labels), indent=1)
        return kept_by(json.loads(path.read_text()))

    def arguments(self, level: str, labels: str) -> list[str]:
        """Arguments of main.py that choose training images and labels; writes the list of images."""
        relabel = [f"--config.input.relabel={self._labels(level)}"] if LEVELS[level] else []
        if labels == "all":
            return relabel
        path = self._out / f"keep_{plain(level)}_{plain(labels)}.txt"
        names, _, _ = self.labels(level)
        with replacing(path) as temporary:
            temporary.write_text("".join(f"{n}\n" for n in names[self.kept(level, labels)]))
        return [*relabel, f"--config.input.keep={path}"]

    def _clean(self, level: str, rule: str) -> dict:
        """Runs a cleaning rule on the folds; returns its result with the kept images as bits."""
        folder = self._out / f"folds_{plain(level)}"
        train(
            "configs/noisy_digit_scenes.py:loss=sigmoid", folder, "--mode=cross_validate",
            f"--config.folds={self._folds}", f"--config.total_steps={self._fold_steps}",
            "--config.eval_every_steps=100000", "--config.example_images=0",
            *self.arguments(level, "all"),
        )  # fmt: skip
        kept, record = folder / f"{plain(rule)}.txt", folder / f"{plain(rule)}.json"
        subprocess.run(
            [sys.executable, "-m", "real_labels", "clean", folder / "out_of_fold.npz", "--rule", rule,
             "--kept", kept, "--truth", self._truth, "--json", record],
            check=True,
        )  # fmt: skip
        names, _, _ = self.labels(level)
        bits = packed(np.isin(names, kept.read_text().split()))
        return {**json.loads(record.read_text()), "kept": bits}


def control(name: str, kept: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The images of a control; see CONTROLS.

    Args:
      name: a key of CONTROLS.
      kept: images that `confident` keeps, (N,) bool.
      right: images whose label is right, (N,) bool.
    """
    if name == "confident-right":
        return kept & right
    if name == "confident-all-right":
        return kept | right
    wrong = np.random.default_rng(0).permutation(np.flatnonzero(~right))
    chosen = kept & right
    chosen[wrong[: np.count_nonzero(kept & ~right)]] = True
    return chosen


def rule_path(results: pathlib.Path, level: str, rule: str) -> pathlib.Path:
    """File of the result of a cleaning rule."""
    return results / f"clean_{plain(level)}_{plain(rule)}.json"


def kept_by(record: dict) -> np.ndarray:
    """The images that a rule keeps, (N,) bool."""
    return unpacked(record["kept"], record["images"])


def packed(bits: np.ndarray) -> str:
    """Booleans as text."""
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def unpacked(text: str, number: int) -> np.ndarray:
    """The first `number` booleans of a text."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[:number].astype(bool)


# ---- runs ----------------------------------------------------------------------------------------


def train(config: str, workdir: pathlib.Path, *arguments: object) -> None:
    """Runs main.py to the end; continues an interrupted run of the workdir."""
    subprocess.run(
        [sys.executable, "main.py", f"--config={config}", f"--workdir={workdir}", *map(str, arguments)],
        cwd=ROOT, check=True,
    )  # fmt: skip


def run(cell: Cell, data: Data, out: pathlib.Path) -> dict:
    """Trains a cell and returns its record."""
    workdir = out / cell.name
    arguments = data.arguments(cell.level, cell.labels)
    start = time.time()
    train(
        f"configs/noisy_digit_scenes.py:loss={cell.loss}", workdir, f"--config.seed={cell.seed}",
        f"--config.total_steps={cell.steps}", "--config.eval_every_steps=1600",
        "--config.example_images=0", *arguments,
    )  # fmt: skip
    results = json.loads((workdir / "results.json").read_text())
    predictions = Predictions.load(workdir / "predictions.npz")
    hits = {}
    for name, labels in (("original", "original_label"), ("true", "real_label")):
        sets = validation_labels()[labels]
        rows = sets.rows(predictions.file_names)
        hits[name] = sets.contains(rows, predictions.classes[:, :1])[:, 0]
    return {
        **dataclasses.asdict(cell),
        "images": len(predictions),
        "judged": int(np.count_nonzero(validation_labels()["real_label"].counts)),
        "original": results["original"]["top1"],
        "true": results["real"]["top1"],
        "hits": {name: packed(found) for name, found in hits.items()},
        "seconds": round(time.time() - start),  # of the last call, if the run was interrupted
        "machine": f"{os.cpu_count()} CPU cores, Python {platform.python_version()}",
    }


@functools.cache
def validation_labels() -> dict[str, LabelSets]:
    """The label sets of the validation scenes in the order of predictions: by file name."""
    from big_transfer import datasets

    keys = ["original_label", "real_label"]
    source = datasets.open_source(DATASET, "validation", keys)
    examples = [source[row] for row in range(len(source))]
    examples.sort(key=lambda example: example["file_name"])
    names = [example["file_name"] for example in examples]
    return {key: LabelSets.from_lists(names, [e[key] for e in examples]) for key in keys}


# ---- tables and figure ---------------------------------------------------------------------------


def load(results: pathlib.Path) -> dict[Cell, dict]:
    """Reads the records of the finished cells, in the order of the tables."""
    fields = [field.name for field in dataclasses.fields(Cell)]
    records = [
        json.loads(path.read_text())
        for path in results.glob("*.json")
        if not path.name.startswith(("clean_", "."))
    ]
    done = {Cell(**{name: record[name] for name in fields}): record for record in records}
    return {cell: done[cell] for cell in sorted(done, key=lambda cell: cell.rank)}


def load_rules(results: pathlib.Path) -> dict[tuple[str, str], dict]:
    """Reads the results of the cleaning rules: (level, rule) -> record."""
    pairs = [(level, rule) for level in LEVELS for rule in RULES]
    paths = {pair: rule_path(results, *pair) for pair in pairs}
    return {pair: json.loads(path.read_text()) for pair, path in paths.items() if path.exists()}


def markdown(rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown; the first row is the header."""
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    )


def columns(cell: Cell) -> tuple[str, ...]:
    return cell.level, f"{cell.steps:,}", cell.loss, cell.labels, str(cell.seed)


def bits(record: dict, kind: str) -> np.ndarray:
    return unpacked(record["hits"][kind], record["images"])


def estimate(values: dict) -> Estimate:
    return Estimate(values["value"], values["low"], values["high"], values["n"])


def tables(results: pathlib.Path) -> str:
    """Tables of all finished cells and of the cleaning rules, and paired tests."""
    done = load(results)
    rows = [("wrong labels", "steps", "loss", "labels", "seed", "original labels", "true labels")]
    rows += [
        (*columns(c), *(percent(estimate(r[kind]), 1) for kind in ("original", "true")))
        for c, r in done.items()
    ]
    texts = ["Top-1:", markdown(rows)]
    rows = [("wrong labels", "rule", "dropped", "precision: wrong among the dropped", "by chance",
             "recall: dropped among the wrong", "by chance")]  # fmt: skip
    for (level, rule), record in load_rules(results).items():
        shares = [
            percent(Estimate(**record[k]), 1) for k in ("precision", "wrong", "recall", "share")
        ]
        rows.append((level, rule, f"{record['dropped']:,}", *shares))
    texts += ["Labels that the rules drop:", markdown(rows)]
    rows = [
        (
            "wrong labels",
            "steps",
            "loss",
            "labels",
            "seed",
            "original labels",
            "p",
            "true labels",
            "p",
        )
    ]
    for title, pairs in comparisons(done).items():
        texts += [f"{title}:", markdown([*rows, *(difference(done, *pair) for pair in pairs)])]
    return "\n\n".join(texts)


def comparisons(done: dict[Cell, dict]) -> dict[str, list[tuple[Cell, Cell]]]:
    """Pairs of finished cells, each of a cell and its baseline, by title."""

    def pairs(chosen: Iterator[Cell], **change: object) -> list[tuple[Cell, Cell]]:
        both = [(cell, dataclasses.replace(cell, **change)) for cell in chosen]
        return [pair for pair in both if pair[1] in done]

    longer = [(c, dataclasses.replace(c, steps=c.steps // 3)) for c in done]
    return {
        "Sigmoid over softmax": pairs((c for c in done if c.loss == "sigmoid"), loss="softmax"),
        "Chosen labels over all labels": pairs((c for c in done if c.labels != "all"), labels="all"),
        "Other lists over `confident`": pairs(
            (c for c in done if c.labels in (*RULES[1:], *CONTROLS)), labels="confident"
        ),
        "Over a third of the steps": [pair for pair in longer if pair[1] in done],
        "Sigmoid and `confident` over softmax and all labels": pairs(
            (c for c in done if (c.loss, c.labels) == ("sigmoid", "confident")),
            loss="softmax", labels="all",
        ),
        "Over the same run with seed 0": pairs((c for c in done if c.seed), seed=0),
    }  # fmt: skip


def difference(done: dict[Cell, dict], cell: Cell, baseline: Cell) -> tuple[str, ...]:
    """Row of a paired test: the cell, and for both label sets points and McNemar's exact p."""
    row = list(columns(cell))
    for kind, n in (("original", done[cell]["images"]), ("true", done[cell]["judged"])):
        a, b = bits(done[cell], kind), bits(done[baseline], kind)
        better, worse = int((a & ~b).sum()), int((b & ~a).sum())
        row += [f"{100 * (better - worse) / n:+.2f}", f"{mcnemar(better, worse):.2g}"]
    return tuple(row)


def digits(data: Data, results: pathlib.Path) -> str:
    """Tables by the number of different digits in a scene: kept labels, and accuracy on true labels."""
    titles = ("no digit", "one digit", "several")
    rows = [("wrong labels", "labels", "scenes with", "kept", "wrong among the kept",
             "kept among the wrong", "dropped among the right")]  # fmt: skip
    for level, labels in [*load_rules(results), *(("40%", name) for name in CONTROLS)]:
        keep = data.kept(level, labels)
        _, right, counts = data.labels(level)
        for number, title in enumerate(titles):
            chosen = np.minimum(counts, 2) == number
            rows.append((
                level, labels, title, f"{np.count_nonzero(keep & chosen):,}",
                share_of(~right[keep & chosen]), share_of(keep[~right & chosen]),
                share_of(~keep[right & chosen]),
            ))  # fmt: skip
    texts = ["Labels that the rules keep:", markdown(rows)]
    counts = np.minimum(validation_labels()["real_label"].counts, 2)
    rows = [("wrong labels", "steps", "loss", "labels", "seed", *titles[1:])]
    for cell, record in load(results).items():
        found = bits(record, "true")
        rows.append((*columns(cell), *(share_of(found[counts == number]) for number in (1, 2))))
    return "\n\n".join([*texts, "Top-1 on true labels:", markdown(rows)])


def share_of(found: np.ndarray) -> str:
    """Share of the true values, in percent; a dash if there are no values."""
    return f"{found.mean():.1%}" if found.size else "–"


def draw(results: pathlib.Path, path: pathlib.Path) -> None:
    """Draws accuracy over steps: a line for each loss, and for all, confident's and the oracle's labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    done = load(results)
    figure, axes = plt.subplots(
        1, len(LEVELS), figsize=(10.5, 3.6), sharey=True, constrained_layout=True
    )
    for axis, level in zip(axes, LEVELS, strict=True):
        for loss, colour in (("softmax", "#c2571a"), ("sigmoid", "#2460a7")):
            for labels, style in (("all", "-"), ("confident", "--"), ("oracle", ":")):
                points = sorted(
                    (c.steps, estimate(r["true"]))
                    for c, r in done.items()
                    if (c.level, c.loss, c.labels, c.seed) == (level, loss, labels, 0)
                )
                if not points:
                    continue
                x, values = [p[0] for p in points], [100 * p[1].value for p in points]
                axis.plot(x, values, style, color=colour, marker="o", label=f"{loss}, {labels}")
                low, high = ([100 * getattr(p[1], end) for p in points] for end in ("low", "high"))
                axis.vlines(x, low, high, color=colour, alpha=0.5)
        axis.set_xscale("log")
        axis.set_xticks([1600, 4800, 14_400], ["1,600", "4,800", "14,400"])
        axis.minorticks_off()
        axis.set_xlim(1300, 17_700)
        axis.set_title(f"wrong training labels: {'own, 16%' if level == 'own' else level}")
        axis.set_xlabel("steps of 64 images")
    axes[0].set_ylabel("top-1 on true labels, %")
    lines = [axis.get_legend_handles_labels() for axis in axes]
    # A line may be in one panel only.
    by_label = {label: line for pair in lines for line, label in zip(*pair, strict=True)}
    labels = sorted(by_label, key=lambda label: label.split(", ")[::-1])
    figure.legend(
        [by_label[label] for label in labels], labels, loc="outside right center", fontsize=9
    )
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="folder of the workdirs")
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--quick", action="store_true", help="run a few short cells")
    task.add_argument("--table", action="store_true", help="print tables and draw the figure only")
    task.add_argument("--digits", action="store_true", help="print tables by digits only")
    task.add_argument("--only", metavar="TEXT", help="run only cells whose name contains TEXT")
    options = parser.parse_args()
    out = options.out or ROOT / "runs" / (
        "noisy_training_quick" if options.quick else "noisy_training"
    )
    results = out / "results" if options.quick else RESULTS
    if not options.table:
        data = Data(out, results, *((300, 2) if options.quick else (FOLD_STEPS, FOLDS)))
        if options.digits:
            print(digits(data, results))
            return
        for cell in quick_cells() if options.quick else cells():
            path = results / f"{cell.name}.json"
            if plain(options.only or "") in cell.name and not path.exists():
                print(f"{cell.name}:", flush=True)
                write_json(path, run(cell, data, out), indent=1)
        if not options.quick and not options.only:
            for level, rule in itertools.product(LEVELS, RULES):
                data.kept(level, rule)
    print(tables(results))
    if not options.quick:
        draw(results, FIGURE)
        print(f"\nFigure: {FIGURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
