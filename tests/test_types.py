"""The type checker of `make lint` knows the fields of configs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

CODE = """
from big_transfer.config import Config, EvaluationConfig, TrainingConfig


def of_training(config: TrainingConfig) -> int:
    return config.input.batch_size + config.num_classes


def misspelled(config: TrainingConfig) -> int:
    return config.input.bach_size


def still_open(config: Config) -> int:
    return config.num_classes + 1


def of_training_alone(config: EvaluationConfig) -> int:
    return config.input.batch_size + 1
"""


@pytest.mark.long
def test_a_wrong_field_and_a_field_that_may_be_open_are_found(tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    settings = {"typeCheckingMode": "basic", "extraPaths": [str(PROJECT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "basedpyright",
        "-p",
        str(tmp_path),
        "--pythonpath",
        sys.executable,
    ]
    output = subprocess.run([*command, "--outputjson"], capture_output=True, text=True).stdout
    found = {
        (problem["range"]["start"]["line"], problem["rule"])
        for problem in json.loads(output)["generalDiagnostics"]
    }
    assert found == {
        (
            CODE.splitlines().index("    return config.input.bach_size"),
            "reportAttributeAccessIssue",
        ),
        (CODE.splitlines().index("    return config.num_classes + 1"), "reportOptionalOperand"),
        (
            CODE.splitlines().index("    return config.input.batch_size + 1"),
            "reportOptionalOperand",
        ),
    }
