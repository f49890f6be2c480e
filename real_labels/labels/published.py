"""Published reassessments of ILSVRC-2012's validation images: finding, fetching and reading their files.

They are the Reassessed Labels (ReaL) of Beyer et al. 2020 and the labels of Shankar et al. 2020, Tsipras et
al. 2020 and Northcutt et al. 2021; also the reviewed mistakes of Vasudevan et al. 2022.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from real_labels.errors import InputError
from real_labels.labels import relabellings
from real_labels.labels.download import download
from real_labels.labels.label_sets import LabelSets
from real_labels.labels.reassessment import REAL, Reassessment
from real_labels.labels.relabellings import Relabelled

SHANKAR, TSIPRAS, NORTHCUTT = "shankar", "tsipras", "northcutt"
MISTAKES = "mistakes"  # name of the reviewed mistakes in `fetch`; they are not a label set
_GITHUB = "https://raw.githubusercontent.com"
_DEPTH = 6  # folders below the data folder that are searched


class NotThereError(InputError):
    """A published file is not in the data folder."""


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file of a public repository.

    Attributes:
      name: file name.
      folder: location on GitHub: repository, commit and folder.
      sha256: SHA-256 of the content.
      size: size in bytes.
    """

    name: str
    folder: str
    sha256: str
    size: int

    @property
    def url(self) -> str:
        """Address of the file."""
        return f"{_GITHUB}/{self.folder}/{self.name}"


_REASSESSED = "google-research/reassessed-imagenet/bcd006fe12e929f055e0ec7fe39dbf4d64a6881a"
_CORRECTIONS = (
    "klarajanouskova/ImageNet/04fb51bbb74e286c7f42f1bd9171eed088a282b4/"
    "eval_corrections/load_data/validation_correction"
)
_LABEL_ERRORS = "cleanlab/label-errors/6d5d6b31a13216290afc40e5c6319399c4d15c06/mturk"
_REVIEWED = "google-research/imagenet-mistakes/6fdda60a87dd79cdef764c8823db7b2f67c43a97/metadata"
# Files of each label set, in the order of display, and of the reviewed mistakes.
FILES: dict[str, tuple[PublishedFile, ...]] = {
    REAL: (
        PublishedFile(
            "real.json",
            _REASSESSED,
            "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b",
            388_478,
        ),
        PublishedFile(
            "scores.npz",
            _REASSESSED,
            "c4b558569f3da12945c57684294f439214a9cb7919b0ae5b44432bd077d03b79",
            1_990_559,
        ),
        PublishedFile(
            "raters.npz",
            _REASSESSED,
            "d3ffe8082e4e61e9716cbc93a7a4e877e3b1d1240032a176e797b43f19107ec8",
            2_457_121,
        ),
        PublishedFile(
            "raters_golden.npz",
            _REASSESSED,
            "6fd910fc7389c3d695ac5e18269689797d0246a378c536e218854f9d93bc8ea6",
            44_043,
        ),
        PublishedFile(
            "golden.npz",
            _REASSESSED,
            "738a795e88351799934669ac48bb70e2ebe484b447fc3e09e0c36fbd987d06d2",
            9_756,
        ),
    ),
    SHANKAR: (
        PublishedFile(
            "multilabel.csv",
            f"{_CORRECTIONS}/imagenet_multilabel",
            "3d2068a392410a04cee532732c1f0c298e8c69535e1c391a062412ce9bc86602",
            1_357_853,
        ),
    ),
    TSIPRAS: (
        PublishedFile(
            "finegrained.csv",
            f"{_CORRECTIONS}/imagenet_finegrained",
            "e263212f6a29f5a71b03fbdd86d2f7f77e706499f124c0d70c6f8d665f63ed4d",
            456_025,
        ),
    ),
    NORTHCUTT: (
        PublishedFile(
            "imagenet_mturk.json",
            _LABEL_ERRORS,
            "79807852426782eb04ae9fcc38454a53eb744bba8ac3213a4d290cfa973995f2",
            2_032_707,
        ),
    ),
    MISTAKES: (
        PublishedFile(
            "vit3b_mistakes.json",
            _REVIEWED,
            "7c48988d683c60714ee720b9ee8f762b32e5759e2b98a12a5ab23d41b20d4c2a",
            49_255,
        ),
        PublishedFile(
            "greedy_soups_mistakes.json",
            _REVIEWED,
            "de1f832b337c2e88fea35cf55a81f7f7db0a2bddc7f0742f2d69a921672d6217",
            32_295,
        ),
    ),
}
NAMES = tuple(name for name in FILES if name != MISTAKES)  # the published reassessments


@dataclasses.dataclass(frozen=True)
class _Published:
    """Reader, checksum and description of a published reassessment.

    Attributes:
      read: reads the labels from the path of its first file.
      digest: expected digest of the labels (see `_digest`).
      about: the other fields of the Reassessment.
    """

    read: Callable[[pathlib.Path], Relabelled]
    digest: str
    about: dict[str, str]


def _read_real(path: pathlib.Path) -> Relabelled:
    labels = LabelSets.from_json(path)
    return Relabelled(labels, np.ones(len(labels), bool))


_REASSESSMENTS = {
    REAL: _Published(
        _read_real,
        "769dbfd56d837a4ff75f332a7d1439090194a013723e0812f7629987791815c2",
        {
            "title": "ReaL",
            "source": "Beyer et al. 2020, Are we done with ImageNet?, arXiv 2006.07159",
            "licence": "Apache 2.0",
            "caveat": "Raters were asked only about labels that models had proposed; 3,163 images have no "
            "label.",
        },
    ),
    SHANKAR: _Published(
        relabellings.multilabel,
        "5881075b1abfe4de40d447d508f53cec2b76844d780dfb8ac1836002204cc555",
        {
            "title": "Shankar",
            "counting": "classes",
            "source": "Shankar et al. 2020, Evaluating Machine Accuracy on ImageNet, revised by Vasudevan et "
            "al. 2022, When does dough become a bagel?; from klarajanouskova/ImageNet",
            "licence": "none stated",
            "caveat": "20 images a class; an image whose original label is wrong counts as problematic "
            "and is left out, so the original labels are right on all the others, by construction.",
        },
    ),
    TSIPRAS: _Published(
        relabellings.finegrained,
        "f301001b3d918c94bf01bfc77f0d113e9074488087a1a20abdc1ae88d9c1419b",
        {
            "title": "Tsipras",
            "source": "Tsipras et al. 2020, From ImageNet to Image Classification; from "
            "klarajanouskova/ImageNet",
            "licence": "MIT (the raw answers, MadryLab/ImageNetMultiLabel)",
            "caveat": "10,000 images; every object that people selected counts, however small.",
        },
    ),
    NORTHCUTT: _Published(
        relabellings.label_errors,
        "4a98112748707234a09cca2b1b15ed2b309a9fb6d5063b48a9bfec7e88a5e846",
        {
            "title": "Northcutt",
            "source": "Northcutt et al. 2021, Pervasive Label Errors in Test Sets; from "
            "cleanlab/label-errors",
            "licence": "Apache 2.0",
            "caveat": "Only 5,440 images whose label a model doubted, counted where 3 of 5 people agree: an "
            "accuracy on suspicious images, not on the validation set.",
        },
    ),
}


def data_dir(given: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Returns the folder of the published files: `given`, else $REAL_LABELS_DIR, else the user's cache."""
    if given is not None:
        return pathlib.Path(given)
    if os.environ.get("REAL_LABELS_DIR"):
        return pathlib.Path(os.environ["REAL_LABELS_DIR"])
    import platformdirs

    return pathlib.Path(platformdirs.user_cache_dir("real_labels"))


def locate(name: str, folder: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Returns the path of a published file, in the data folder or a folder below it.

    Raises:
      NotThereError: if the file is missing, with the command that fetches it.
    """
    folder = data_dir(folder)
    if (folder / name).exists():
        return folder / name
    if (path := _below(folder).get(name)) is not None:
        return path
    label_set, size = next(
        (label_set, sum(file.size for file in files))
        for label_set, files in FILES.items()
        if name in {file.name for file in files}
    )
    option = "" if label_set == REAL else f" --label-sets {label_set}"
    raise NotThereError(
        f"{folder / name}: the published file is not there. Fetch it with "
        f"`python -m real_labels fetch{option}` ({size / 1e6:.1f} MB), or name its folder with --data-dir "
        f"or $REAL_LABELS_DIR."
    )


def _below(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the path of each published file in the folders below; of several, the nearest one."""
    wanted = {file.name for files in FILES.values() for file in files}
    paths: dict[str, pathlib.Path] = {}
    level = [folder]
    for _ in range(_DEPTH):
        level = [
            pathlib.Path(entry.path)
            for parent in level
            for entry in _entries(parent)
            if entry.is_dir() and not entry.name.startswith(".")
        ]
        for subfolder in level:
            for entry in _entries(subfolder):
                if entry.name in wanted and entry.is_file():
                    paths.setdefault(entry.name, pathlib.Path(entry.path))
    return paths


def _entries(folder: pathlib.Path) -> list[os.DirEntry[str]]:
    """Returns the entries of a folder, sorted by name; [] if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def reassessment(name: str, folder: str | os.PathLike[str] | None = None) -> Reassessment:
    """Reads a published reassessment of ILSVRC-2012's validation images.

    Args:
      name: one of NAMES.
      folder: folder of the published files (see `data_dir`).

    Raises:
      InputError: if the name is unknown, or the file is missing, is damaged, has other images or is another
        version.
    """
    if name not in _REASSESSMENTS:
        raise InputError(
            f"There is no published label set {name!r}; there are {', '.join(NAMES)}. Name your "
            f"own label set with its file, as mine=FILE."
        )
    path = locate(FILES[name][0].name, folder)
    stat = path.stat()
    return _read(name, path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _read(name: str, path: pathlib.Path, *_stat: int) -> Reassessment:
    """Reads a file once; reads it again if its time or size changes."""
    relabelled = _REASSESSMENTS[name].read(path)
    check_version(name, relabelled, str(path))
    return of_labels(name, relabelled)


def of_labels(name: str, relabelled: Relabelled) -> Reassessment:
    """Returns the published reassessment `name` with labels that were read by another reader."""
    covered = None if relabelled.judged.all() else relabelled.judged
    return Reassessment(relabelled.labels, covered=covered, **_REASSESSMENTS[name].about)


def check_version(name: str, relabelled: Relabelled, where: str) -> None:
    """Checks that labels equal the published reassessment `name`.

    Raises:
      InputError: if the labels differ; the message begins with `where`.
    """
    if _digest(relabelled) == _REASSESSMENTS[name].digest:
        return
    commit = FILES[name][0].folder.split("/")[2][:7]
    raise InputError(
        f"{where}: its labels differ from the published file (commit {commit}). Is it another version, or "
        f"edited? Move it away, and fetch the published file."
    )


def _digest(relabelled: Relabelled) -> str:
    """Returns the SHA-256 of labels, independent of the order of the images."""
    labels, judged = relabelled.labels, relabelled.judged
    order = np.argsort(labels.file_names)
    if not (order == np.arange(len(order))).all():
        labels, judged = labels.take(order), judged[order]
    digest = hashlib.sha256("\n".join(labels.file_names.tolist()).encode())
    for array in (labels.offsets, labels.classes, judged):
        digest.update(np.ascontiguousarray(array, "<i8").tobytes())
    return digest.hexdigest()


def real_labels(folder: str | os.PathLike[str] | None = None) -> LabelSets:
    """Returns the published ReaL labels of the 50,000 validation images."""
    return reassessment(REAL, folder).labels


def fetch(
    folder: str | os.PathLike[str] | None = None,
    names: Iterable[str] = (REAL,),
    mirror: str | None = None,
) -> list[pathlib.Path]:
    """Downloads missing published files, and checks the SHA-256 of all files.

    Args:
      folder: folder to download to (see `data_dir`).
      names: keys of FILES to fetch.
      mirror: address of a folder with all files; None for the public repositories.

    Returns:
      The paths of all files, existing and downloaded.

    Raises:
      InputError: if a name is unknown, an existing or downloaded file is not the published one, or a download
        fails.
    """
    folder = data_dir(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder.")
    paths = []
    for name in names:
        if name not in FILES:
            raise InputError(
                f"there are no published files called {name!r}; expected all, {', '.join(FILES)}."
            )
        for file in FILES[name]:
            try:
                path = locate(file.name, folder)
            except NotThereError:
                path = folder / file.name
            address = file.url if mirror is None else f"{mirror.rstrip('/')}/{file.name}"
            download(address, path, file.sha256, file.size)
            paths.append(path)
    return paths
