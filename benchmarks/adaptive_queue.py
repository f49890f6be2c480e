"""Compares adaptive asking with a fixed number of raters: replays published answers through the queue.

    python benchmarks/adaptive_queue.py FOLDER        (raters_golden.npz and golden.npz, as published)

All 78 raters answered all 1,135 gold questions. In the replay, the raters take tasks from a rating database
in random turns and give their published answers. With gold, the images are halved: the questions of one half
are the work, and those of the other half are the gold, which raters answer first. Then the halves swap roles.
So no question is judged by its own truth.
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
    """Splits the gold questions into tasks, each with up to 8 labels of one image."""
    names, labels = gold.questions.file_name().tolist(), gold.questions.label.tolist()
    by_image: dict[str, list[int]] = {}
    for name, label in zip(names, labels, strict=True):
        by_image.setdefault(name, []).append(label)
    tasks = []
    for name, image_labels in by_image.items():
        for part in np.array_split(
            sorted(image_labels), -(-len(image_labels) // splitting.MAX_LABELS)
        ):
            task_labels = tuple(part.tolist())
            tasks.append(Task(f"{name}#{len(tasks)}", name, task_labels, task_labels))
    return tasks


def replay_through_queue(
    url: str, answers: Answers, work: Gold, gold: Gold | None, policy: dict, seed: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Replays the answers through a queue until no task is left.

    Returns:
      The number of answers to `work`, P(present) of each question of `work`, (Q,), and whether the label of
      each question is present, (Q,).
    """
    opened = database.create(url)
    # A rater answers this many gold tasks first. There are at most as many gold tasks as gold questions, so
    # every rater answers all gold tasks.
    warm_up = 0 if gold is None else len(gold)
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
    """Measures cost and accuracy of a policy, with the raters' turns in one random order."""
    parts = [(gold, None)]
    if with_gold:
        images = np.random.default_rng(seed).permutation(len(gold.questions.file_names))
        is_first = np.isin(gold.questions.image, images[: len(images) // 2])
        halves = [
            Gold(gold.questions.take(np.flatnonzero(half)), gold.present[half])
            for half in (is_first, ~is_first)
        ]
        parts = [(halves[0], halves[1]), (halves[1], halves[0])]
    num_answers, kept, present = 0, [], []
    for work, warm_up_gold in parts:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/rating.db"
            num_given, probability, truth = replay_through_queue(
                url, answers, work, warm_up_gold, policy, seed
            )
        num_answers += num_given
        kept.append(probability >= THRESHOLD)
        present.append(truth)
    kept, present = np.concatenate(kept), np.concatenate(present)
    hits = np.count_nonzero(kept & present)
    return replay.Outcome(
        num_answers / len(present),
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
