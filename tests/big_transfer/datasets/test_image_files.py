import io
import os
import pickle
import tarfile

import cv2
import numpy as np
import pytest

from big_transfer import datasets
from big_transfer.datasets import image_files, preprocessing
from real_labels import LabelSets
from real_labels.labels import imagenet
from tests.big_transfer.datasets.test_preprocessing import jpeg, photo


def encoded(seed: int) -> bytes:
    return jpeg(photo(20, 30, seed))


def folder(root, names):
    """Writes an image under each of the names; the k-th image has seed k."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(seed))
    return root


def tar(path, names):
    with tarfile.open(path, "w") as archive:
        for seed, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = len(encoded(seed))
            archive.addfile(member, io.BytesIO(encoded(seed)))
    return path


PETS = ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/deeper/3.png", "yak/9.JPEG"]


def test_class_folders_are_numbered_in_sorted_order(tmp_path):
    source = image_files.ImageFiles(str(folder(tmp_path, reversed(PETS))), "all")
    assert source.class_names == {"label": ("cat", "dog", "yak")}
    assert source.num_classes == {"label": 3}
    assert [example["file_name"] for example in source] == PETS
    assert [example["label"] for example in source] == [(0,), (0,), (1,), (1,), (2,)]
    assert source.labels_of("label") == [(0,), (0,), (1,), (1,), (2,)]
    assert [example["index"] for example in source] == list(range(5))
    assert source[0]["image"] == encoded(4)  # the image written last


def test_folders_of_splits_are_told(tmp_path):
    names = ["train/cat/1.jpg", "train/dog/1.jpg", "val/dog/2.jpg", "test/cat/3.jpg"]
    root = str(folder(tmp_path, [*names, "annotations/dog/1.jpg"]))
    assert image_files.splits_of(root) == ["train", "validation", "test"]
    validation = image_files.ImageFiles(root, "validation")
    # Class indices are those of the training set, although this split has no cat.
    assert [(e["file_name"], e["label"]) for e in validation] == [("dog/2.jpg", (1,))]
    assert len(image_files.ImageFiles(root, "train")) == 2
    assert datasets.evaluation_split_of(root, None, False) == "test"
    with pytest.raises(datasets.DatasetError, match="has no split 'dev'; it has test, train, vali"):
        image_files.ImageFiles(root, "dev")


def test_without_folders_of_splits_a_tenth_is_held_out(tmp_path):
    root = str(folder(tmp_path, [f"{c}/{i:03d}.jpg" for c in "ab" for i in range(100)]))
    parts = {split: image_files.ImageFiles(root, split) for split in ("train", "validation", "all")}
    names = {split: {e["file_name"] for e in part} for split, part in parts.items()}
    assert names["train"] | names["validation"] == names["all"]
    assert not names["train"] & names["validation"]
    assert 8 <= len(names["validation"]) <= 35
    # An added image does not move the others.
    folder(tmp_path, ["a/new.jpg"])
    again = {e["file_name"] for e in image_files.ImageFiles(root, "validation")}
    assert again - {"a/new.jpg"} == names["validation"]


@pytest.mark.parametrize("top", ["", "./", "data/v1/"])
def test_a_tar_of_class_folders_is_like_the_folder(tmp_path, top):
    path = tar(tmp_path / "pets.tar", [top + name for name in PETS])
    from_tar = image_files.ImageFiles(str(path), "all")
    from_folder = image_files.ImageFiles(str(folder(tmp_path / "pets", PETS)), "all")
    assert list(from_tar) == list(from_folder)
    # Worker processes receive a pickled copy.
    assert list(pickle.loads(pickle.dumps(from_tar))) == list(from_folder)


def test_a_tar_with_splits(tmp_path):
    path = str(tar(tmp_path / "x.tar", ["data/train/cat/1.jpg", "data/val/dog/1.jpg"]))
    assert image_files.splits_of(path) == ["train", "validation"]
    assert image_files.ImageFiles(path, "validation")[0]["label"] == (1,)


VAL = [imagenet.IMAGENET_FILE_NAME.format(i) for i in (3, 1, 2)]


@pytest.mark.parametrize("layout", ["flat", "classes", "tar", "tar of a folder"])
def test_imagenets_validation_images_are_told_by_name(tmp_path, layout):
    ids = imagenet.wordnet_ids()
    original = imagenet.original_labels()
    if layout == "flat":
        path = folder(tmp_path, VAL)
    elif layout == "classes":
        labels = original.take(original.rows(np.array(VAL))).classes
        path = folder(tmp_path, [f"{ids[c]}/{n}" for c, n in zip(labels, VAL)])
    else:
        top = "val/" if "folder" in layout else ""
        path = tar(tmp_path / "ILSVRC2012_img_val.tar", [top + name for name in VAL])
    reassessed = tmp_path.parent / f"{tmp_path.name}.json"
    LabelSets.from_lists(sorted(VAL), [[5], [], [7, 6]]).to_json(reassessed)
    source = datasets.open_source(
        str(path), "validation", ["original_label", "real_label"], real_labels=str(reassessed)
    )
    assert [e["file_name"] for e in source] == sorted(VAL)
    assert [e["image"] for e in source] == [encoded(1), encoded(2), encoded(0)]
    assert [e["original_label"][0] for e in source] == original.classes[:3].tolist()
    assert [e["real_label"] for e in source] == [(5,), (), (6, 7)]
    assert source.num_classes == {"original_label": 1000, "real_label": 1000}
    assert datasets.evaluation_split_of(str(path), None, False) == "validation"


def test_imagenets_validation_images_are_no_training_set(tmp_path):
    path = str(folder(tmp_path, VAL))
    for split in ("train", "all", "validation[:10%]"):
        with pytest.raises(datasets.DatasetError, match="their split is 'validation'"):
            image_files.ImageFiles(path, split)


def test_one_odd_image_among_imagenets_is_named(tmp_path):
    with pytest.raises(datasets.DatasetError, match=r"1 of 4 images .* first is montage\.png"):
        image_files.ImageFiles(str(folder(tmp_path, [*VAL, "montage.png"])), "validation")


def test_a_training_folder_alone_is_divided(tmp_path, caplog, monkeypatch):
    """As in many competitions: class folders for training, and test images without labels."""
    import logging

    monkeypatch.setattr(logging.getLogger("big_transfer"), "propagate", True)
    names = [f"train/{c}/{i:02d}.jpg" for c in "ab" for i in range(40)]
    root = str(folder(tmp_path, [*names, "test/1.jpg"]))
    assert image_files.splits_of(root) == ["train", "validation"]
    sizes = [len(image_files.ImageFiles(root, split)) for split in ("train", "validation")]
    assert sum(sizes) == 80
    assert min(sizes) > 0
    assert (
        "1 images outside the split folders train are left out (first: test/1.jpg)" in caplog.text
    )


def test_what_is_left_out_is_said(tmp_path, caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("big_transfer"), "propagate", True)
    root = folder(tmp_path, [*PETS, "cat/5.heic"])
    image_files.ImageFiles(str(root), "all")
    assert "1 files without an image extension are left out (first: cat/5.heic)" in caplog.text
    with pytest.raises(datasets.DatasetError, match="the images of val are not in class folders"):
        image_files.ImageFiles(str(folder(tmp_path / "x", ["train/a/1.jpg", "val/2.jpg"])), "train")


def test_hidden_files_links_to_above_and_upper_case_endings(tmp_path):
    root = folder(tmp_path, [*PETS, ".cache/x.jpg", "cat/._1.jpg", "dog/5.JPG"])
    (root / "cat" / "up").symlink_to(root)
    names = image_files.ImageFiles(str(root), "all").file_names
    assert names == sorted([*PETS, "dog/5.JPG"])
    path = tar(tmp_path / "x.tar", ["./a/1.jpg", "./.hidden/2.jpg", "./b/.ipynb_checkpoints/3.jpg"])
    assert image_files.ImageFiles(str(path), "all").file_names == ["a/1.jpg"]


def test_two_images_of_one_name_are_refused(tmp_path):
    root = folder(tmp_path, [f"a/{VAL[0]}", f"b/{VAL[0]}"])
    with pytest.raises(datasets.DatasetError, match="have the same file name"):
        image_files.ImageFiles(str(root), "validation")


def test_an_image_in_another_class_folder_is_pointed_out(tmp_path, caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("big_transfer"), "propagate", True)
    wrong = f"{imagenet.wordnet_ids()[999]}/{VAL[0]}"
    image_files.ImageFiles(str(folder(tmp_path, [wrong])), "validation")
    assert "1 of the images lie in the folder of another class" in caplog.text
    assert "has 1 of ILSVRC-2012's 50,000 validation images" in caplog.text


def test_the_published_real_labels_are_the_default(tmp_path, published, monkeypatch):
    import json

    monkeypatch.setenv("REAL_LABELS_DIR", str(published))
    source = datasets.open_source(
        str(folder(tmp_path, VAL)), "validation", ["original_label", "real_label"]
    )
    real = json.loads((published / "real.json").read_text())
    assert [list(e["real_label"]) for e in source] == [sorted(labels) for labels in real[:3]]


def test_tfds_imagenet2012_gets_its_real_labels_by_name(monkeypatch, published):
    """The validation split of imagenet2012 has only the original labels, under another name."""
    from big_transfer.datasets import tfds_source

    class Bare(tfds_source.TfdsSource):
        def __getitem__(self, index):
            return super().__getitem__(index) | {"file_name": VAL[index % 3]}

    monkeypatch.setenv("REAL_LABELS_DIR", str(published))
    monkeypatch.setattr(tfds_source, "TfdsSource", Bare)
    keys = ["original_label", "real_label"]
    source = datasets.open_source("imagenet2012", "validation", keys, mock=True)
    by_name = imagenet.original_labels().classes
    assert source[0]["original_label"] == (by_name[2],)
    assert set(source[0]) == {"image", "file_name", "index", *keys}


def test_features_of_a_label_set_are_the_datasets_own(tmp_path, monkeypatch):
    """They are never looked up by file name, unlike the labels of ILSVRC-2012."""
    from big_transfer.datasets import tfds_source

    with pytest.raises(datasets.DatasetError, match="has no feature tags; it has"):
        datasets.open_source(str(folder(tmp_path, PETS)), "all", ["label"], features=["tags"])
    requested = []

    class Bare(tfds_source.TfdsSource):
        def __init__(self, dataset, split, label_keys, **_):
            requested.append(list(label_keys))
            self.dataset, self.split, self.label_keys = dataset, split, tuple(label_keys)
            self.class_names = {key: imagenet.wordnet_ids() for key in label_keys}
            self.num_classes = dict.fromkeys(label_keys, 1000)

    monkeypatch.setattr(tfds_source, "TfdsSource", Bare)
    source = datasets.open_source(
        "imagenet2012", "validation", ["original_label"], features=["real_label"]
    )
    assert requested == [
        ["real_label"]
    ]  # from the dataset, although imagenet2012 lacks this feature
    assert source.label_keys == ("original_label", "real_label")


def test_reassessed_labels_of_any_dataset_come_from_a_file(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    LabelSets.from_lists(PETS, [[0], [0, 1], [], [1], [2]]).to_json(tmp_path / "real.json")
    source = datasets.open_source(
        str(root), "all", ["label", "real_label"], real_labels=str(tmp_path / "real.json")
    )
    assert [e["real_label"] for e in source] == [(0,), (0, 1), (), (1,), (2,)]
    assert source.class_names["real_label"] == ("cat", "dog", "yak")
    LabelSets.from_lists(PETS[:2], [[0], [1]]).to_json(tmp_path / "short.json")
    with pytest.raises(
        datasets.DatasetError, match=r"no entry for dog/1\.jpg .*first entry is cat/1"
    ):
        datasets.open_source(
            str(root), "all", ["label", "real_label"], real_labels=str(tmp_path / "short.json")
        )
    LabelSets.from_lists(PETS, [[0], [0, 1], [], [3], [2]]).to_json(tmp_path / "high.json")
    with pytest.raises(
        datasets.DatasetError, match="have class 3, but there are 3 classes, 0 to 2"
    ):
        datasets.open_source(
            str(root), "all", ["label", "real_label"], real_labels=str(tmp_path / "high.json")
        )
    with pytest.raises(
        datasets.DatasetError, match=r"give a file with --config\.eval\.real_labels"
    ):
        datasets.open_source(str(root), "all", ["label", "real_label"])


def test_batches_come_from_folders_like_from_tfds(tmp_path):
    source = image_files.ImageFiles(str(folder(tmp_path, PETS)), "all")
    for workers in (0, 1):
        batches = list(
            datasets.eval_batches(
                source,
                lambda batch: batch,
                label_key="label",
                batch_size=2,
                max_labels=1,
                size=16,
                num_threads=2,
                num_workers=workers,
                first=1,
            )
        )
        names = [example["file_name"] for _, local in batches for example in local]
        assert names == PETS[1:]
        expected = preprocessing.eval_image(source[1]["image"], "", 16)
        np.testing.assert_array_equal(batches[0][0]["image"][0], expected)


def gzipped(root):
    path = root / "x.tar"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a/1.jpg"))
    return path


def cut(root):
    path = tar(root / "x.tar", PETS)
    path.write_bytes(path.read_bytes()[:3000])
    return path


def cut_in_a_header(root):
    path = tar(root / "x.tar", PETS)
    with tarfile.open(path) as archive:
        middle = archive.getmembers()[2].offset + 100
    path.write_bytes(path.read_bytes()[:middle])
    return path


def cut_in_the_last(root):
    path = tar(root / "x.tar", PETS)
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content[:-100])
    return path


def no_tar(root):
    (root / "x.tar").write_bytes(b"hello" * 1000)
    return root / "x.tar"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda r: r / "nowhere", "nowhere: there is no such folder or tar"),
        (lambda r: folder(r, ["cat/readme.txt"]), "holds no images, but 1 other files"),
        (lambda r: folder(r, ["cat/1.jpg", "2.jpg"]), r"2\.jpg is not in a class folder"),
        (lambda r: tar(r / "x.tar", ["a/1.jpg", "1.jpg"]), r"1\.jpg is not in a class folder"),
        (gzipped, "compressed"),
        (cut, "cut short"),
        (cut_in_the_last, "cut short"),
        (cut_in_a_header, "cut short"),
        (no_tar, "is not a tar"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, make, complaint):
    with pytest.raises(datasets.DatasetError, match=complaint):
        image_files.ImageFiles(str(make(tmp_path)), "all")


def test_paths_are_told_from_names():
    for path in ("/data", "./pets", "../pets", "~/pets", ".", "pets/", "val.tar.gz", "val.tar"):
        assert image_files.is_path(path)
    for name in ("cifar10", "imagenet2012_subset/1pct", "digit_scenes"):
        assert not image_files.is_path(name)


# ---- views --------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    return image_files.ImageFiles(
        str(folder(tmp_path, [f"{c}/{i:02d}.jpg" for c in "abc" for i in range(12)] + ["d/0.jpg"])),
        "all",
    )


def test_few_shot_takes_so_many_of_each_class(many, caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("big_transfer"), "propagate", True)
    chosen = datasets.few_shot(many, "label", 3, seed=1)
    labels = [example["label"][0] for example in chosen]
    assert np.bincount(labels).tolist() == [3, 3, 3, 1]
    assert "Class d has only 1 of the 3 requested examples" in caplog.text
    assert [example["index"] for example in chosen] == list(range(10))
    names = [example["file_name"] for example in chosen]
    assert names == [e["file_name"] for e in datasets.few_shot(many, "label", 3, seed=1)]
    assert names != [e["file_name"] for e in datasets.few_shot(many, "label", 3, seed=2)]
    assert set(names) <= {e["file_name"] for e in datasets.few_shot(many, "label", 5, seed=1)}


def test_the_typical_area_is_the_images(tmp_path):
    for i, size in enumerate([(10, 10), (20, 30), (20, 30), (100, 100)]):
        path = tmp_path / "a" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(photo(*size)))
    assert datasets.typical_area(image_files.ImageFiles(str(tmp_path), "all")) == 600


# ---- unusual files, as in ILSVRC-2012 ------------------------------------------------------------


def test_a_cmyk_jpeg_is_decoded():
    """The result equals that of Pillow, an independent decoder."""
    from PIL import Image

    rgb = cv2.resize(photo(6, 8), (64, 48), interpolation=cv2.INTER_CUBIC)
    buffer = io.BytesIO()
    Image.fromarray(rgb).convert("CMYK").save(buffer, "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
    found = preprocessing.decode(buffer.getvalue(), "cmyk.JPEG")
    assert np.abs(found.astype(int) - expected).max() <= 3
    assert np.abs(found.astype(int) - rgb).mean() < 6


def test_a_png_named_jpeg_is_decoded():
    image = photo(20, 30)
    png = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(preprocessing.decode(png, "ILSVRC2012_val_1.JPEG"), image)
    with pytest.raises(preprocessing.ImageError, match="odd.JPEG: is no image, or cut short"):
        preprocessing.decode(png[: len(png) * 2 // 3], "odd.JPEG")


def test_a_pipe_among_the_images_is_refused_and_does_not_block(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    os.mkfifo(tmp_path / "train" / "cat" / "a.jpg")
    source = image_files.ImageFiles(str(tmp_path), "train")
    for index in range(len(source)):
        with pytest.raises(datasets.DatasetError, match=r"a\.jpg: is not a regular file"):
            source[index]
    assert len(source) == 1
