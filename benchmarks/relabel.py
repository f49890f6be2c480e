"""The whole loop on digit_scenes: predictions, proposals, tasks, raters over HTTP, labels, scores.

    python benchmarks/relabel.py MODEL.npz … --scenes=FOLDER --out=runs/relabel       (or: make relabel)

FOLDER is what `python -m big_transfer.datasets.export digit_scenes --split=validation` wrote. The raters are
simulated: they know the truth and err. So this shows that the parts work together, and nothing about people.
"""

from __future__ import annotations

import argparse
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
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions
from real_labels.rating import adaptive, database, simulation
from real_labels.rating.schema import images

GOLD, RATERS, SEED = 250, 12, 0
WORST, BEST = 0.78, 0.97  # how often a simulated rater sees the truth


def command(*arguments: object) -> str:
    """Runs a command of real_labels, and returns its text."""
    done = subprocess.run(
        [sys.executable, "-m", "real_labels", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def against(found: LabelSets, truth: LabelSets) -> dict[str, float]:
    """Precision and recall of labels, and the share of images with exactly the true labels."""
    rows = found.rows(truth.file_names)
    ours = [set(one) for one in found.take(rows).to_lists()]
    true = [set(one) for one in truth.to_lists()]
    hits = sum(len(a & b) for a, b in zip(ours, true, strict=True))
    exact = float(np.mean([a == b for a, b in zip(ours, true, strict=True)]))
    return {
        "precision": hits / sum(map(len, ours)),
        "recall": hits / sum(map(len, true)),
        "exact": exact,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="predictions.npz of each model")
    parser.add_argument("--scenes", required=True, help="the exported validation split")
    parser.add_argument("--out", required=True, help="folder of all that is written")
    options = parser.parse_args()
    scenes, out = pathlib.Path(options.scenes), pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    truth = LabelSets.from_json(scenes / "real.json")
    original = scenes / "original.json"
    gold = np.random.default_rng(SEED).permutation(len(truth))[:GOLD]
    truth.take(np.sort(gold)).to_json(out / "gold.json")

    print("1. Proposals")
    print(command(
        "propose", *options.models, "--original", original, "--gold", out / "gold.json", "--top-k", 2,
        "--pool", "all", "--ask-all", "--out", out / "proposals.csv", "--unrated-out", out / "unrated.json",
        "--json", out / "proposals.json",
    ))  # fmt: skip
    print("2. Tasks")
    print(command(
        "tasks", out / "proposals.csv", "--out", out / "tasks.jsonl", "--class-names",
        scenes / "class_names.json",
    ))  # fmt: skip
    print("3. Raters answer over HTTP")
    path = out / "rating.db"
    for old in out.glob("rating.db*"):
        old.unlink()
    url = f"sqlite:///{path}"
    print(command(
        "rate", "init", out / "tasks.jsonl", "--images", scenes / "images", "--database", url, "--ask-until",
        0.95, "--warm-up", 3, "--gold", out / "gold.json",
    ), end="")  # fmt: skip
    opened = database.opened(url)
    with opened.reading() as connection:
        named = dict(connection.execute(select(images.c.id, images.c.file_name)).all())
    valid = dict(zip(truth.file_names.tolist(), map(set, truth.to_lists()), strict=True))
    skills = [simulation.Skill(right) for right in np.linspace(WORST, BEST, RATERS).tolist()]
    start = time.perf_counter()
    with simulation.Server(url) as server:
        invite = ("rate", "invite", "--number", RATERS, "--database", url, "--url", server.address)
        visitors = [simulation.Visitor(link) for link in command(*invite).split()]
        for number in itertools.count(1):
            done = simulation.side_by_side(
                visitors, skills, lambda image, label: label in valid[named[image]], RATERS * number
            )
            again = adaptive.ask_again(opened)
            print(f"   round {number}: {done:,} tasks answered, {again:,} questions asked again")
            if not again:
                break
    acknowledged = sum(len(given) for v in visitors for _, given in v.acknowledged)
    seconds = time.perf_counter() - start
    print(command("rate", "status", "--database", url))
    print(command(
        "rate", "export", "--database", url, "--out", out / "answers.csv",
        "--gold-out", out / "gold_answers.csv",
    ))  # fmt: skip
    answers, on_gold = Answers.load(out / "answers.csv"), Answers.load(out / "gold_answers.csv")
    exported = len(answers) + len(on_gold)
    if exported != acknowledged:
        sys.exit(f"{acknowledged:,} answers were acknowledged, and {exported:,} exported.")

    print("4. Labels")
    base = ["aggregate", "--answers", out / "answers.csv", "--unrated", out / "unrated.json"]
    gold_files = ["--gold", out / "gold.json", "--gold-answers", out / "gold_answers.csv"]
    with_gold = ["--method", "gold", *gold_files]
    print(command(*base, *with_gold, "--labels-out", out / "new.json"))
    command(*base, "--method", "majority", "--labels-out", out / "majority.json")
    covered = LabelSets.from_json(out / "new.json")
    judged = truth.take(truth.rows(np.intersect1d(covered.file_names, truth.file_names)))
    sets = {"new labels": covered, "plain majority": LabelSets.from_json(out / "majority.json"),
            "original labels": LabelSets.from_json(original)}  # fmt: skip
    quality = {name: against(one, judged) for name, one in sets.items()}
    rows = [("", "precision", "recall", "exactly right")]
    rows += [(n, *(f"{100 * v:.2f}%" for v in q.values())) for n, q in quality.items()]
    print(f"Against the true labels of {len(judged):,} images:\n{text_table(rows, '<>>>')}\n")

    models = {}
    rows = [("model", "original labels", "new labels", "true labels")]
    for path in options.models:
        predictions = Predictions.load(path)
        here = predictions.take(predictions.rows(judged.file_names))
        values = {
            name: top_k_accuracy(here, one.take(one.rows(judged.file_names))).value
            for name, one in (
                ("original", sets["original labels"]),
                ("new", covered),
                ("true", judged),
            )
        }
        name = pathlib.Path(path).parent.name
        models[name] = values
        rows.append((name, *(f"{100 * v:.2f}%" for v in values.values())))
    print(f"Top-1 accuracy of the models:\n{text_table(rows, '<>>>')}\n")
    proposals = json.loads((out / "proposals.json").read_text())
    number = len(answers.questions)
    summary = {
        "proposals": {
            "recall": proposals["recall"]["value"],
            "precision": proposals["precision"]["value"],
            "per_image": proposals["proposals_per_image"],
        },
        "answers_per_question": len(answers) / number,
        "answers": len(answers),
        "seconds": round(seconds, 1),
        "new_labels": quality["new labels"],
        "majority": quality["plain majority"],
        "original_labels": quality["original labels"],
        "models": models,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(
        f"{len(answers):,} answers to {number:,} questions ({len(answers) / number:.2f} each) in "
        f"{seconds:.0f} s."
    )
    print(f"All figures: {out / 'summary.json'}")


if __name__ == "__main__":
    main()
