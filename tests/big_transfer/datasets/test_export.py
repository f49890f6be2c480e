import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from big_transfer import datasets
from big_transfer.datasets import export
from big_transfer.datasets.builders import digit_scenes
from real_labels import LabelSets


def test_a_split_becomes_files_with_both_labels(scenes_dir, tmp_path):
    keys = export.label_keys("digit_scenes", None, None, scenes_dir)
    source = datasets.open_source("digit_scenes", "validation", keys, data_dir=scenes_dir)
    export.export(source, tmp_path)
    original = LabelSets.from_json(tmp_path / "original.json")
    real = LabelSets.from_json(tmp_path / "real.json")
    assert len(original) == len(real) == len(list((tmp_path / "images").iterdir())) == 61
    for i in range(61):
        name = f"digit_scenes_validation_{i + 1:08d}.JPEG"
        image, label, present = digit_scenes.make_scene("validation", i)
        stored = np.asarray(Image.open(tmp_path / "images" / name), np.float32)
        assert np.abs(stored - image).mean() < 8  # JPEG
        row = original.rows([name])[0]
        assert original.to_lists()[row] == [label] and real.to_lists()[row] == present
    assert json.loads((tmp_path / "class_names.json").read_text()) == list("0123456789")


@pytest.mark.parametrize("name", ["digit_scenes", "digit_scenes_high"])
def test_the_truth_about_training_scenes_is_a_file_of_its_own(tmp_path, monkeypatch, name):
    monkeypatch.setattr(digit_scenes, "NUM_EXAMPLES", {"train": 40, "validation": 5})
    keys = export.label_keys(name, None, None, str(tmp_path))
    export.export(
        datasets.open_source(name, "train", keys, data_dir=str(tmp_path)), tmp_path / "out"
    )
    assert not (tmp_path / "out" / "real.json").exists()
    truth = LabelSets.from_json(tmp_path / "out" / "truth.json")
    digits = tuple(range(10)) if name == "digit_scenes" else (5, 6, 7, 8, 9)
    for i in range(40):
        _, _, present = digit_scenes.make_scene("train", i, digits)
        row = truth.rows([f"{name}_train_{i + 1:08d}.JPEG"])[0]
        assert truth.to_lists()[row] == [digit - digits[0] for digit in present]
    with pytest.raises(ValueError, match=r"a.png is not the file name of a scene"):
        digit_scenes.true_labels(["a.png"])


def test_folders_of_images_on_the_command_line(tmp_path):
    for i, path in enumerate(("test/cat/1.png", "test/dog/1.png", "test/dog/2.png")):
        (tmp_path / "pets" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / "pets" / path)
    command = [
        sys.executable, "-m", "big_transfer.datasets.export", f"{tmp_path}/pets", "--split=test",
        f"--out={tmp_path}/out",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"Wrote 3 images and their labels to {tmp_path}/out." in done.stdout
    beside = tmp_path / "here" / ".." / "there"  # ".." is allowed in the output folder's own path
    export.export(datasets.open_source(f"{tmp_path}/pets", "test", ["label"]), beside)
    assert (tmp_path / "there" / "original.json").exists()
    labels = json.loads((tmp_path / "out" / "original.json").read_text())
    assert sorted(labels.values()) == [[0], [1], [1]]
    for name in labels:
        assert (tmp_path / "out" / "images" / name).exists()
    assert not (tmp_path / "out" / "real.json").exists()
    bad = subprocess.run(
        [*command[:4], "--split=train", f"--out={tmp_path}/o"], capture_output=True, text=True
    )
    assert (
        bad.returncode == 1 and bad.stderr.startswith("Error: ") and "\n" not in bad.stderr.strip()
    )


class Strange(list):
    """A list of examples as a source."""

    dataset, split, label_keys = "strange", "test", ("label",)
    class_names = {"label": ("a", "b")}  # noqa: RUF012


def test_names_without_an_ending_get_one_and_none_leads_elsewhere(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    example = {"image": (tmp_path / "x.png").read_bytes(), "label": (1,)}
    export.export(Strange([example | {"file_name": "test/00000000"}]), tmp_path / "out")
    assert (tmp_path / "out" / "images" / "test" / "00000000.png").exists()
    with pytest.raises(datasets.DatasetError, match="evil.png points outside"):
        export.export(Strange([example | {"file_name": "../../evil.png"}]), tmp_path / "out")
    assert not (tmp_path / "evil.png").exists()
