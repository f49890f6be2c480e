"""Error rates of Dawid & Skene's model and of the majority on small sets of answers.

    python benchmarks/small_sets.py

The raters are simulated; each rater is right with a probability drawn from 0.70 to 0.95
(tests/real_labels/simulate.py). A setting has 60 seeds, the two large settings have 5. An error is a wrong
decision at P(present) > 0.5. docs/labels.md shows the table.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels import aggregation
from tests.real_labels import simulate

LARGE = ((5_000, 1, 5, 40, 0.3, 0.1), (5_000, 1, 5, 5, 0.3, 0.1))
METHODS = {
    "majority": aggregation.majority,
    "default": aggregation.dawid_skene,
    "maximum likelihood": lambda answers: aggregation.dawid_skene(answers, shrinkage=0),
}


def main() -> None:
    """Prints a row for each setting."""
    print(f"| images × labels | answers each | raters | present | maybe | {' | '.join(METHODS)} |")
    print("| --- " * (5 + len(METHODS)) + "|")
    for setting in (*simulate.SMALL_CROWDS, *LARGE):
        errors = {name: [] for name in METHODS}
        for seed in range(5 if setting in LARGE else 60):
            truth, answers = simulate.crowd(*setting, seed)
            for name, fit in METHODS.items():
                errors[name].append(np.mean((fit(answers).scores.probability > 0.5) != truth))
        images, labels, each, raters, present, maybe = setting
        cells = [f"{images:,} × {labels}", str(each), str(raters), f"{present:.0%}", f"{maybe:.0%}"]
        cells += [
            f"{100 * np.mean(e):.1f}% (worst {100 * np.max(e):.0f}%)" for e in errors.values()
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
