import jax
import jax.numpy as jnp
import numpy as np
import pytest

from big_transfer import layers, resnet
from tests.big_transfer import reference


def random_params(model, seed=0):
    """Random parameters without symmetries: kernels and head away from 0, GroupNorm away from (1, 0)."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))
    return jax.tree.map(
        lambda s: (0.3 + 0.5 * rng.standard_normal(s.shape)).astype(np.float32), shapes
    )


def public(params):
    import flax.traverse_util

    flat = flax.traverse_util.flatten_dict(params, sep="/")
    return {f"resnet/{name}": np.asarray(array) for name, array in flat.items()}


@pytest.fixture(params=["as on a CPU", "as elsewhere"])
def route(request, monkeypatch):
    """Tests both implementations of the layers on every machine."""
    is_cpu = request.param == "as on a CPU"

    def by_platform(*arrays, cpu, default):
        return cpu(*arrays) if is_cpu else default(*arrays)

    monkeypatch.setattr(layers, "_by_platform", by_platform)


def test_routes_follow_the_platform_that_a_program_is_compiled_for():
    """Not that of the machine that compiles."""
    model = resnet.ResNetV2(depth=(1, 1), width=0.5, num_classes=5)
    params = random_params(model)
    traced = jax.jit(model.apply).trace({"params": params}, jnp.zeros((1, 40, 40, 3)))
    cpu, tpu = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "tpu"))
    kernels = sum(array.ndim == 4 for array in jax.tree.leaves(params)) - 1  # the head is a product
    assert tpu.count("stablehlo.convolution") == kernels > cpu.count("stablehlo.convolution")
    assert "stablehlo.reduce_window" in tpu and "stablehlo.reduce_window" not in cpu


CASES = [
    (dict(depth=(1, 1, 1, 1), width=0.5), (2, 64, 64, 3)),
    (dict(depth=(2, 1), width=1), (1, 37, 50, 3)),  # odd sizes, two stages
    (dict(depth=(1, 2, 1), width=0.5), (1, 97, 33, 3)),
    (dict(depth=(1,), width=1.5), (2, 21, 20, 3)),
]


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize(("fields", "shape"), CASES)
def test_the_function_is_bits(fields, shape):
    model = resnet.ResNetV2(**fields, num_classes=5)
    params = random_params(model)
    images = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    expected = reference.resnet(public(params), images)
    found = np.asarray(model.apply({"params": params}, images))
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5


def test_the_padding_of_the_pool_is_zero():
    """All inputs are negative: with the usual -inf padding, the border of the output would be negative."""
    x = -np.ones((1, 5, 6, 32), np.float32)
    pooled = np.asarray(layers.max_pool(x))
    np.testing.assert_array_equal(pooled, reference.max_pool(x))
    assert pooled[0, 0, 0, 0] == 0 and pooled[0, 1, 1, 0] == -1


def test_r50x1_has_the_published_number_of_parameters():
    shapes = jax.eval_shape(lambda: resnet.init_params(resnet.ResNetV2(), jax.random.key(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 25_549_352


def test_fresh_head_is_zero_and_logits_are_its_bias():
    model = resnet.ResNetV2(depth=(1, 1), width=0.5, num_classes=3)
    params = resnet.init_params(model, jax.random.key(0))
    assert not params["head"]["conv2d"]["kernel"].any()
    np.testing.assert_array_equal(model.apply({"params": params}, jnp.ones((2, 32, 32, 3))), 0)


def gradients(function, *args):
    return jax.grad(lambda *a: jnp.sum(jnp.sin(function(*a))), argnums=tuple(range(len(args))))(
        *args
    )


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [
        ((2, 13, 12, 3), (7, 7, 3, 8), 2, 3),  # root
        ((2, 30, 31, 8), (3, 3, 8, 6), 1, 1),  # many pixels
        ((2, 30, 31, 8), (3, 3, 8, 6), 2, 1),
        ((2, 5, 4, 8), (3, 3, 8, 6), 1, 1),  # few pixels
        ((2, 5, 4, 8), (3, 3, 8, 6), 2, 1),
        ((2, 1, 1, 8), (3, 3, 8, 6), 2, 1),
        ((2, 7, 6, 8), (1, 1, 8, 6), 1, 0),
        ((2, 7, 6, 8), (1, 1, 8, 6), 2, 0),
    ],
)
def test_convolution_and_its_gradient(shape, kernel, stride, padding):
    x, w = normal(*shape), normal(*kernel, seed=1)

    def plain(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (stride,) * 2, [(padding,) * 2] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    found = layers.conv2d(x, w, stride, padding)
    np.testing.assert_allclose(found, plain(x, w), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        found, reference.convolve(x, w, stride, padding), rtol=1e-4, atol=1e-4
    )
    ours = gradients(lambda x, w: layers.conv2d(x, w, stride, padding), x, w)
    for found, expected in zip(ours, gradients(plain, x, w)):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_group_norm_relu_and_its_gradient():
    x, gamma, beta = normal(2, 3, 4, 64) + 2, normal(64, seed=1), normal(64, seed=2)

    def plain(x, gamma, beta):
        groups = x.reshape(2, 3, 4, 32, 2)
        centred = groups - groups.mean((1, 2, 4), keepdims=True)
        normalized = centred / jnp.sqrt((centred**2).mean((1, 2, 4), keepdims=True) + 1e-5)
        return jax.nn.relu(normalized.reshape(x.shape) * gamma + beta)

    np.testing.assert_allclose(
        layers.group_norm_relu(x, gamma, beta),
        reference.group_norm_relu(x.astype(np.float64), gamma, beta),
        rtol=1e-4,
        atol=1e-5,
    )
    ours, theirs = (gradients(f, x, gamma, beta) for f in (layers.group_norm_relu, plain))
    for found, expected in zip(ours, theirs):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_group_norm_keeps_its_digits_far_from_zero():
    x = normal(1, 4, 4, 32) + 1000
    found = layers.group_norm_relu(x, np.ones(32, np.float32), np.zeros(32, np.float32))
    expected = reference.group_norm_relu(x.astype(np.float64), 1.0, 0.0)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_standardize_and_its_gradient():
    kernel = normal(3, 3, 4, 5) + 1

    def plain(w):
        w = w - w.mean((0, 1, 2))
        return w / jnp.sqrt((w**2).mean((0, 1, 2)) + 1e-10)

    np.testing.assert_allclose(
        layers.standardize(kernel), reference.standardize(kernel), rtol=1e-5, atol=1e-6
    )
    found, expected = gradients(layers.standardize, kernel), gradients(plain, kernel)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("route")
def test_the_pools_gradient_goes_to_the_first_of_equal_values():
    x = np.zeros((1, 6, 7, 32), np.float32) + 3  # every window is a tie
    ours = gradients(layers.max_pool, x)[0]
    padded = np.pad(np.ones((6, 7)), 1) * 3
    expected = np.zeros((8, 9))
    for i in range(3):
        for j in range(4):
            window = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            row, column = np.unravel_index(window.argmax(), (3, 3))
            expected[2 * i + row, 2 * j + column] += np.cos(3)
    np.testing.assert_allclose(ours[0, :, :, 0], expected[1:-1, 1:-1], rtol=1e-5)


@pytest.mark.usefixtures("route")
def test_the_pool_lets_nan_through():
    x = np.ones((1, 4, 4, 32), np.float32)
    x[0, 2, 2] = np.nan
    assert np.isnan(layers.max_pool(x)).any()


def loss_and_gradient(model, params, images):
    return jax.jit(
        jax.value_and_grad(lambda p: jnp.mean(jnp.square(model.apply({"params": p}, images))))
    )(params)


def test_rematerialization_changes_memory_not_values():
    model = resnet.ResNetV2(depth=(2, 1), width=0.5, num_classes=4)
    params, images = random_params(model), normal(2, 32, 32, 3)
    value, gradient = loss_and_gradient(model, params, images)
    again, gradient_again = loss_and_gradient(model.clone(remat=True), params, images)
    np.testing.assert_allclose(value, again, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(gradient_again)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(a).max())
    jaxpr = str(
        jax.make_jaxpr(lambda p: model.clone(remat=True).apply({"params": p}, images))(params)
    )
    assert "remat" in jaxpr or "checkpoint" in jaxpr


def test_bfloat16_computes_in_it_and_keeps_float32_where_promised():
    model = resnet.ResNetV2(depth=(1, 1), width=0.5, num_classes=4, dtype=jnp.bfloat16)
    params = random_params(model)
    images = normal(2, 40, 40, 3)
    logits = model.apply({"params": params}, images)
    assert logits.dtype == jnp.float32
    exact = model.clone(dtype=jnp.float32).apply({"params": params}, images)
    error = np.linalg.norm(logits - exact) / np.linalg.norm(exact)
    assert 1e-6 < error < 2e-2
    _, gradient = loss_and_gradient(model, params, images)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    jaxpr = str(jax.make_jaxpr(lambda p: model.apply({"params": p}, images))(params))
    assert "bf16" in jaxpr


def test_kernels_standardized_once_give_the_same_logits():
    model = resnet.ResNetV2(depth=(1, 1), width=0.5, num_classes=4)
    params, images = random_params(model), normal(2, 32, 32, 3)
    once = model.clone(standardized=True)
    found = once.apply({"params": resnet.standardize_kernels(params)}, images)
    np.testing.assert_allclose(found, model.apply({"params": params}, images), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (dict(depth=34), "50, 101, 152"),
        (dict(depth=(1, 0)), "at least one unit"),
        (dict(depth=()), "at least one unit"),
        (dict(width=0.75), "multiple of 0.5"),
        (dict(width=0), "multiple of 0.5"),
    ],
)
def test_impossible_models_are_refused(fields, complaint):
    model = resnet.ResNetV2(**fields)
    with pytest.raises(ValueError, match=complaint):
        jax.eval_shape(lambda: resnet.init_params(model, jax.random.key(0)))


def test_wrong_images_are_refused():
    model = resnet.ResNetV2(depth=(1,), width=0.5)
    with pytest.raises(ValueError, match=r"found \(2, 32, 32, 1\)"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((2, 32, 32, 1))))
