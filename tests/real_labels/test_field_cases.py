"""Users' inputs that once failed, with the commands that users would run (../shared/cases)."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

CASES = PROJECT.parent / "shared" / "cases"
RIGHT = ("79.75% [75.54, 83.40]", "77.01% [72.48, 80.98]")
# Case: ({text in its output: least number of times}, texts that are not in its output).
EXPECTED = {
    "01": ({"79.75%": 1, "89.00%": 1, "83.96%": 1}, ()),
    "02": ({"79.75%": 1, "77.01%": 1, "–": 1}, ()),
    "14": ({"67.00%": 1}, ()),
    "16": ({"rsplit": 1}, ()),
    "17": ({'--columns "file_name=INPUT:image,label=INPUT:label,rater=ASSIGNMENT:worker_id,answer=': 1}, ()),
    "20": ({"480 answers": 1, "of 6 raters": 1}, ()),
    "22": ({"2 empty answers are left out": 1, "718 answers": 1}, ()),
    "28": ({"41 labels on 27 of 40 images": 2, "of 6 raters": 2}, ("of 12 raters",)),
    "29": ({"all 50 images": 1}, ("are of no image",)),
    "30": ({"101244200010345": 12, " 007 ": 2, " 012 ": 2, " 1E3 ": 1}, ("e+19", "Error")),
    "32": ({RIGHT[0]: 5, RIGHT[1]: 5}, ()),
    "36": ({RIGHT[0]: 4, "Windows-1251": 1}, ()),
    "37": ({RIGHT[0]: 2, RIGHT[1]: 2}, ()),
    "38": ({RIGHT[0]: 3, "never loaded": 3, "may be the predictions: arr_0, arr_1": 1}, ("100.00%",)),
    "41": ({"91.00%": 4, "100.00% [98.12, 100.00]": 2}, (" 9.00%", "33.00%")),
    "42": ({"77.25%": 1, "so the best 5 are not known": 1, "Every image is predicted as class 0": 1}, ()),
    "44": ({"ascending": 2, "79.75% [75.54, 83.40] of the top-1 predictions": 1, "89.00%": 1}, ()),
    "45": ({RIGHT[0]: 1, "71.00%": 3}, ("99.25%", "99.00%")),
    "46": ({RIGHT[0]: 1, "75.00%": 1}, ("0.25%",)),
    "48": ({"are names": 3, "--class-names": 3}, ("99.50%",)),
    "60": ({"79.75%": 9, "Windows-1252": 1, "is not a .json file": 1}, ()),
    "65": ({RIGHT[0]: 3, "55.50%": 2}, ("99.50%", "99.00%")),
    "66": ({RIGHT[0]: 4, RIGHT[1]: 4}, ("have no original label", "are about other images")),
}  # fmt: skip


def cases():
    if not CASES.exists():
        return []
    return sorted(path for path in CASES.iterdir() if path.is_dir())


@pytest.mark.skipif(
    not CASES.exists(), reason="the cases are not on this machine (../shared/cases)"
)
def test_every_case_has_an_expectation():
    assert {path.name[:2] for path in cases()} == set(EXPECTED)


@pytest.mark.parametrize("case", cases(), ids=lambda path: path.name)
def test_a_case_gives_what_is_right_or_a_refusal(case: pathlib.Path, published, tmp_path):
    environment = os.environ | {
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "REAL_LABELS_DIR": str(published),
        "COLUMNS": "400",
        "D": str(case),
        "T": str(tmp_path),
    }
    done = subprocess.run(
        ["bash", case / "command"],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = " ".join(done.stdout.split())
    assert "Traceback" not in output
    has, lacks = EXPECTED[case.name[:2]]
    for text, times in has.items():
        assert output.count(text) >= times, (text, done.stdout)
    for text in lacks:
        assert text not in output, (text, done.stdout)
