"""A linear probe and nearest neighbours on pooled features (`main.py --mode=features`).

    python benchmarks/linear_probe.py features-train.npz features-validation.npz [--labels=real.json]

There are two heads: scikit-learn's logistic regression on standardised features, and the majority of the
nearest neighbours by cosine distance. --labels names a file with reassessed labels of the test images; both
heads are then scored on the reassessed labels, too.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from real_labels import LabelSets
from real_labels.files.text_table import text_table
from real_labels.intervals import Estimate, percent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=pathlib.Path)
    parser.add_argument("test", type=pathlib.Path)
    parser.add_argument("--labels", help="reassessed labels of the test images (JSON)")
    parser.add_argument(
        "--few", type=int, help="number of training images of each class (default: all)"
    )
    options = parser.parse_args()
    train, test = (dict(np.load(path)) for path in (options.train, options.test))
    for path, features in ((options.train, train), (options.test, test)):
        if "model" not in features:
            parser.error(f"{path} is of an earlier version; write it again")
    if train["model"] != test["model"]:
        parser.error(f"{options.train} and {options.test} are features of different models")
    rows = np.flatnonzero(train["label"] >= 0)
    if options.few:
        order = np.random.default_rng(0).permutation(rows)
        classes = np.unique(train["label"])
        rows = np.concatenate([order[train["label"][order] == c][: options.few] for c in classes])
    x, y = train["features"][rows], train["label"][rows]
    heads = {
        "linear probe": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)),
        "10 nearest neighbours": KNeighborsClassifier(min(10, len(y)), metric="cosine"),
    }
    table = [("head", "original labels", "reassessed labels", "seconds")]
    for name, head in heads.items():
        start = time.perf_counter()
        predicted = head.fit(x, y).predict(test["features"])
        seconds = time.perf_counter() - start
        known = test["label"] >= 0
        original = Estimate.of_share(
            int((predicted == test["label"])[known].sum()), int(known.sum())
        )
        reassessed = "–"
        if options.labels:
            labels = LabelSets.from_json(options.labels)
            label_rows = labels.rows(test["file_names"])
            judged = labels.counts[label_rows] > 0
            hits = labels.contains(label_rows, predicted[:, None])[:, 0]
            reassessed = percent(Estimate.of_share(int(hits[judged].sum()), int(judged.sum())))
        table.append((name, percent(original), reassessed, f"{seconds:.1f}"))
    print(f"{len(y):,} training images, {x.shape[1]:,} features, {len(predicted):,} test images")
    print(text_table(table, "<>>>"))


if __name__ == "__main__":
    main()
