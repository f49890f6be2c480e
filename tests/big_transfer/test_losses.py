import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from big_transfer import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (7, 5)).astype(np.float32)
TARGETS = RNG.uniform(0, 1, (7, 5)).astype(np.float32)


def test_softmax_is_scipys():
    expected = -(TARGETS * scipy.special.log_softmax(LOGITS.astype(np.float64), axis=1)).sum(1)
    np.testing.assert_allclose(
        losses.cross_entropy("softmax", LOGITS, TARGETS), expected, rtol=1e-5
    )


def test_sigmoid_is_the_sum_of_binary_cross_entropies():
    p = scipy.special.expit(LOGITS.astype(np.float64))
    expected = -(TARGETS * np.log(p) + (1 - TARGETS) * np.log1p(-p)).sum(1)
    np.testing.assert_allclose(
        losses.cross_entropy("sigmoid", LOGITS, TARGETS), expected, rtol=1e-5
    )


@pytest.mark.parametrize("name", losses.NAMES)
def test_gradients_are_the_finite_differences(name):
    def total(logits):
        return float(losses.cross_entropy(name, jnp.asarray(logits, jnp.float32), TARGETS).sum())

    gradient = jax.grad(lambda z: losses.cross_entropy(name, z, TARGETS).sum())(LOGITS)
    for i, j in ((0, 0), (3, 2), (6, 4)):
        step = np.zeros_like(LOGITS)
        step[i, j] = 1e-2
        slope = (total(LOGITS + step) - total(LOGITS - step)) / 2e-2
        assert float(gradient[i, j]) == pytest.approx(slope, abs=5e-3)


@pytest.mark.parametrize("name", losses.NAMES)
def test_extreme_logits_stay_finite(name):
    logits = jnp.array([[1e4, -1e4, 0.0]])
    assert jnp.isfinite(losses.cross_entropy(name, logits, jnp.array([[0.0, 1.0, 0.0]]))).all()


@given(st.lists(st.lists(st.integers(0, 8), max_size=4), min_size=1, max_size=5))
def test_label_vectors_are_the_sets(lists):
    padded = np.array([row + [-1] * (4 - len(row)) for row in lists], np.int32)
    vectors = np.asarray(losses.label_vectors(padded, 9))
    assert [set(np.flatnonzero(row)) for row in vectors] == [set(row) for row in lists]
    assert set(np.unique(vectors)) <= {0.0, 1.0}


def test_probabilities():
    np.testing.assert_allclose(losses.probabilities("softmax", LOGITS).sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        losses.probabilities("sigmoid", LOGITS), scipy.special.expit(LOGITS), rtol=1e-5
    )


def test_unknown_losses_are_refused():
    with pytest.raises(ValueError, match="softmax, sigmoid, found 'hinge'"):
        losses.cross_entropy("hinge", LOGITS, TARGETS)


@pytest.mark.parametrize("max_labels", [1, 3])
def test_targets_are_the_classes_or_equal_shares_for_them(max_labels):
    labels = np.array([[2, 0, 4], [1, -1, -1], [-1, -1, -1]])[:, :max_labels]
    classes = [set(row) - {-1} for row in labels.tolist()]
    expected = np.array([[float(c in of) for c in range(5)] for of in classes])
    np.testing.assert_array_equal(losses.targets("sigmoid", labels, 5), expected)
    share = expected / np.maximum(expected.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(losses.targets("softmax", labels, 5), share, rtol=1e-6)


def test_with_a_head_at_the_log_odds_of_the_shares_sigmoid_begins_at_its_entropy():
    """With a head at zero, the loss would start at 10 · log 2 for any shares of the classes."""
    targets = losses.targets("sigmoid", np.array([[3]]), 10)
    p = 0.1
    entropy = -10 * (p * np.log(p) + (1 - p) * np.log(1 - p))
    begins = losses.cross_entropy(
        "sigmoid", np.full((1, 10), np.log(p / (1 - p)), np.float32), targets
    )
    np.testing.assert_allclose(begins, entropy, rtol=1e-6)
