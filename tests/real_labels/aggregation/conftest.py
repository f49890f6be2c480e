"""The published raw answers, read once."""

from __future__ import annotations

import pytest

from real_labels.aggregation import recipe


@pytest.fixture(scope="session")
def raw_answers(published):
    return recipe.raw_answers(published)
