"""Evaluating checkpoints on images from TFDS, tars and folders."""

import json
import logging
import shutil
import tarfile

import jax
import numpy as np
import pytest

from big_transfer import checkpoint, datasets, resnet
from big_transfer import config as config_lib
from big_transfer.datasets import preprocessing
from big_transfer.evaluation import evaluator
from big_transfer.evaluation.checkpoints import evaluate_only
from big_transfer.evaluation.evaluator import Evaluator, make_eval_step
from big_transfer.evaluation.results import comparison_table
from big_transfer.run import workdir
from configs import bit_evaluate
from real_labels import LabelSets, Predictions, accuracy
from real_labels.files.records import as_json
from real_labels.labels import imagenet, published
from tests.big_transfer.datasets.test_preprocessing import jpeg, photo
from tests.big_transfer.test_resnet import random_params

COUNT = 20
NAMES = [imagenet.IMAGENET_FILE_NAME.format(i) for i in range(1, COUNT + 1)]
SMALL = resnet.ResNetV2(depth=(1,), width=0.5, num_classes=1000)


@pytest.fixture(scope="module")
def images():
    return [jpeg(photo(40, 50, seed)) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def disk(tmp_path_factory, images):
    """The same images as a tar, a flat folder and class folders, and their ReaL labels."""
    root = tmp_path_factory.mktemp("images")
    original = imagenet.original_labels().classes[:COUNT]
    for name, label, image in zip(NAMES, original, images):
        for path in (root / "flat", root / "classes" / imagenet.wordnet_ids()[label]):
            path.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(image)
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as archive:
        for name in reversed(NAMES):
            archive.add(root / "flat" / name, name)
    real = [[int(label)] if i % 4 else [] for i, label in enumerate(original)]
    LabelSets.from_lists(NAMES, real).to_json(root / "real.json")
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, images):
    """The images prepared by TFDS's builder of imagenet2012_real; only the download is mocked."""
    import tensorflow_datasets as tfds

    folder = str(tmp_path_factory.mktemp("tfds"))
    builder = tfds.builder("imagenet2012_real", data_dir=folder)
    original = imagenet.original_labels().classes

    def examples():
        for i, (name, image) in enumerate(zip(NAMES, images)):
            yield (
                name,
                {
                    "image": image,
                    "file_name": name,
                    "original_label": imagenet.wordnet_ids()[original[i]],
                    "real_label": [imagenet.wordnet_ids()[original[i]]] if i % 4 else [],
                },
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(builder), "_split_generators", lambda *_: {"validation": examples()})
        builder.download_and_prepare(file_format="array_record")
    return folder


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """A compilation cache, because all evaluations here compile the same programs."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    yield
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two small random checkpoints with 1,000 classes."""
    folder = tmp_path_factory.mktemp("small")
    for name, seed in (("first", 0), ("second", 1)):
        checkpoint.save_npz(folder / f"{name}.npz", jax.device_get(random_params(SMALL, seed)))
    return folder


def measured(folder, npz, dataset, real_labels=None, argument="", **changes):
    config = bit_evaluate.get_config(argument)
    config.checkpoint = str(npz)
    config.eval.dataset = str(dataset)
    if real_labels is not None:
        config.eval.real_labels = str(real_labels)
    config.eval.batch_size = 8
    config.eval.size = 32
    config.example_images = 0
    for name, value in changes.items():
        section, _, last = name.rpartition("__")
        (config[section] if section else config)[last] = value
    return evaluate_only(config, folder)


def evaluated(*arguments, **changes):
    """The record as JSON; None if the evaluation was asked to stop."""
    found = measured(*arguments, **changes)
    return found and found.as_json()


def test_full_size_r50x1_predicts_the_same_from_everywhere(tmp_path, disk, prepared):
    model = resnet.ResNetV2(depth=50, width=1, num_classes=1000)
    npz = tmp_path / "BiT-M-R50x1-ILSVRC2012.npz"
    checkpoint.save_npz(npz, jax.device_get(random_params(model)))
    files, records = [], []
    for place, dataset in {
        "tfds": "imagenet2012_real",
        "tar": disk / "ILSVRC2012_img_val.tar",
        "flat": disk / "flat",
        "classes": disk / "classes",
    }.items():
        more = {"input__data_dir": prepared} if place == "tfds" else {}
        real = None if place == "tfds" else disk / "real.json"
        record = evaluated(tmp_path / place, npz, dataset, real, "R50x1", **more)
        files.append((tmp_path / place / "predictions.npz").read_bytes())
        records.append(
            {key: record[key] for key in ("original", "real", "original_labels", "loss")}
        )
        assert record["num_images"] == COUNT
        assert record["original"]["top1"]["n"] == COUNT
        assert record["real"]["top1"]["n"] == COUNT - COUNT // 4
        assert record["original_labels"]["real_top1"]["value"] == 1
    assert files[1:] == files[:1] * 3
    assert records[1:] == records[:1] * 3
    # The predictions are the model's: apply the model to one image, without standardized parameters.
    predictions = Predictions.load(tmp_path / "tar" / "predictions.npz")
    assert predictions.file_names.tolist() == NAMES
    image = preprocessing.eval_image((disk / "flat" / NAMES[7]).read_bytes(), "", 32)
    logits = np.asarray(model.apply({"params": checkpoint.load_npz(npz)}, image[None]))[0]
    assert predictions.classes[7].tolist() == np.argsort(-logits)[:5].tolist()


def test_an_unreadable_image_is_named_and_costs_only_itself(
    tmp_path, disk, small, caplog, monkeypatch
):
    """The evaluation then continues where it stopped and gives the results of an undisturbed evaluation."""
    monkeypatch.setattr(logging.getLogger("big_transfer"), "propagate", True)
    caplog.set_level(logging.INFO, "big_transfer")
    shutil.copytree(disk / "flat", tmp_path / "flat")
    bad = tmp_path / "flat" / NAMES[17]
    good = bad.read_bytes()
    bad.write_bytes(good[:300])
    arguments = (small / "first.npz", tmp_path / "flat", disk / "real.json")
    with pytest.raises(preprocessing.ImageError, match=rf"{NAMES[17]}: is no image, or cut short"):
        evaluated(tmp_path / "run", *arguments)
    assert not (tmp_path / "run" / "results.json").exists()
    bad.write_bytes(good)

    seen = []
    make = make_eval_step

    def counting(*args, **kwargs):
        step = make(*args, **kwargs)
        return lambda params, batch: seen.append(int(batch["mask"].sum())) or step(params, batch)

    monkeypatch.setattr(evaluator, "make_eval_step", counting)
    # Any batch size may continue; only images that were not evaluated before are evaluated.
    evaluated(tmp_path / "run", *arguments, eval__batch_size=16)
    done = COUNT - sum(seen)
    assert done >= 8
    assert f"Continuing after {done} of {COUNT} images" in caplog.text
    evaluated(tmp_path / "undisturbed", *arguments)
    ours, theirs = (
        Predictions.load(tmp_path / run / "predictions.npz") for run in ("run", "undisturbed")
    )
    np.testing.assert_array_equal(ours.file_names, theirs.file_names)
    np.testing.assert_array_equal(ours.classes, theirs.classes)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4)
    assert not list((tmp_path / "run").glob("*partial*"))


def test_a_stopped_evaluation_of_several_goes_on_with_the_rest(tmp_path, disk, small, monkeypatch):
    from big_transfer.run import preemption

    both = f"{small / 'first.npz'},{small / 'second.npz'}"
    asked = []

    def given(self):
        asked.append(self)
        return len(asked) == 5  # in the second evaluation

    with monkeypatch.context() as patch:
        patch.setattr(preemption.Notice, "given", given)
        assert evaluated(tmp_path, both, disk / "flat", disk / "real.json") is None
    assert (tmp_path / "first" / "results.json").exists()
    assert not (tmp_path / "second" / "results.json").exists()
    seen = []
    run = datasets.eval_batches

    def counting(*args, first, **kwargs):
        seen.append(first)
        return run(*args, first=first, **kwargs)

    monkeypatch.setattr(datasets, "eval_batches", counting)
    record = evaluated(tmp_path, both, disk / "flat", disk / "real.json")
    assert seen == [COUNT, 16]  # the first was complete, the second had two batches of eight
    assert [model["name"] for model in record["models"]] == ["first", "second"]
    # When all are complete, nothing is computed again and the record stays the same.
    seen.clear()
    assert evaluated(tmp_path, both, disk / "flat", disk / "real.json") == record
    assert seen == [COUNT, COUNT]


def test_other_results_in_the_way_of_several_are_found_before_the_first(
    tmp_path, disk, small, monkeypatch
):
    labels = (disk / "flat", disk / "real.json")
    evaluated(tmp_path / "second", small / "second.npz", *labels, eval__size=40)
    monkeypatch.setattr(Evaluator, "run", None)  # a call would raise an error
    with pytest.raises(workdir.WorkdirError, match=r"another evaluation \(.*second\.npz at 40 pix"):
        evaluated(tmp_path, f"{small / 'first.npz'},{small / 'second.npz'}", *labels)


def test_other_parameters_or_sizes_are_another_evaluation(tmp_path, disk, small):
    """Partial results of one checkpoint are never used for another checkpoint."""
    from big_transfer.evaluation import partial_results

    partial = partial_results.PartialResults(tmp_path, {"parameters": {"a": 1}})
    collected = partial_results.CollectedOutputs()
    mask = np.array([True, False])
    outputs = {"classes": np.zeros((2, 5), np.int32), "scores": np.zeros((2, 5), np.float32)}
    outputs |= {"loss": np.zeros(2, np.float32), "mask": mask}
    collected.add(outputs, [{"file_name": "a", "index": 0}], 1)
    partial.save(collected)
    assert partial.load().examples == [{"file_name": "a", "index": 0}]
    assert partial.load().columns()["classes"].shape == (1, 5)
    assert partial_results.PartialResults(tmp_path, {"parameters": {"a": 2}}).load() is None
    path = next(tmp_path.glob("*partial*"))
    path.write_bytes(path.read_bytes()[:-50])  # a damaged file is ignored
    assert partial.load() is None


def test_several_checkpoints_give_one_table_with_paired_tests(tmp_path, disk, small):
    both = f"{small / 'first.npz'}, {small / 'second.npz'}"
    record = evaluated(tmp_path, both, disk / "flat", disk / "real.json")
    assert record == json.loads((tmp_path / "comparison.json").read_text())
    predictions = [
        Predictions.load(tmp_path / name / "predictions.npz") for name in ("first", "second")
    ]
    original = imagenet.original_labels()
    real = LabelSets.from_json(disk / "real.json")
    (pair,) = record["pairs"]
    for key, labels in (("original", original), ("real", real)):
        expected = as_json(accuracy.paired_difference(*predictions, labels))
        assert pair[key] == expected
        for model, one in zip(record["models"], predictions):
            assert model[key]["top1"] == as_json(accuracy.top_k_accuracy(one, labels))
    table = comparison_table(measured(tmp_path, both, disk / "flat", disk / "real.json"))
    for part in (
        "first",
        "second",
        "original top-1",
        "ReaL top-5",
        "the original labels",
        "McNemar",
    ):
        assert part in table
    results = json.loads((tmp_path / "first" / "results.json").read_text())
    assert results["real"] == record["models"][0]["real"]


def test_a_finished_evaluation_says_so_and_another_is_refused(tmp_path, disk, small, monkeypatch):
    labels = (disk / "flat", disk / "real.json")
    record = evaluated(tmp_path / "run", small / "first.npz", *labels)
    before = (tmp_path / "run" / "results.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "run", None)  # a call would raise an error
        assert evaluated(tmp_path / "run", small / "first.npz", *labels) == record
    for npz, changes in (("second", {}), ("first", {"eval__size": 40})):
        with pytest.raises(
            workdir.WorkdirError, match=r"another evaluation \(.*first\.npz at 32 pix"
        ):
            evaluated(tmp_path / "run", small / f"{npz}.npz", *labels, **changes)
    assert (tmp_path / "run" / "results.json").read_bytes() == before
    assert json.loads((tmp_path / "run" / "class_names.json").read_text())[0] == "n01440764"


def test_runs_are_compared_without_replacing_their_own_results(tmp_path, disk, small):
    for name in ("first", "second"):
        checkpoint.save_run(tmp_path / name, checkpoint.load_npz(small / f"{name}.npz"), SMALL)
    both = f"{tmp_path / 'first'},{tmp_path / 'second'}"
    labels = (disk / "flat", disk / "real.json")
    with pytest.raises(workdir.WorkdirError, match="holds a training run"):
        evaluated(tmp_path, both, *labels)
    record = evaluated(tmp_path / "both", both, *labels)
    assert [model["name"] for model in record["models"]] == ["first", "second"]


def test_bfloat16_is_close(tmp_path, disk, small):
    arguments = (small / "first.npz", disk / "flat", disk / "real.json")
    evaluated(tmp_path / "float32", *arguments)
    evaluated(tmp_path / "bfloat16", *arguments, model__dtype="bfloat16")
    one, other = (
        Predictions.load(tmp_path / dtype / "predictions.npz") for dtype in ("float32", "bfloat16")
    )
    assert (one.scores != other.scores).any()
    np.testing.assert_allclose(one.scores, other.scores, rtol=0.1)


def test_timms_files_and_workdirs_are_evaluated_alike(tmp_path, disk, small):
    params = checkpoint.load_npz(small / "first.npz")
    checkpoint.save_safetensors(tmp_path / "timm.safetensors", params)
    checkpoint.save_run(tmp_path / "run", params, SMALL)
    labels = (disk / "flat", disk / "real.json")
    evaluated(tmp_path / "npz", small / "first.npz", *labels)
    evaluated(tmp_path / "timm", tmp_path / "timm.safetensors", *labels)
    evaluated(tmp_path / "run", "", *labels)  # the run in the workdir is evaluated
    expected = (tmp_path / "npz" / "predictions.npz").read_bytes()
    for name in ("timm", "run"):
        assert (tmp_path / name / "predictions.npz").read_bytes() == expected


@pytest.mark.parametrize(
    ("changes", "argument", "complaint"),
    [
        ({"checkpoint": "BiT-M-R50x1.npz"}, "", "curl -O .*/bit_models/BiT-M-R50x1.npz"),
        ({"checkpoint": "nowhere.npz"}, "", "nowhere.npz: there is no such checkpoint file"),
        ({}, "R50x1", r"is a ResNet of \(1\) units, width 0\.5, but the config's model is R50x1"),
        ({"num_classes": 10}, "", "has 1,000 classes, but num_classes is 10: fine-tune it first"),
        ({"eval__real_labels": "nowhere.json"}, "", r"nowhere\.json: there is no such file"),
        ({"eval__dataset": "./nowhere"}, "", "there is no such folder or tar"),
        ({"checkpoint": "a/x.npz,b/../a/x.npz"}, "", "have the same name"),
        ({"checkpoint": ""}, "", "there is nothing to evaluate"),
    ],
)
def test_what_does_not_fit_is_explained(tmp_path, disk, small, changes, argument, complaint):
    errors = (ValueError, FileNotFoundError)
    npz = changes.pop("checkpoint", small / "first.npz")
    with pytest.raises(errors, match=complaint):
        evaluated(tmp_path / "run", npz, disk / "flat", disk / "real.json", argument, **changes)
    assert not (tmp_path / "run").exists()


def test_an_imagenet21k_checkpoint_is_not_scored_with_an_empty_head(tmp_path, disk):
    model = SMALL.clone(num_classes=21_843)
    npz = tmp_path / "BiT-M-R50x1.npz"
    checkpoint.save_npz(npz, jax.device_get(random_params(model)))
    with pytest.raises(
        checkpoint.CheckpointError, match="21,843 classes, but num_classes is 1,000"
    ):
        evaluated(tmp_path / "run", npz, disk / "flat", disk / "real.json")


def test_every_published_reassessment_is_scored_from_one_pass(
    tmp_path, disk, small, shared, monkeypatch
):
    monkeypatch.setenv("REAL_LABELS_DIR", str(shared))
    names = ("real", "shankar", "tsipras", "northcutt")
    record = evaluated(
        tmp_path / "run", small / "first.npz", disk / "flat", eval__label_sets=",".join(names)
    )
    predictions = Predictions.load(tmp_path / "run" / "predictions.npz")
    sets = {name: published.reassessment(name, shared) for name in names}
    found = accuracy.results(
        predictions,
        imagenet.original_labels(),
        {n: s.on(predictions.file_names) for n, s in sets.items()},
    )
    assert list(record["label_sets"]) == list(names)
    for name in names:
        ours, theirs = record["label_sets"][name], as_json(found.reassessments[name])
        assert ours["top1"] == theirs["top1"] and ours["covered"] == theirs["covered"]
    assert record["label_sets"]["shankar"]["paper"]["name"] == "mean over the original classes"


def test_a_converted_workdir_is_not_mistaken_for_a_training_run(tmp_path, small):
    params = checkpoint.load_npz(small / "first.npz")
    checkpoint.save_run(tmp_path / "run", params, SMALL)
    with pytest.raises(checkpoint.CheckpointError, match="holds a run already"):
        checkpoint.save_run(tmp_path / "run", params, SMALL)
    assert workdir.recorded_config(tmp_path / "run")["num_classes"] == 1000


def test_training_needs_more_than_evaluating():
    config = bit_evaluate.get_config("R50x1")
    config_lib.check(config, training=False)
    with pytest.raises(config_lib.ConfigError, match=r"input\.batch_size: is missing") as error:
        config_lib.check(config)
    assert "add --mode=evaluate" in str(error.value)
