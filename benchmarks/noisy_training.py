"""Measures training under label noise on digit_scenes: loss, cleaned labels and length of the schedule.

    python benchmarks/noisy_training.py              # all unfinished cells; takes hours
    python benchmarks/noisy_training.py --quick      # a few short cells, into another folder; 15 minutes
    python benchmarks/noisy_training.py --table      # the table and the figure of the finished cells
    python benchmarks/noisy_training.py --digits     # rules and accuracies by the number of digits in a scene

There are two levels of label noise: digit_scenes' own labels, of which 16% are wrong, and labels of which 40%
are wrong. The true labels of the training scenes are computed again; only the cells called oracle use them
for training. Each cell is a run with its own workdir; an interrupted run is resumed. A finished cell leaves a
small JSON file in benchmarks/results/noisy_training and is not run again.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import functools
import json
import operator
import os
import pathlib
import platform
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels import LabelSets, Predictions
from real_labels.files import replacing, write_json
from real_labels.files.text_table import text_table
from real_labels.intervals import Estimate, mcnemar, percent

RESULTS = ROOT / "benchmarks" / "results" / "noisy_training"
FIGURE = ROOT / "docs" / "noisy_training.png"
LEVELS = {"own": None, "40%": 0.4}  # share of wrong training labels; None: the dataset's own labels
FOLDS, FOLD_STEPS = 10, 1600
DATASET = "digit_scenes"
RULES = ("confident", "top1", "top-k=2")


@dataclasses.dataclass(frozen=True)
class Cell:
    """Settings of a training run.

    Attributes:
      level: level of label noise, a key of LEVELS.
      loss: softmax or sigmoid.
      labels: all, oracle, or a rule of `real_labels clean`.
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
        level = self.level.replace("%", "")
        return f"{level}_{self.loss}_{self.labels.replace('=', '')}_{self.steps}_{self.seed}"


def cells() -> list[Cell]:
    """All cells. The main grid comes first and starts with the cells that need no folds."""
    grid = [
        Cell(level, loss, labels, steps)
        for labels in ("all", "oracle", "confident")
        for steps in (1600, 4800)
        for level in ("40%", "own")
        for loss in ("softmax", "sigmoid")
    ]
    pair = (("softmax", "all"), ("sigmoid", "confident"))
    grid += [Cell("40%", loss, labels, 4800, seed) for seed in (1, 2) for loss, labels in pair]
    grid += [Cell("40%", "sigmoid", rule, 4800) for rule in ("top1", "top-k=2")]
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
    """Files of training labels and of training images to keep, in the folder `out`."""

    def __init__(self, out: pathlib.Path, fold_steps: int, folds: int):
        self._out, self._fold_steps, self._folds = out, fold_steps, folds
        out.mkdir(parents=True, exist_ok=True)
        self.truth_path = out / "truth.json"
        if not self.truth_path.exists():
            original, truth = training_labels()
            for level, share in LEVELS.items():
                with_noise(original, truth, share).to_json(self.labels_path(level))
            truth.to_json(self.truth_path)

    def labels_path(self, level: str) -> pathlib.Path:
        """File of the training labels of a noise level."""
        return self._out / f"labels_{level.replace('%', '')}.json"

    def arguments(self, level: str, labels: str) -> list[str]:
        """Arguments of main.py that choose training images and labels; writes missing files."""
        relabel = [f"--config.input.relabel={self.labels_path(level)}"] if LEVELS[level] else []
        if labels == "all":
            return relabel
        keep = self._out / f"keep_{level.replace('%', '')}_{labels.replace('=', '')}.txt"
        if labels != "oracle" and not record_of(level, labels).exists():
            self._clean(level, labels, keep, relabel)
        elif not keep.exists():
            noisy = LabelSets.from_json(self.labels_path(level))
            if labels == "oracle":
                kept = is_right(noisy, LabelSets.from_json(self.truth_path))
            else:
                kept = kept_by(json.loads(record_of(level, labels).read_text()))
            with replacing(keep) as temporary:
                temporary.write_text("".join(f"{name}\n" for name in noisy.file_names[kept]))
        return [*relabel, f"--config.input.keep={keep}"]

    def rules(self, level: str) -> None:
        """Runs each cleaning rule on the folds of a noise level, and records results that are missing."""
        for rule in RULES:
            self.arguments(level, rule)

    def _clean(self, level: str, rule: str, keep: pathlib.Path, relabel: list[str]) -> None:
        folder = self._out / f"folds_{level.replace('%', '')}"
        train(
            "configs/noisy_digit_scenes.py:loss=sigmoid", folder, "--mode=cross_validate",
            f"--config.folds={self._folds}", f"--config.total_steps={self._fold_steps}",
            "--config.eval_every_steps=100000", "--config.example_images=0", *relabel,
        )  # fmt: skip
        record = keep.with_suffix(".json")
        subprocess.run(
            [sys.executable, "-m", "real_labels", "clean", folder / "out_of_fold.npz", "--rule", rule,
             "--kept", keep, "--truth", self.truth_path, "--json", record],
            check=True,
        )  # fmt: skip
        names = LabelSets.from_json(self.labels_path(level)).file_names
        kept = np.isin(names, keep.read_text().split())
        write(record_of(level, rule).stem, {**json.loads(record.read_text()), "kept": packed(kept)})


def record_of(level: str, rule: str) -> pathlib.Path:
    """File of the result of a cleaning rule, with the kept images as bits."""
    return RESULTS / f"clean_{level.replace('%', '')}_{rule.replace('=', '')}.json"


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


def write(name: str, record: dict) -> None:
    write_json(RESULTS / f"{name}.json", record, indent=1)


def run(cell: Cell, data: Data, out: pathlib.Path) -> None:
    """Trains a cell and writes its result."""
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
    write(cell.name, {
        **dataclasses.asdict(cell),
        "images": len(predictions),
        "judged": int(np.count_nonzero(validation_labels()["real_label"].counts)),
        "original": results["original"]["top1"],
        "true": results["real"]["top1"],
        "hits": {name: packed(found) for name, found in hits.items()},
        "seconds": round(time.time() - start),
        "machine": f"{os.cpu_count()} CPU cores, Python {platform.python_version()}",
    })  # fmt: skip


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


# ---- the table -----------------------------------------------------------------------------------


def load() -> dict[Cell, dict]:
    """Reads the records of the finished cells, sorted by noise, steps, loss, labels and seed."""
    fields = [field.name for field in dataclasses.fields(Cell)]
    records = [
        json.loads(path.read_text())
        for path in sorted(RESULTS.glob("*.json"))
        if not path.name.startswith(("clean_", "."))
    ]
    done = {Cell(**{name: record[name] for name in fields}): record for record in records}
    order = operator.attrgetter("level", "steps", "loss", "labels", "seed")
    return {cell: done[cell] for cell in sorted(done, key=order)}


def load_rules() -> dict[tuple[str, str], dict]:
    """Reads the records of the cleaning rules: (level, rule) -> record."""
    pairs = [(level, rule) for level in LEVELS for rule in RULES]
    return {
        pair: json.loads(record_of(*pair).read_text())
        for pair in pairs
        if record_of(*pair).exists()
    }


def bits(record: dict, kind: str) -> np.ndarray:
    return unpacked(record["hits"][kind], record["images"])


def estimate(record: dict, kind: str) -> Estimate:
    accuracy = record[kind]
    return Estimate(accuracy["value"], accuracy["low"], accuracy["high"], accuracy["n"])


def table() -> str:
    """Tables of all finished cells, of the cleaning rules, and of the paired tests for the paper's claims."""
    done = load()
    rows = [("wrong labels", "steps", "loss", "labels", "seed", "original top-1", "true top-1")]
    rows += [
        (c.level, f"{c.steps:,}", c.loss, c.labels, str(c.seed),
         percent(estimate(done[c], "original")), percent(estimate(done[c], "true")))
        for c in done
    ]  # fmt: skip
    text = text_table(rows, "<><<>>>")
    dropped = [("wrong labels", "rule", "dropped", "precision", "by chance", "recall", "by chance")]
    for (level, rule), record in load_rules().items():
        share, wrong = Estimate(**record["share"]), Estimate(**record["wrong"])
        precision, recall = Estimate(**record["precision"]), Estimate(**record["recall"])
        dropped.append((level, rule, f"{record['dropped']:,}", percent(precision, 1),
                        percent(wrong, 1), percent(recall, 1), percent(share, 1)))  # fmt: skip
    if len(dropped) > 1:
        text += (
            "\n\nDropped labels (precision: wrong among dropped; recall: dropped among wrong):\n"
        )
        text += text_table(dropped, "<<>>>>>")
    tests = [("comparison", "original", "p", "true", "p")]
    for title, cell, baseline in comparisons():
        if cell in done and baseline in done:
            row = [title]
            for kind, n in (("original", done[cell]["images"]), ("true", done[cell]["judged"])):
                a, b = bits(done[cell], kind), bits(done[baseline], kind)
                gain = 100 * (int(a.sum()) - int(b.sum())) / n
                row += [
                    f"{gain:+.2f}",
                    f"{mcnemar(int((a & ~b).sum()), int((b & ~a).sum())):.2g}",
                ]
            tests.append(tuple(row))
    return (
        text
        + "\n\nPaired differences, in points (McNemar's exact test):\n"
        + text_table(tests, "<>>>>")
    )


def digits(data: Data) -> str:
    """Tables by the number of different digits in a scene: kept labels, and accuracy on true labels."""
    titles = ("no digit", "one digit", "several")
    kept = [("wrong labels", "rule", "scenes with", "kept", "wrong among kept", "kept among wrong",
             "dropped among right")]  # fmt: skip
    truth = LabelSets.from_json(data.truth_path)
    for (level, rule), record in load_rules().items():
        noisy, keep = LabelSets.from_json(data.labels_path(level)), kept_by(record)
        right = is_right(noisy, truth)
        numbers = np.minimum(truth.counts[truth.rows(noisy.file_names)], 2)
        for number, title in enumerate(titles):
            chosen = numbers == number
            kept.append((
                level, rule, title, f"{np.count_nonzero(keep & chosen):,}",
                percentage(~right[keep & chosen]), percentage(keep[~right & chosen]),
                percentage(~keep[right & chosen]),
            ))  # fmt: skip
    numbers = np.minimum(validation_labels()["real_label"].counts, 2)
    hits = [("wrong labels", "steps", "loss", "labels", "seed", *titles[1:])]
    for c, record in load().items():
        found = bits(record, "true")
        hits.append((c.level, f"{c.steps:,}", c.loss, c.labels, str(c.seed),
                     *(percentage(found[numbers == number]) for number in (1, 2))))  # fmt: skip
    return (
        f"Labels that the rules keep:\n{text_table(kept, '<<<>>>>')}\n\n"
        f"Top-1 on true labels:\n{text_table(hits, '<><<>>>')}"
    )


def percentage(found: np.ndarray) -> str:
    """Percentage of the true values; a dash if there are no values."""
    return f"{found.mean():.1%}" if found.size else "–"


def comparisons() -> list[tuple[str, Cell, Cell]]:
    """Pairs of cells to compare: (title, cell, baseline cell)."""
    pairs = []
    for level in LEVELS:
        for steps in (1600, 4800):
            softmax, sigmoid = (Cell(level, loss, "all", steps) for loss in ("softmax", "sigmoid"))
            pairs.append((f"{level}, {steps:,}: sigmoid over softmax", sigmoid, softmax))
            for loss in ("softmax", "sigmoid"):
                for labels in ("confident", "oracle"):
                    title = f"{level}, {steps:,}, {loss}: {labels} over all"
                    pairs.append(
                        (title, Cell(level, loss, labels, steps), Cell(level, loss, "all", steps))
                    )
            combined = Cell(level, "sigmoid", "confident", steps)
            pairs.append(
                (
                    f"{level}, {steps:,}: sigmoid and confident over softmax and all",
                    combined,
                    softmax,
                )
            )
        for loss in ("softmax", "sigmoid"):
            pair = [Cell(level, loss, "all", steps) for steps in (4800, 1600)]
            pairs.append((f"{level}, {loss}: 4,800 over 1,600 steps", *pair))
    for seed in (1, 2):
        pair = (
            Cell("40%", "sigmoid", "confident", 4800, seed),
            Cell("40%", "softmax", "all", 4800, seed),
        )
        pairs.append(
            (f"40%, 4,800, seed {seed}: sigmoid and confident over softmax and all", *pair)
        )
    for rule in ("top1", "top-k=2"):
        pair = Cell("40%", "sigmoid", rule, 4800), Cell("40%", "sigmoid", "all", 4800)
        pairs.append((f"40%, 4,800, sigmoid: {rule} over all", *pair))
    pair = Cell("40%", "sigmoid", "confident", 14_400), Cell("40%", "softmax", "all", 14_400)
    pairs.append(("40%, 14,400: sigmoid and confident over softmax and all", *pair))
    for loss, labels in (("softmax", "all"), ("sigmoid", "confident")):
        pair = [Cell("40%", loss, labels, steps) for steps in (14_400, 4800)]
        pairs.append((f"40%, {loss} and {labels}: 14,400 over 4,800 steps", *pair))
    return pairs


def draw(path: pathlib.Path) -> None:
    """Draws accuracy over steps, a line for each loss and choice of labels (the paper's figure)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    done = load()
    figure, axes = plt.subplots(
        1, len(LEVELS), figsize=(10.5, 3.6), sharey=True, constrained_layout=True
    )
    for axis, level in zip(axes, LEVELS, strict=True):
        for loss, colour in (("softmax", "#c2571a"), ("sigmoid", "#2460a7")):
            for labels, style in (("all", "-"), ("confident", "--"), ("oracle", ":")):
                points = sorted(
                    (c.steps, estimate(r, "true"))
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
        axis.set_title(f"wrong training labels: {'its own, 16%' if level == 'own' else level}")
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
    global RESULTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs" / "noisy_training")
    parser.add_argument("--quick", action="store_true", help="run a few short cells")
    parser.add_argument("--table", action="store_true", help="make only the table and the figure")
    parser.add_argument("--digits", action="store_true", help="print the tables by digits")
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="run only cells whose name contains TEXT"
    )
    options = parser.parse_args()
    chosen, folds, fold_steps = cells(), FOLDS, FOLD_STEPS
    if options.quick:
        options.out = options.out.with_name("noisy_training_quick")
        RESULTS = options.out / "results"
        chosen, folds, fold_steps = quick_cells(), 2, 300
    if options.digits:
        print(digits(Data(options.out, fold_steps, folds)))
        return
    if not options.table:
        data = Data(options.out, fold_steps, folds)
        for cell in chosen:
            if options.only in cell.name and not (RESULTS / f"{cell.name}.json").exists():
                print(f"{cell.name}:", flush=True)
                run(cell, data, options.out)
        for level in LEVELS if not (options.only or options.quick) else ():
            data.rules(level)
    print(table())
    if not options.quick:
        draw(FIGURE)
        print(f"\nFigure: {FIGURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
