import jax.numpy as jnp
import numpy as np
import optax
import pytest

from big_transfer.training import optimizer


def test_the_upstream_schedule():
    """Written out for BiT-S: batch 4096, 5,000 steps of warm-up, ×0.1 at epochs 30, 60, 80."""
    peak = optimizer.learning_rate(0.03, 4096)
    assert peak == pytest.approx(0.48)
    per_epoch = 1_281_167 / 4096
    decays = [round(epoch * per_epoch) for epoch in (30, 60, 80)]
    rate = optimizer.step_schedule(peak, 5000, decays)
    expected = {
        0: 0.0,
        1: 0.48 / 5000,
        2500: 0.24,
        4999: 0.48 * 4999 / 5000,
        5000: 0.48,
        decays[0] - 1: 0.48,
        decays[0]: 0.048,
        decays[1] - 1: 0.048,
        decays[1]: 0.0048,
        decays[2]: 0.00048,
        10**6: 0.00048,
    }
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, rel=1e-5), step


def test_no_warm_up_begins_at_the_peak():
    assert float(optimizer.step_schedule(0.1, 0, [])(0)) == pytest.approx(0.1)


def test_the_cosine_schedule():
    rate = optimizer.cosine_schedule(0.2, 10, 110)
    for step in (0, 5, 10, 35, 60, 110):
        expected = 0.2 * step / 10 if step < 10 else 0.1 * (1 + np.cos(np.pi * (step - 10) / 100))
        assert float(rate(step)) == pytest.approx(expected, abs=1e-7)


def test_the_update_is_momentum_with_decay_on_kernels_alone():
    rng = np.random.default_rng(0)
    params = {"conv": {"kernel": rng.normal(size=(3, 2))}, "norm": {"gamma": rng.normal(size=3)}}
    tx = optimizer.make_optimizer(
        lambda step: 0.1 / (step + 1), momentum=0.9, weight_decay=0.01, clip_norm=None
    )
    w, g = params["conv"]["kernel"].copy(), params["norm"]["gamma"].copy()
    v_w, v_g = np.zeros_like(w), np.zeros_like(g)
    state = tx.init(params)
    for step in range(4):
        gradient = {
            "conv": {"kernel": rng.normal(size=(3, 2))},
            "norm": {"gamma": rng.normal(size=3)},
        }
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        rate = 0.1 / (step + 1)
        v_w = 0.9 * v_w + gradient["conv"]["kernel"] + 0.01 * w
        v_g = 0.9 * v_g + gradient["norm"]["gamma"]
        w, g = w - rate * v_w, g - rate * v_g
        np.testing.assert_allclose(params["conv"]["kernel"], w, rtol=1e-5)
        np.testing.assert_allclose(params["norm"]["gamma"], g, rtol=1e-5)


def test_gradients_are_clipped_by_their_global_norm():
    tx = optimizer.make_optimizer(lambda _: 1.0, momentum=0.0, weight_decay=0.0, clip_norm=1.0)
    params = {"a": {"kernel": jnp.zeros(2)}, "b": {"bias": jnp.zeros(1)}}
    gradient = {"a": {"kernel": jnp.array([3.0, 0.0])}, "b": {"bias": jnp.array([4.0])}}
    updates, _ = tx.update(gradient, tx.init(params), params)
    np.testing.assert_allclose(updates["a"]["kernel"], [-0.6, 0], atol=1e-6)
    np.testing.assert_allclose(updates["b"]["bias"], [-0.8], atol=1e-6)
