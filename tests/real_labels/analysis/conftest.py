"""Labels for the tests of the analyses: made-up labels and the published labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from real_labels import Predictions, Scores
from real_labels.aggregation import recipe
from real_labels.labels import imagenet
from real_labels.labels import published as publications
from tests.real_labels import simulate
from tests.real_labels.analysis import worlds


@pytest.fixture(scope="session")
def small():
    """(original, ReaL) labels of 600 images of 12 classes."""
    return worlds.labels()


@pytest.fixture(scope="session")
def rated(small):
    """(answers, scores) about every second image."""
    return worlds.rated(*small)


@pytest.fixture(scope="session")
def imagenets(published):
    """(original, ReaL) labels of the 50,000 validation images."""
    return imagenet.original_labels(), publications.real_labels(published)


@pytest.fixture(scope="session")
def imagenets_answers(published):
    return recipe.raw_answers(published)


@pytest.fixture(scope="session")
def imagenets_scores(published):
    return Scores.load(published / "scores.npz")


@pytest.fixture(scope="session")
def simulated(imagenets):
    """A simulated model on ImageNet with 85% accuracy and made-up second to fifth classes."""
    original, real = imagenets
    rng = np.random.default_rng(7)
    top = simulate.model(real, original, 0.85, "near", rng)
    ranked = (top[:, None] + np.array([0, 1, 2, 5, 9])) % 1000
    scores = -np.sort(-rng.dirichlet(np.ones(5), len(top)), axis=1)
    return Predictions(original.file_names, ranked, scores)


@pytest.fixture(params=["small", "imagenet"])
def case(request):
    """(original, real, predictions): made-up labels, and the published ones."""
    if request.param == "small":
        labels = request.getfixturevalue("small")
        return (*labels, worlds.model(*labels))
    return (*request.getfixturevalue("imagenets"), request.getfixturevalue("simulated"))


@pytest.fixture(scope="session")
def files(tmp_path_factory, small, rated):
    """Labels, three models, answers, images and names of the made-up dataset, as files."""
    folder = tmp_path_factory.mktemp("dataset")
    original, real = small
    original.to_json(folder / "original.json")
    real.to_json(folder / "real.json")
    for name, accuracy, seed in (("good", 0.93, 1), ("fair", 0.8, 2), ("bad", 0.5, 3)):
        worlds.model(original, real, accuracy=accuracy, seed=seed).save(folder / f"{name}.npz")
    rated[0].save(folder / "answers.csv")
    (folder / "names.json").write_text(json.dumps([f"name<{i}>&" for i in range(12)]))
    rng = np.random.default_rng(0)
    for name in real.file_names.tolist():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(path)
    return folder
