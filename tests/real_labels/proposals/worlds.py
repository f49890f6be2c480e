"""Small worlds of models, images and experts' labels."""

from __future__ import annotations

import numpy as np

from real_labels.answers import Questions
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions
from real_labels.proposals import ExpertLabels, Pools, Proposals, Rules


def world(seed, num_models=6, num_images=60, num_classes=7, k=3, num_gold=25):
    """(original labels, models, valid labels): random rankings that favour the images' two valid labels."""
    rng = np.random.default_rng(seed)
    names = np.array([f"{i:03d}.png" for i in range(num_images)])
    valid = np.array([rng.permutation(num_classes)[:2] for _ in range(num_images)])
    original = LabelSets(names, np.arange(num_images + 1), valid[:, 0])
    models = []
    for m in range(num_models):
        scores = rng.random((num_images, num_classes))
        for j in range(2):
            scores[np.arange(num_images), valid[:, j]] += rng.random(num_images) * (0.3 + 0.1 * m)
        classes = np.argsort(-scores, axis=1)[:, :k]
        seen = np.sort(rng.permutation(num_images)[: num_images - 5 * (m % 2)])
        models.append((f"m{m}", Predictions(names[seen], classes[seen].astype(np.int32))))
    gold = rng.permutation(num_images)[:num_gold]
    labels = LabelSets.from_lists(names[gold], valid[gold].tolist())
    return original, models, labels


def pools_of(seed, rules=Rules(), complete=True, **sizes):  # noqa: B008
    """(original labels, models, pools) of a random world."""
    original, models, labels = world(seed, **sizes)
    experts = ExpertLabels.of_label_sets(labels)
    if not complete:  # gold questions: some of the labels, present and absent
        rng = np.random.default_rng(seed)
        image = np.repeat(np.arange(len(labels)), 3)
        asked = np.stack([rng.permutation(7)[:3] for _ in range(len(labels))]).ravel()
        present = labels.contains(image, asked[:, None])[:, 0]
        experts = ExpertLabels(Questions(labels.file_names, image, asked), present, False)
    return original, models, Pools(Proposals.of(original, models, rules), experts)
