"""Paths on disk and in buckets, and atomic writing."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys

import pytest
from etils import epath

from real_labels import files
from real_labels.errors import InputError, bucket_errors_as_os_errors, naming
from tests.conftest import PROJECT


@pytest.fixture
def installed(monkeypatch):
    """Returns a function that sets which of the packages for buckets are installed."""

    def only(*names):
        asked = {"tensorflow", "etils", "gcsfs", "google.cloud.storage"}
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: (name in names or None) if name in asked else find_spec(name),
        )

    return only


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ((), "gs://bucket/real.json: a bucket needs more packages: pip install etils gcsfs"),
        (("etils",), "pip install gcsfs"),
        (("tensorflow",), "pip install etils"),
    ],
)
def test_a_bucket_says_what_to_install(installed, there, says):
    installed(*there)
    with pytest.raises(InputError, match=says):
        files.path_of("gs://bucket/real.json")
    with pytest.raises(InputError, match=says):
        files.readable("gs://bucket/real.json")


def test_a_workdir_in_a_bucket_needs_what_tensorboard_needs(installed):
    installed("etils", "gcsfs")
    files.check_reachable("gs://bucket/real.json")
    with pytest.raises(InputError, match="pip install google-cloud-storage"):
        files.check_reachable("gs://bucket/run", "google-cloud-storage")
    installed("etils", "tensorflow")
    files.check_reachable("gs://bucket/run", "google-cloud-storage")


def test_paths_on_disk_need_nothing(installed, tmp_path):
    installed()
    files.check_reachable(tmp_path, "google-cloud-storage")
    assert files.path_of(str(tmp_path)) == tmp_path and type(files.path_of("x")) is type(tmp_path)
    files.write_json(tmp_path / "new" / "x.json", {"a": 1})
    assert files.readable(tmp_path / "new" / "x.json").read_text() == '{"a": 1}\n'


def test_bucket_paths_are_those_of_etils():
    path = files.path_of("gs://bucket/labels/real.json")
    assert isinstance(path, epath.Path) and path.name == "real.json"
    assert isinstance(path, pathlib.PurePath)


def test_the_command_line_says_so_in_one_line():
    without = "import sys; sys.modules.update(tensorflow=None, gcsfs=None); "
    code = without + "from real_labels.cli import main; main(sys.argv[1:])"
    arguments = ["score", "x.npz", "--labels", "gs://bucket/real.json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert done.returncode == 1 and "pip install gcsfs" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_error_of_a_bucket_is_one_line_with_the_path():
    kind = type("RefreshError", (Exception,), {"__module__": "google.auth.exceptions"})
    says = r"^gs://x/keep.txt: cannot be read \(no login found\)\.$"
    with pytest.raises(InputError, match=says), naming("gs://x/keep.txt"):
        raise kind("no login\nfound")
    module = "tensorflow.python.framework.errors_impl"
    denied = type("PermissionDeniedError", (Exception,), {"__module__": module})
    with pytest.raises(OSError, match="^no access$"), bucket_errors_as_os_errors():
        raise denied("no\n access")
    mistake = type("InvalidArgumentError", (Exception,), {"__module__": module})
    with pytest.raises(mistake), bucket_errors_as_os_errors():
        raise mistake
    with pytest.raises(ZeroDivisionError), naming("gs://x/keep.txt"):
        _ = 1 / 0


def test_what_fails_leaves_the_old_file(tmp_path):
    def write_half():
        with files.replacing(tmp_path / "x.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half()
    assert (tmp_path / "x.txt").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
