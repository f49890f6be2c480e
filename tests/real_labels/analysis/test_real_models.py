"""The statements of docs/real_models.md about sixty real models, checked on their predictions."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import real_models
from real_labels import Gold, LabelSets, Scores
from real_labels.aggregation import recipe
from real_labels.analysis.study import Study
from real_labels.labels import Reference, imagenet, published
from tests.conftest import PROJECT

POOL = {"nasnet_large_tf", "inception_v3", "resnet152", "resnet50", "vgg16"}


@pytest.fixture(scope="module")
def reference(shared):
    return Reference.load(label_sets=published.NAMES, data_dir=shared)


@pytest.fixture(scope="module")
def measured(shared, reference):
    """The study of the sixty models, and every number of the page."""
    models = real_models.read(shared / "imagenet_models" / "top5.npz", reference)
    study = Study(
        models=models, original=reference.original, reassessments=reference.reassessments,
        num_classes=1000, answers=recipe.raw_answers(shared / "reassessed_imagenet"),
        scores=Scores.load(shared / "reassessed_imagenet" / "scores.npz"),
    )  # fmt: skip
    gold = Gold.load(shared / "reassessed_imagenet" / "golden.npz", at_least=3)
    return study, real_models.measure(study, gold)


def test_the_page_is_what_the_data_give(measured):
    study, record = measured
    assert real_models.page(study, record) == (PROJECT / "docs" / "real_models.md").read_text()


def test_its_claims(measured):
    _, record = measured
    accuracy = record["accuracy"]
    real = {
        name: round(100 * one.reassessments["real"].top1.value, 2) for name, one in accuracy.items()
    }
    # timm's published ReaL accuracies of the same models.
    timm = {
        "resnet18": 77.29,
        "resnet50": 82.96,
        "resnet152": 84.82,
        "vgg16": 79.04,
        "senet154": 86.35,
    }
    assert all(abs(real[name] - value) <= 0.02 for name, value in timm.items())
    points = {
        name: round(100 * one.difference.value, 1) for name, one in record["preference"].items()
    }
    assert points["pnasnet_large_tf"] == -4.8 and max(points.values()) == -4.8
    assert all(one.difference.high < 0 for one in record["preference"].values())
    good = [name for name, one in accuracy.items() if one.original.top1.value > 0.6]
    rise = np.corrcoef([accuracy[n].original.top1.value for n in good], [points[n] for n in good])
    assert rise[0, 1] > 0.9
    assert (
        sum(one.picks_original.value > one.oracle.value for one in record["picks"].values()) == 60
    )
    gold = record["gold"]  # known values: the published scores at 0.8, and a majority of yes
    assert (round(gold["published"].precision, 3), round(gold["published"].recall, 3)) == (
        0.898,
        0.778,
    )
    assert (round(gold["majority"].precision, 3), round(gold["majority"].recall, 3)) == (
        0.943,
        0.536,
    )
    slopes = record["slopes"]
    assert slopes["real"].lower.slope.low > slopes["real"].upper.slope.high
    assert all(100 * one.reassessments["real"].top1.value < 90.02 for one in accuracy.values())


def test_who_proposed_the_labels_by_plain_loops(measured, shared):
    study, record = measured
    asked = {}
    questions = study.answers.questions
    for name, label in zip(questions.file_name().tolist(), questions.label.tolist()):
        asked.setdefault(name, set()).add(label)
    found = {one.model: one for one in record["proposers"]}
    assert {name for name, one in found.items() if one.stands_out} == POOL
    known = {"nasnet_large_tf": 99.25, "inception_v3": 99.19, "resnet152": 99.19, "resnet50": 99.05,
             "vgg16": 98.49}  # fmt: skip
    for name, share in known.items():
        model = study.models[name]
        here = [
            int(first) in asked[image]
            for image, first, label in zip(
                model.file_names.tolist(), model.classes[:, 0], study.original.classes.tolist()
            )
            if first != label and image in asked
        ]
        assert found[name].asked == np.mean(here) and found[name].differing == len(here)
        assert round(100 * found[name].asked, 2) == share


def test_public_files_in_class_folder_order_are_put_right(shared, reference, tmp_path):
    """Files as in modestyachts/ImageNetV2: one for each model, (50000, 5), in the order of class folders."""
    with np.load(shared / "imagenet_models" / "top5.npz") as file:
        rows = [file["models"].tolist().index(name) for name in ("resnet50", "vgg16")]
        classes = file["classes"][rows]
    labels: LabelSets = imagenet.original_labels()
    order = np.argsort(labels.classes, kind="stable")
    for name, ranked in zip(("resnet50", "vgg16"), classes):
        np.save(tmp_path / f"{name}.npy", ranked[order].astype(np.int64))
    models = real_models.read(tmp_path, reference)
    for name, ranked in zip(("resnet50", "vgg16"), classes):
        np.testing.assert_array_equal(models[name].classes, ranked)


@pytest.mark.long
def test_the_program_writes_page_and_figures(shared, tmp_path):
    subprocess.run(
        [sys.executable, "benchmarks/real_models.py", shared / "imagenet_models" / "top5.npz",
         "--data-dir", shared, "--docs", tmp_path, "--json", tmp_path / "all.json"],
        cwd=PROJECT, check=True,
    )  # fmt: skip
    assert (tmp_path / "real_models.md").read_text() == (
        PROJECT / "docs" / "real_models.md"
    ).read_text()
    assert len(list(pathlib.Path(tmp_path).glob("*.png"))) == 4
    assert json.loads((tmp_path / "all.json").read_text())["best_three"]
