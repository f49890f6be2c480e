"""Bootstrap intervals against the normal approximation."""

from __future__ import annotations

import numpy as np
from scipy import stats

from real_labels.intervals import bootstrap_means


def test_bootstrap_of_means_is_the_normal_one_for_many_images():
    rng = np.random.default_rng(0)
    values = rng.choice([0, 0.2, 0.6, 1], (4_000, 2), p=[0.4, 0.3, 0.2, 0.1])
    drawn = bootstrap_means(values, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), values.mean(axis=0), atol=5e-4)
    np.testing.assert_allclose(drawn.std(axis=0), stats.sem(values), rtol=0.06)
    np.testing.assert_array_equal(drawn, bootstrap_means(values, seed=1))
