"""The examples in docstrings do what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["config.earlier", "config.writing", "run.spelling"])
def test_examples(module):
    results = doctest.testmod(importlib.import_module(f"big_transfer.{module}"))
    assert results.attempted and not results.failed
