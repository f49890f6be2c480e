"""Adaptive asking beside a fixed number of raters: published answers replayed through the real queue.

    python benchmarks/adaptive_queue.py FOLDER        (raters_golden.npz and golden.npz, as published)

All 78 raters answered all 1,135 gold questions. They take tasks from a rating database in random turns and
answer as they did. With gold, the images are halved: one half is work, the other the gold that raters answer
first, and the other way round, so that no question is judged by its own truth.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels.answers import Answers, Gold
from real_labels.files.text_table import text_table
from real_labels.rating import database, project, replay, replayed_queue, results, splitting
from real_labels.rating.tasks import Task

THRESHOLD = 0.8
FIXED = {"raters": 5}
ADAPTIVE = {"ask_until": 0.95, "at_least": 3, "at_most": 9}


def tasks_of(gold: Gold) -> list[Task]:
    """The gold questions as tasks of up to 8 labels of an image."""
    names, labels = gold.questions.file_name().tolist(), gold.questions.label.tolist()
    by_image: dict[str, list[int]] = {}
    for name, label in zip(names, labels, strict=True):
        by_image.setdefault(name, []).append(label)
    found = []
    for name, of_image in by_image.items():
        for part in np.array_split(sorted(of_image), -(-len(of_image) // splitting.MAX_LABELS)):
            chosen = tuple(part.tolist())
            found.append(Task(f"{name}#{len(found)}", name, chosen, chosen))
    return found


def asked(
    url: str, answers: Answers, work: Gold, gold: Gold | None, policy: dict, seed: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """(answers, P(present) of each question, whether it is present) when the queue has nothing left."""
    opened = database.create(url)
    warm_up = (
        0 if gold is None else len(gold)
    )  # more than there are tasks of gold: everybody answers all
    settings = database.Settings("replay", warm_up=warm_up, gold_share=0.0, **policy)
    project.store(opened, settings, "Be careful.")
    project.add_tasks(opened, tasks_of(work), gold, {}, {}, seed)
    replayed_queue.answer_again(opened, answers, seed)
    with opened.reading() as connection:
        collected = results.Collected.of(connection, opened.settings(connection))
    aggregate = collected.aggregate()
    opened.close()
    rows = aggregate.scores.questions.find(work.questions)
    return len(collected.work), aggregate.scores.probability[rows], work.present


def draw(answers: Answers, gold: Gold, policy: dict, with_gold: bool, seed: int) -> replay.Outcome:
    """What a policy costs and brings, in one random order."""
    parts = [(gold, None)]
    if with_gold:
        images = np.random.default_rng(seed).permutation(len(gold.questions.file_names))
        is_first = np.isin(gold.questions.image, images[: len(images) // 2])
        halves = [
            Gold(gold.questions.take(np.flatnonzero(half)), gold.present[half])
            for half in (is_first, ~is_first)
        ]
        parts = [(halves[0], halves[1]), (halves[1], halves[0])]
    number, kept, present = 0, [], []
    for work, known in parts:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/rating.db"
            given, probability, truth = asked(url, answers, work, known, policy, seed)
        number += given
        kept.append(probability >= THRESHOLD)
        present.append(truth)
    kept, present = np.concatenate(kept), np.concatenate(present)
    hits = np.count_nonzero(kept & present)
    return replay.Outcome(
        number / len(present),
        hits / np.count_nonzero(kept),
        hits / np.count_nonzero(present),
        2 * hits / (np.count_nonzero(kept) + np.count_nonzero(present)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    answers = Answers.load(options.folder / "raters_golden.npz")
    gold = Gold.load(options.folder / "golden.npz", at_least=3)
    rows = [("policy", "raters judged by", "answers a question", "precision", "recall", "F1")]
    for with_gold in (True, False):
        for name, policy in (("5 each", FIXED), ("3, then up to 9", ADAPTIVE)):
            start = time.perf_counter()
            mean, spread = replay.mean(
                [draw(answers, gold, policy, with_gold, seed) for seed in range(options.draws)]
            )
            cells = [f"{mean.answers_per_question:.2f}"]
            cells += [
                f"{getattr(mean, n):.3f} ± {getattr(spread, n):.3f}"
                for n in ("precision", "recall", "f1")
            ]
            rows.append((name, "gold" if with_gold else "EM", *cells))
            seconds = time.perf_counter() - start
            print(f"{rows[-1]} ({seconds:.0f} s)", file=sys.stderr)
    print(text_table(rows, "<<>>>>"))


if __name__ == "__main__":
    main()
