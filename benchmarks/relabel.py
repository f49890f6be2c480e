"""Relabels digit_scenes from end to end: predictions, proposals, tasks, raters over HTTP, labels, scores.

    python benchmarks/relabel.py MODEL.npz … --scenes=FOLDER --out=runs/relabel       (or: make relabel)

FOLDER is the output of `python -m big_transfer.datasets.export digit_scenes --split=validation`. The raters
are simulated: they know the truth and err. So the program shows whether the parts work together; it shows
nothing about human raters.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
from sqlalchemy import select

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels.accuracy import top_k_accuracy
from real_labels.answers import Answers
from real_labels.files.text_table import text_table
from real_labels.intervals import Estimate, bootstrap_estimate, bootstrap_means, percent
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions
from real_labels.rating import adaptive, database, simulation
from real_labels.rating.schema import images, questions

GOLD, RATERS, SEED = 0.05, 12, 0  # share of images with gold labels, number of raters
WORST, BEST = (
    0.78,
    0.97,
)  # probability of a right answer (Skill.right) of the worst and of the best rater
NAMES = {
    "new_labels": "new labels",
    "majority": "plain majority",
    "original_labels": "original labels",
}


def command(*arguments: object) -> str:
    """Runs a command of real_labels; returns its output, or exits with its error message."""
    process = subprocess.run(
        [sys.executable, "-m", "real_labels", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if process.returncode:
        sys.exit(process.stderr)
    return process.stdout


@dataclasses.dataclass(frozen=True)
class Quality:
    """Agreement of label sets with the true label sets, with 95% intervals over images.

    Attributes:
      precision: share of the labels that are true.
      recall: share of the true labels that are in the label sets.
      exact: share of the images whose label set equals the true label set.
    """

    precision: Estimate
    recall: Estimate
    exact: Estimate

    @classmethod
    def of(cls, labels: LabelSets, truth: LabelSets) -> Quality:
        """Compares `labels` with `truth` on the images of `truth`."""
        label_sets = [set(valid) for valid in labels.take(labels.rows(truth.file_names)).to_lists()]
        true_sets = [set(valid) for valid in truth.to_lists()]
        counts = np.array(
            [(len(a & b), len(a), len(b)) for a, b in zip(label_sets, true_sets, strict=True)]
        )
        hits, kept, present = counts.sum(axis=0)
        resampled = bootstrap_means(counts, SEED)
        exact = sum(a == b for a, b in zip(label_sets, true_sets, strict=True))
        return cls(
            bootstrap_estimate(hits / kept, resampled[:, 0] / resampled[:, 1], len(true_sets)),
            bootstrap_estimate(hits / present, resampled[:, 0] / resampled[:, 2], len(true_sets)),
            Estimate.of_share(exact, len(true_sets)),
        )

    def as_json(self) -> dict[str, float | dict[str, list[float]]]:
        """Returns the values and, under "intervals", the two ends of each interval."""
        estimates = {name: getattr(self, name) for name in ("precision", "recall", "exact")}
        ends = {name: [estimate.low, estimate.high] for name, estimate in estimates.items()}
        values = {name: estimate.value for name, estimate in estimates.items()}
        return values | {"intervals": ends}


def collect(out: pathlib.Path, scenes: pathlib.Path, truth: LabelSets) -> float:
    """Lets simulated raters answer all tasks over HTTP, and exports the answers; returns the seconds.

    Exits with a message if the exported answers are not exactly the answers that the server acknowledged.
    """
    for old in out.glob("rating.db*"):
        old.unlink()
    url = f"sqlite:///{out / 'rating.db'}"
    print(command(
        "rate", "init", out / "tasks.jsonl", "--images", scenes / "images", "--database", url,
        "--class-names", scenes / "class_names.json", "--gold", out / "gold.json", "--ask-until", 0.95,
        "--warm-up", 3,
    ), end="")  # fmt: skip
    opened = database.opened(url)
    with opened.reading() as connection:
        file_name = dict(connection.execute(select(images.c.id, images.c.file_name)).all())
        label = dict(connection.execute(select(questions.c.id, questions.c.label)).all())
        categories = opened.settings(connection).categories
    valid = dict(zip(truth.file_names.tolist(), map(set, truth.to_lists()), strict=True))
    skills = [simulation.Skill(right) for right in np.linspace(WORST, BEST, RATERS).tolist()]
    start = time.perf_counter()
    with simulation.Server(url) as server:
        invite = ("rate", "invite", "--number", RATERS, "--database", url, "--url", server.address)
        visitors = [simulation.Visitor(link) for link in command(*invite).split()]
        for number in itertools.count(1):
            num_done = simulation.side_by_side(
                visitors, skills, lambda image, c: c in valid[file_name[image]], RATERS * number
            )
            num_again = adaptive.ask_again(opened)
            print(
                f"   round {number}: {num_done:,} tasks answered, {num_again:,} questions asked again",
                flush=True,
            )
            if not num_again or not num_done:
                break
    seconds = time.perf_counter() - start
    print(command("rate", "status", "--database", url))
    print(command(
        "rate", "export", "--database", url, "--out", out / "answers.csv", "--gold-out",
        out / "gold_answers.csv",
    ))  # fmt: skip
    acknowledged = {
        (file_name[image], label[int(question)], f"rater-{place:03d}", categories[category])
        for place, visitor in enumerate(visitors, 1)
        for image, image_answers in visitor.acknowledged
        for question, category in image_answers.items()
    }
    exported = set()
    for name in ("answers.csv", "gold_answers.csv"):
        answers = Answers.load(out / name)
        exported |= set(zip(
            answers.questions.file_name()[answers.question].tolist(),
            answers.questions.label[answers.question].tolist(),
            answers.raters[answers.rater].tolist(),
            np.array(answers.categories)[answers.answer].tolist(), strict=True,
        ))  # fmt: skip
    if exported != acknowledged:
        sys.exit(
            f"{out}: the exported answers differ from the answers that the server acknowledged: "
            f"{len(acknowledged - exported):,} of {len(acknowledged):,} acknowledged answers are missing, "
            f"and {len(exported - acknowledged):,} exported answers were not acknowledged."
        )
    print(
        f"The export holds all {len(acknowledged):,} acknowledged answers and no other answers.\n"
    )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="predictions.npz of each model")
    parser.add_argument("--scenes", required=True, help="folder of the exported validation split")
    parser.add_argument("--out", required=True, help="folder for all output files")
    options = parser.parse_args()
    scenes, out = pathlib.Path(options.scenes), pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    truth = LabelSets.from_json(scenes / "real.json")
    original = LabelSets.from_json(scenes / "original.json")
    gold = np.random.default_rng(SEED).permutation(len(truth))[: round(GOLD * len(truth))]
    truth.take(np.sort(gold)).to_json(out / "gold.json")

    print("1. Proposals")
    print(command(
        "propose", *options.models, "--original", scenes / "original.json", "--gold", out / "gold.json",
        "--top-k", 2, "--pool", "all", "--ask-all", "--out", out / "proposals.csv", "--unrated-out",
        out / "unrated.json", "--json", out / "proposals.json",
    ), flush=True)  # fmt: skip
    print("2. Tasks")
    print(command(
        "tasks", out / "proposals.csv", "--out", out / "tasks.jsonl", "--class-names",
        scenes / "class_names.json",
    ), flush=True)  # fmt: skip
    print("3. Simulated raters answer over HTTP (they know the truth and err)")
    seconds = collect(out, scenes, truth)

    print("4. Labels")
    base = ["aggregate", "--answers", out / "answers.csv", "--unrated", out / "unrated.json"]
    gold_files = ["--gold", out / "gold.json", "--gold-answers", out / "gold_answers.csv"]
    print(command(*base, "--method", "gold", *gold_files, "--labels-out", out / "new.json"))
    command(*base, "--method", "majority", "--labels-out", out / "majority.json")
    new = LabelSets.from_json(out / "new.json")
    judged = truth.take(truth.rows(np.intersect1d(new.file_names, truth.file_names)))
    sets = {
        "new_labels": new,
        "majority": LabelSets.from_json(out / "majority.json"),
        "original_labels": original,
    }
    quality = {name: Quality.of(labels, judged) for name, labels in sets.items()}
    proposals = json.loads((out / "proposals.json").read_text())
    answers = Answers.load(out / "answers.csv")
    num_questions = len(answers.questions)
    recall, precision = proposals["recall"]["value"], proposals["precision"]["value"]
    print(
        f"Proposals: recall {100 * recall:.1f}%, precision {100 * precision:.1f}%, "
        f"{proposals['proposals_per_image']:.2f} per image.\n"
        f"Answers: {len(answers):,} to {num_questions:,} questions, "
        f"{len(answers) / num_questions:.2f} per question, in {seconds:.0f} s.\n"
    )
    rows = [("", "precision", "recall", "exactly right")]
    rows += [
        (NAMES[name], percent(q.precision), percent(q.recall), percent(q.exact))
        for name, q in quality.items()
    ]
    print(f"Against the true labels of {len(judged):,} images:\n{text_table(rows, '<>>>')}\n")

    models = {}
    rows = [("model", "original labels", "new labels", "true labels")]
    for path in options.models:
        predictions = Predictions.load(path)
        on_judged = predictions.take(predictions.rows(judged.file_names))
        accuracies = {
            name: top_k_accuracy(on_judged, labels.take(labels.rows(judged.file_names)))
            for name, labels in (("original", original), ("new", new), ("true", judged))
        }
        name = pathlib.Path(path).parent.name
        models[name] = {kind: accuracy.value for kind, accuracy in accuracies.items()}
        rows.append((name, *(percent(accuracy) for accuracy in accuracies.values())))
    print(f"Top-1 accuracy of the models:\n{text_table(rows, '<>>>')}\n")
    summary = {
        "raters": "simulated",
        "proposals": {
            "recall": recall,
            "precision": precision,
            "per_image": proposals["proposals_per_image"],
        },
        "answers_per_question": len(answers) / num_questions,
        "answers": len(answers),
        "seconds": round(seconds, 1),
        **{name: q.as_json() for name, q in quality.items()},
        "models": models,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"All numbers: {out / 'summary.json'}")


if __name__ == "__main__":
    main()
