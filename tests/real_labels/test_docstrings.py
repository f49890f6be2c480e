"""The examples in the docstrings run and print the results that they show."""

import doctest
import importlib
import inspect
import pathlib
import re

import pytest

import real_labels
from real_labels import aggregation, answers

ROOT = pathlib.Path(real_labels.__file__).parent
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in sorted(ROOT.rglob("*.py"))
    if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted and not results.failed


@pytest.mark.parametrize(
    "documented",
    [
        answers.Answers,
        answers.Gold,
        answers.Questions,
        answers.Scores,
        aggregation.Aggregate,
        aggregation.PseudoRater,
        aggregation.dawid_skene,
        aggregation.gold_calibrated,
        aggregation.majority,
    ],
)
def test_main_objects_have_an_example(documented):
    assert doctest.DocTestParser().get_examples(inspect.getdoc(documented))
