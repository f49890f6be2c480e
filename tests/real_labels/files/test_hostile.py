"""Files that claim too much, are no files, or hold commands to a terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from real_labels import Predictions
from real_labels.errors import InputError, printable
from real_labels.files import npz
from real_labels.predictions import reading
from tests.conftest import PROJECT


def claiming(array: np.ndarray, shape: tuple[int, ...]) -> bytes:
    """The `.npy` of an array whose header claims another shape."""
    stream = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (4,), (2,)])
def test_a_header_that_claims_another_size_is_refused_before_memory_is_taken(tmp_path, shape):
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("file_names.npy", claiming(np.array(["a", "b", "c"]), (3,)))
        archive.writestr("classes.npy", claiming(np.arange(3), shape))
    tracemalloc.start()
    try:
        with (
            npz.opened(tmp_path / "p.npz") as archive,
            pytest.raises(InputError, match="the header of classes"),
        ):
            archive["classes"]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(InputError, match=r"p\.npz: "):
        Predictions.load(tmp_path / "p.npz")
    with pytest.raises(InputError, match=r"p\.npz: "):
        reading.read(tmp_path / "p.npz")


def test_an_array_that_grows_too_far_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "p.npz", classes=np.zeros(1_000_000, np.int64))
    monkeypatch.setattr(npz, "_MOST_BYTES", 1_000_000)
    with (
        npz.opened(tmp_path / "p.npz") as archive,
        pytest.raises(InputError, match="grows from .* to 8,000,000"),
    ):
        archive["classes"]
    np.savez(tmp_path / "p.npz", classes=np.zeros(1_000_000, np.int64))
    with npz.opened(tmp_path / "p.npz") as archive:
        assert len(archive["classes"]) == 1_000_000


def test_an_encrypted_member_and_an_unknown_compression_are_one_line(tmp_path):
    np.savez(tmp_path / "p.npz", classes=np.arange(3))
    content = bytearray((tmp_path / "p.npz").read_bytes())
    local, central = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    for offset, value in ((6, 1), (8, 97)):  # flags: encrypted; compression: WavPack
        damaged = bytearray(content)
        damaged[local + offset], damaged[central + offset + 2] = value, value
        (tmp_path / "q.npz").write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"q\.npz: is not a \.npz file, or is cut short"
        ) as error:
            reading.read(tmp_path / "q.npz")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["p.csv", "p.json", "p.jsonl", "p.npz", "p.npy", "p.parquet", "p.csv.gz"]
)
def test_a_pipe_is_refused_and_does_not_block(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe or a device; expected a regular file"):
        reading.read(tmp_path / name)


@pytest.mark.parametrize("depth", [900, 20_000, 300_000])
@pytest.mark.parametrize("name", ["p.json", "p.jsonl"])
def test_deeply_nested_json_is_one_line(tmp_path, name, depth):
    for begin, end in (("[", "]"), ('{"a":', "}")):
        text = '{"file_name": "a.jpg", "label": ' + begin * depth + "1" + end * depth + "}\n"
        (tmp_path / name).write_text(text)
        with pytest.raises(
            InputError, match=r"p\.jsonl?: (line 1 |row |holds JSON, but no table|is not JSON)"
        ):
            reading.read(tmp_path / name)


def test_control_characters_are_shown_and_not_sent():
    assert printable("a\x1b[2Jb\x07\x9b1m\nc\td") == "a\\x1b[2Jb\\x07\\x9b1m\nc\td"
    assert (
        printable("Zoë ✓ 犬\u3000猫 5\xa0000") == "Zoë ✓ 犬\u3000猫 5\xa0000"
    )  # spaces of other kinds stay
    assert printable("gpj.\u202eexe") == "gpj.\\u202eexe" and printable("\udc80") == "\\udc80"
    assert str(InputError("x\x1b[31m")) == "x\\x1b[31m"


def test_the_name_of_a_file_cannot_command_the_terminal(tmp_path):
    name = "evil\x1b[2J\x1b]0;title\x07.csv"
    (tmp_path / name).write_text("file_name,label\na.jpg,1\nb.jpg,2\n")
    (tmp_path / "original.json").write_text('{"a.jpg": [1], "b.jpg": [1]}')
    for path, code in ((name, 0), ("missing\x1b[2J.csv", 1)):
        command = [sys.executable, "-m", "real_labels", "score", str(tmp_path / path), "--labels"]
        command += [str(tmp_path / "original.json"), "--original", str(tmp_path / "original.json")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
        assert done.returncode == code, done.stderr
        assert "\\x1b[2J" in done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout + done.stderr
