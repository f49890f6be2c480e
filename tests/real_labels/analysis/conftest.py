"""The labels that the analyses are tested on: made-up ones, and the published ones."""

from __future__ import annotations

import pytest

from real_labels import Scores, imagenet
from real_labels import published as files
from tests.real_labels import simulate
from tests.real_labels.analysis import worlds


@pytest.fixture(scope="session")
def small():
    """(original, ReaL) labels of 600 images of 12 classes."""
    return worlds.labels()


@pytest.fixture(scope="session")
def rated(small):
    """(answers, scores) about every second one."""
    return worlds.rated(*small)


@pytest.fixture(scope="session")
def imagenets(published):
    """(original, ReaL) labels of the 50,000 validation images."""
    return imagenet.original_labels(), files.real_labels(published)


@pytest.fixture(scope="session")
def imagenets_answers(published):
    return files.raw_answers(published)


@pytest.fixture(scope="session")
def imagenets_scores(published):
    return Scores.load(published / "scores.npz")


@pytest.fixture(scope="session")
def simulated(imagenets):
    """A model on ImageNet that is right on 85% of the images, with made-up second to fifth classes."""
    import numpy as np

    from real_labels import Predictions

    original, real = imagenets
    rng = np.random.default_rng(7)
    top = simulate.model(real, original, 0.85, "near", rng)
    ranked = (top[:, None] + np.array([0, 1, 2, 5, 9])) % 1000
    scores = -np.sort(-rng.dirichlet(np.ones(5), len(top)), axis=1)
    return Predictions(original.file_names, ranked, scores)
