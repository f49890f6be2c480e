"""The base installation: its dependencies, and scoring and reporting with these dependencies alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from tests.conftest import PROJECT
from tests.real_labels.analysis import worlds

# Distributions of the base -> names of the modules that each distribution and its dependencies install.
BASE = {
    "numpy": ["numpy"],
    "scipy": ["scipy"],
    "pyarrow": ["pyarrow"],
    "matplotlib": [
        "matplotlib", "mpl_toolkits", "pylab", "contourpy", "cycler", "fontTools", "kiwisolver",
        "packaging", "pyparsing", "dateutil", "six",
    ],
    "pillow": ["PIL"],
    "jinja2": ["jinja2", "markupsafe"],
    "platformdirs": ["platformdirs"],
    "tqdm": ["tqdm"],
}  # fmt: skip
# Program that runs a command of real_labels and can import no package outside the base.
ALONE = f"""
import importlib.metadata, sys
allowed = {sorted(name for names in BASE.values() for name in names)!r} + ["real_labels"]
elsewhere = set(importlib.metadata.packages_distributions()) - set(allowed)
class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in elsewhere:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent)
from real_labels.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def dataset(tmp_path):
    """The folder with labels and predictions of a small dataset, and the arguments that name the labels."""
    original, real = worlds.labels(images=200)
    original.to_json(tmp_path / "original.json")
    real.to_json(tmp_path / "real.json")
    worlds.model(original, real).save(tmp_path / "model.npz")
    names = np.array(original.file_names)
    lines = [f"{name},{class_}" for name, class_ in zip(names, original.classes[::-1])]
    (tmp_path / "model.csv").write_text("\n".join(["file_name,index", *lines]) + "\n")
    labels = ["--labels", tmp_path / "real.json", "--original", tmp_path / "original.json"]
    return tmp_path, [str(a) for a in labels]


def test_the_base_has_the_dependencies_of_the_project():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert {d.partition(">")[0] for d in project["dependencies"]} == set(BASE)


def test_the_base_scores_and_reports(dataset):
    folder, labels = dataset
    for command in (
        ["score", folder / "model.npz", folder / "model.csv", *labels, "--json", folder / "s.json"],
        ["report", folder / "model.npz", *labels, "--out", folder / "report"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", ALONE, *map(str, command)],
            capture_output=True, text=True, cwd=PROJECT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert len(json.loads((folder / "s.json").read_text())) == 2
    assert (folder / "report" / "index.html").exists()


def test_big_transfer_without_jax_says_what_to_install():
    code = "import sys; sys.modules['jax'] = None; import big_transfer"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=False
    )
    assert "ImportError: big_transfer needs jax, which the base" in done.stderr
    assert "pip install .[train]" in done.stderr


@pytest.mark.long
def test_a_fresh_environment_scores_a_file(dataset, tmp_path):
    """Runs `pip install .` in a new virtual environment; needs a package registry."""
    folder, labels = dataset
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    programs = environment / "bin"
    install = [programs / "python", "-m", "pip", "install", "-q", "-c", PROJECT / "constraints.txt"]
    copy = tmp_path / "project"  # a copy, because building leaves files in the source folder
    ignored = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
    shutil.copytree(PROJECT, copy, ignore=ignored)
    subprocess.run([*install, copy], check=True)
    listed = subprocess.run(
        [programs / "python", "-m", "pip", "list", "--format=json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    installed = {entry["name"].lower() for entry in json.loads(listed.stdout)}
    assert not installed & {"jax", "flax", "tensorflow-cpu", "opencv-python-headless", "grain",
                            "orbax-checkpoint", "scikit-learn"}  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for command in (
        ["score", folder / "model.npz", *labels],
        ["report", folder / "model.npz", *labels, "--out", folder / "report"],
    ):
        done = subprocess.run(
            [programs / "real-labels", *map(str, command)],
            capture_output=True, text=True, cwd=folder, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "original top-1" in subprocess.run(
        [programs / "real-labels", "score", folder / "model.npz", *labels],
        capture_output=True, text=True, cwd=folder, env=environment, check=True,
    ).stdout  # fmt: skip
    assert (folder / "report" / "index.html").exists()


def test_the_rating_page_says_what_it_needs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "rate", "status"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "pip install 'real-labels[rating]'" in done.stderr
