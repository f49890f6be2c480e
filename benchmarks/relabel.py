"""The whole loop on digit_scenes: predictions, proposals, tasks, raters over HTTP, labels, scores.

    python benchmarks/relabel.py MODEL.npz … --scenes=FOLDER --out=runs/relabel       (or: make relabel)

FOLDER is what `python -m big_transfer.datasets.export digit_scenes --split=validation` wrote. The raters are
simulated: they know the truth and err. So this shows that the parts work together, and nothing about people.
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

GOLD, RATERS, SEED = 0.05, 12, 0  # share of the images, raters, seed
WORST, BEST = 0.78, 0.97  # how often a simulated rater sees the truth
NAMES = {
    "new_labels": "new labels",
    "majority": "plain majority",
    "original_labels": "original labels",
}


def command(*arguments: object) -> str:
    """Runs a command of real_labels, and returns its text."""
    done = subprocess.run(
        [sys.executable, "-m", "real_labels", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


@dataclasses.dataclass(frozen=True)
class Quality:
    """Label sets against the true ones, with 95% intervals over images.

    Attributes:
      precision: share of the labels that are true.
      recall: share of the true labels that are found.
      exact: share of the images with exactly the true labels.
    """

    precision: Estimate
    recall: Estimate
    exact: Estimate

    @classmethod
    def of(cls, found: LabelSets, truth: LabelSets) -> Quality:
        """Compares label sets on the images of the true ones."""
        ours = [set(one) for one in found.take(found.rows(truth.file_names)).to_lists()]
        true = [set(one) for one in truth.to_lists()]
        counts = np.array([(len(a & b), len(a), len(b)) for a, b in zip(ours, true, strict=True)])
        hits, kept, present = counts.sum(axis=0)
        drawn = bootstrap_means(counts, SEED)
        exact = sum(a == b for a, b in zip(ours, true, strict=True))
        return cls(
            bootstrap_estimate(hits / kept, drawn[:, 0] / drawn[:, 1], len(true)),
            bootstrap_estimate(hits / present, drawn[:, 0] / drawn[:, 2], len(true)),
            Estimate.of_share(exact, len(true)),
        )

    def as_json(self) -> dict[str, float | dict[str, list[float]]]:
        """The values, and under "intervals" the ends of their intervals."""
        found = {name: getattr(self, name) for name in ("precision", "recall", "exact")}
        ends = {name: [one.low, one.high] for name, one in found.items()}
        return {name: one.value for name, one in found.items()} | {"intervals": ends}


def collect(out: pathlib.Path, scenes: pathlib.Path, truth: LabelSets) -> float:
    """Has simulated raters answer all tasks over HTTP, exports the answers, and returns the seconds.

    Ends the program if an acknowledged answer is not in the export, or the export has another one.
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
            done = simulation.side_by_side(
                visitors, skills, lambda image, c: c in valid[file_name[image]], RATERS * number
            )
            again = adaptive.ask_again(opened)
            print(
                f"   round {number}: {done:,} tasks answered, {again:,} questions asked again",
                flush=True,
            )
            if not again or not done:
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
        for image, given in visitor.acknowledged
        for question, category in given.items()
    }
    exported = set()
    for name in ("answers.csv", "gold_answers.csv"):
        found = Answers.load(out / name)
        exported |= set(zip(
            found.questions.file_name()[found.question].tolist(),
            found.questions.label[found.question].tolist(),
            found.raters[found.rater].tolist(),
            np.array(found.categories)[found.answer].tolist(), strict=True,
        ))  # fmt: skip
    if exported != acknowledged:
        sys.exit(
            f"{len(acknowledged - exported):,} of {len(acknowledged):,} acknowledged answers are not in the "
            f"export, and {len(exported - acknowledged):,} others are."
        )
    print(
        f"Each of the {len(acknowledged):,} acknowledged answers is in the export, and no other.\n"
    )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="predictions.npz of each model")
    parser.add_argument("--scenes", required=True, help="the exported validation split")
    parser.add_argument("--out", required=True, help="folder of all that is written")
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
    quality = {name: Quality.of(one, judged) for name, one in sets.items()}
    proposals = json.loads((out / "proposals.json").read_text())
    answers = Answers.load(out / "answers.csv")
    number = len(answers.questions)
    recall, precision = proposals["recall"]["value"], proposals["precision"]["value"]
    print(
        f"Proposals: recall {100 * recall:.1f}%, precision {100 * precision:.1f}%, "
        f"{proposals['proposals_per_image']:.2f} an image.\n"
        f"Answers: {len(answers):,} to {number:,} questions, {len(answers) / number:.2f} each, in "
        f"{seconds:.0f} s.\n"
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
        here = predictions.take(predictions.rows(judged.file_names))
        found = {
            name: top_k_accuracy(here, one.take(one.rows(judged.file_names)))
            for name, one in (("original", original), ("new", new), ("true", judged))
        }
        name = pathlib.Path(path).parent.name
        models[name] = {kind: one.value for kind, one in found.items()}
        rows.append((name, *(percent(one) for one in found.values())))
    print(f"Top-1 accuracy of the models:\n{text_table(rows, '<>>>')}\n")
    summary = {
        "raters": "simulated",
        "proposals": {
            "recall": recall,
            "precision": precision,
            "per_image": proposals["proposals_per_image"],
        },
        "answers_per_question": len(answers) / number,
        "answers": len(answers),
        "seconds": round(seconds, 1),
        **{name: one.as_json() for name, one in quality.items()},
        "models": models,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"All figures: {out / 'summary.json'}")


if __name__ == "__main__":
    main()
