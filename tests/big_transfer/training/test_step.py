import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from big_transfer import checkpoint, losses, resnet, training
from big_transfer.run import sharding
from big_transfer.training import optimizer
from tests.big_transfer.test_resnet import random_params

MODEL = resnet.ResNetV2(depth=(1, 1), width=0.5, num_classes=6)
SEED = 5


def batch(size=16):
    rng = np.random.default_rng(0)
    return {
        "image": rng.uniform(-1, 1, (size, 32, 32, 3)).astype(np.float32),
        "labels": rng.integers(0, 6, (size, 1)).astype(np.int32),
    }


def run(mesh, *, steps=2, strategy="replicated", loss="softmax", mixup=0.0, accumulate=1):
    """The parameters and metrics after some steps on a mesh."""
    tx = optimizer.make_optimizer(lambda _: 0.05, momentum=0.9, weight_decay=1e-3, clip_norm=None)
    state = training.init_state(random_params(MODEL), tx)
    shardings = sharding.state_shardings(state, mesh, strategy)
    state = jax.device_put(state, shardings)
    step = training.make_train_step(
        MODEL,
        tx,
        loss=loss,
        mixup_alpha=mixup,
        accumulate_steps=accumulate,
        seed=SEED,
        mesh=mesh,
        state_shardings=shardings,
    )
    for _ in range(steps):
        state, metrics = step(state, sharding.put_batch(mesh, batch()))
    return state, jax.device_get(metrics)


def mesh_of(count):
    return sharding.make_mesh(jax.devices()[:count])


@pytest.fixture(scope="module")
def alone():
    return run(mesh_of(1), mixup=0.3)


def assert_close(ours, theirs, tolerance=2e-4):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        a, b = np.asarray(a), np.asarray(b)
        assert np.abs(a - b).max() <= tolerance * (np.abs(b).max() + 1e-3)


@pytest.mark.parametrize("strategy", sharding.STRATEGIES)
def test_eight_devices_step_like_one(alone, strategy):
    state, metrics = run(mesh_of(8), strategy=strategy, mixup=0.3)
    assert_close(state["params"], alone[0]["params"])
    assert metrics["loss"] == pytest.approx(alone[1]["loss"], rel=1e-4)
    assert metrics["grad_norm"] == pytest.approx(alone[1]["grad_norm"], rel=1e-3)
    kernel = state["params"]["block2"]["unit01"]["a"]["proj"]["standardized_conv2d"]["kernel"]
    is_split = not kernel.sharding.is_fully_replicated
    assert is_split == (strategy == "fsdp")
    if is_split:
        assert kernel.addressable_shards[0].data.size == kernel.size // 8
        momentum = [
            leaf for leaf in jax.tree.leaves(state["opt_state"]) if leaf.shape == kernel.shape
        ]
        assert momentum
        assert all(not leaf.sharding.is_fully_replicated for leaf in momentum)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("accumulate", [2, 8])
def test_accumulated_micro_batches_step_like_the_batch(alone, devices, accumulate):
    state, metrics = run(mesh_of(devices), mixup=0.3, accumulate=accumulate)
    assert_close(state["params"], alone[0]["params"])
    assert metrics["loss"] == pytest.approx(alone[1]["loss"], rel=1e-4)


@pytest.mark.parametrize("loss", losses.NAMES)
def test_a_step_is_gradient_descent_on_the_mean_loss(loss):
    params, data = random_params(MODEL), batch()

    def mean_loss(p):
        logits = MODEL.apply({"params": p}, data["image"])
        targets = jax.nn.one_hot(data["labels"][:, 0], 6)
        if loss == "softmax":
            return -(targets * jax.nn.log_softmax(logits)).sum(1).mean()
        return (
            -(targets * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits))
            .sum(1)
            .mean()
        )

    value, gradient = jax.value_and_grad(mean_loss)(params)
    state, metrics = run(mesh_of(1), steps=1, loss=loss)
    decay = lambda path: 1e-3 if path[-1].key == "kernel" else 0.0  # noqa: E731
    expected = jax.tree_util.tree_map_with_path(
        lambda path, p, g: p - 0.05 * (g + decay(path) * p), params, gradient
    )
    assert metrics["loss"] == pytest.approx(float(value), rel=1e-5)
    norm = math.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(gradient)))
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-3)
    assert_close(state["params"], expected)
    assert int(state["step"]) == 1


def test_mixup_mixes_images_and_targets_alike():
    images = jnp.arange(4.0)[:, None, None, None] * jnp.ones((4, 2, 2, 3))
    targets = jnp.eye(4)
    mixed, labels = training.mixup(jax.random.key(3), images, targets, 0.4)
    share = float(labels[0, 0])
    assert 0 < share < 1
    for i in range(4):
        partner = (i - 1) % 4
        np.testing.assert_allclose(mixed[i], share * i + (1 - share) * partner, rtol=1e-5)
        assert float(labels[i, partner]) == pytest.approx(1 - share, rel=1e-5)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)


def test_mixups_share_is_beta_distributed():
    import scipy.stats

    shares = [
        float(training.mixup(jax.random.key(i), jnp.zeros((2, 1, 1, 3)), jnp.eye(2), 0.4)[1][0, 0])
        for i in range(400)
    ]
    assert scipy.stats.kstest(shares, scipy.stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_batches_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="a batch of 30 does not split over 8 devices.*24, 32"):
        sharding.check_batch_size(30, mesh_of(8))
    with pytest.raises(ValueError, match="8 devices × 3 micro-batches; .*: 24"):
        sharding.check_batch_size(16, mesh_of(8), accumulate=3)
    sharding.check_batch_size(48, mesh_of(8), accumulate=3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_run_stops_with_step_and_last_checkpoint(tmp_path, value):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(4, {"x": jnp.ones(3)})
    monitor = training.StepMonitor(checkpoints)
    monitor.add(5, {"loss": jnp.float32(1.0), "grad_norm": jnp.float32(1.0)})
    monitor.add(6, {"loss": jnp.float32(value), "grad_norm": jnp.float32(1.0)})
    monitor.add(7, {"loss": jnp.float32(1.0), "grad_norm": jnp.float32(1.0)})
    with pytest.raises(training.TrainingDiverged) as error:
        monitor.finish()
    assert f"loss is {value} at step 6" in str(error.value)
    assert str(tmp_path / "checkpoints" / "4") in str(error.value)
    checkpoints.close()


def test_the_core_imports_no_tensorflow():
    """A GPU machine without TensorFlow must be able to take steps."""
    import subprocess
    import sys

    program = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['clu'] = None; "
        "import big_transfer.training, big_transfer.checkpoint, big_transfer.evaluation"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
