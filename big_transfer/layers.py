"""The operations of BiT as plain functions of arrays: the same values on every platform.

XLA's CPU compiler is slow at some operations of this network. On a CPU, these operations are therefore
computed in another way, with the same values (measured in docs/benchmarks.md):

* a 1×1 convolution is a matrix product,
* a 3×3 convolution of a small image, and the root convolution in training, is a matrix product over
  gathered patches,
* max pooling is a running maximum over nine shifted views, so that its gradient needs no scatter.

On every platform, GroupNorm and the ReLU after it have a custom gradient: statistics are computed per
channel before they are combined per group (so the large array is never reshaped), and only the layer's input
is kept for the backward pass.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

GROUPS = 32
GROUP_NORM_EPSILON = 1e-5
STANDARDIZE_EPSILON = 1e-10

# Up to this many input channels, the kernel gradient of a convolution is cheaper from gathered patches.
_FEW_CHANNELS = 4
# Up to about this many output pixels, a whole convolution is cheaper from gathered patches.
_FEW_PIXELS = 81


@jax.custom_vjp
def standardize(
    kernel: Float[Array, "height width in out"],
) -> Float[Array, "height width in out"]:
    """Weight standardization (Qiao et al. 2019): (w - mean) / sqrt(var + 1e-10) per output channel.

    Mean and (biased) variance are taken over height, width and input channels, in float32.
    """
    return _standardize_forward(kernel)[0]


def _standardize_forward(kernel):
    centred = kernel - jnp.mean(kernel, axis=(0, 1, 2))
    inverse = lax.rsqrt(jnp.mean(jnp.square(centred), axis=(0, 1, 2)) + STANDARDIZE_EPSILON)
    standardized = centred * inverse
    return standardized, (standardized, inverse)


def _standardize_backward(residuals, gradient):
    standardized, inverse = residuals
    mean = jnp.mean(gradient, axis=(0, 1, 2))
    along = jnp.mean(gradient * standardized, axis=(0, 1, 2))
    return (inverse * (gradient - mean - standardized * along),)


standardize.defvjp(_standardize_forward, _standardize_backward)


def conv2d(
    images: Float[Array, "batch height width in"],
    kernel: Float[Array, "kernel_height kernel_width in out"],
    stride: int = 1,
    padding: int = 0,
) -> Float[Array, "batch new_height new_width out"]:
    """Cross-correlation with explicit zero padding on each side, no bias, in the images' dtype."""
    kernel = kernel.astype(images.dtype)
    anywhere = functools.partial(_convolve, stride=stride, padding=padding)
    cpu = _route_on_cpu(images.shape, kernel.shape, stride, padding)
    return (
        anywhere(images, kernel)
        if cpu is None
        else _by_platform(images, kernel, cpu=cpu, default=anywhere)
    )


def _by_platform(*arrays, cpu, default):
    """The result of `cpu` in a program for a CPU, else of `default`.

    What counts is the platform that a program is compiled for, which may differ from this machine's.
    """
    return lax.platform_dependent(*arrays, cpu=cpu, default=default)


def _route_on_cpu(images, kernel, stride, padding):
    """The faster way to compute a convolution of these shapes on a CPU; None if there is none."""
    if kernel[:2] == (1, 1) and padding == 0:
        return lambda x, w: _matrix_product(x[:, ::stride, ::stride], w)
    if kernel[2] <= _FEW_CHANNELS:
        return lambda x, w: _convolve_few_channels(x, w, stride, padding)
    if math.prod((n + 2 * padding) // stride for n in images[1:3]) <= _FEW_PIXELS:
        return lambda x, w: _patch_product(_patches(x, kernel[0], stride, padding), w)
    return None


def _convolve(images, kernel, stride, padding):
    return lax.conv_general_dilated(
        images,
        kernel,
        window_strides=(stride, stride),
        padding=[(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _matrix_product(images, kernel):
    product = images.reshape(-1, images.shape[-1]) @ kernel[0, 0]
    return product.reshape(*images.shape[:-1], kernel.shape[-1])


def _patches(images, size, stride, padding):
    """Every window, flattened in the kernel's order: (batch, new_height, new_width, size · size · in)."""
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = ((extent - size) // stride * stride + 1 for extent in padded.shape[1:3])
    shifted = [padded[:, :, i : i + columns : stride] for i in range(size)]
    window_rows = jnp.concatenate(shifted, axis=-1)
    return jnp.concatenate([window_rows[:, i : i + rows : stride] for i in range(size)], axis=-1)


def _patch_product(patches, kernel):
    product = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return product.reshape(*patches.shape[:-1], kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_few_channels(images, kernel, stride, padding):
    return _convolve(images, kernel, stride, padding)


def _convolve_few_channels_forward(images, kernel, stride, padding):
    # Training needs the patches for the kernel's gradient anyway.
    patches = _patches(images, kernel.shape[0], stride, padding)
    return _patch_product(patches, kernel), (images, kernel, patches)


def _convolve_few_channels_backward(stride, padding, residuals, gradient):
    images, kernel, patches = residuals
    _, images_vjp = jax.vjp(lambda x: _convolve(x, kernel, stride, padding), images)
    _, kernel_vjp = jax.vjp(lambda k: _patch_product(patches, k), kernel)
    return *images_vjp(gradient), *kernel_vjp(gradient)


_convolve_few_channels.defvjp(_convolve_few_channels_forward, _convolve_few_channels_backward)


@jax.custom_vjp
def group_norm_relu(
    x: Float[Array, "batch height width channels"],
    gamma: Float[Array, "channels"],
    beta: Float[Array, "channels"],
) -> Float[Array, "batch height width channels"]:
    """relu(gamma · (x - mean) / sqrt(var + 1e-5) + beta), with 32 groups (Wu & He 2018).

    Mean and biased variance are taken over height, width and the channels of a group. Statistics are
    float32 for every dtype of x; the result has x's dtype.
    """
    return _group_norm_relu_forward(x, gamma, beta)[0]


def _group_mean(per_channel):
    """(batch, channels) -> (batch, channels): the mean over each channel's group."""
    batch, channels = per_channel.shape
    means = jnp.mean(per_channel.reshape(batch, GROUPS, channels // GROUPS), axis=-1)
    return jnp.repeat(means, channels // GROUPS, axis=-1)


def _over_space(per_channel):
    return per_channel[:, None, None, :]


def _group_norm_relu_forward(x, gamma, beta):
    # Two passes, because E[x²] - E[x]² is imprecise if the mean is large.
    x32 = x.astype(jnp.float32)
    mean = _group_mean(jnp.mean(x32, axis=(1, 2)))
    variance = _group_mean(jnp.mean(jnp.square(x32 - _over_space(mean)), axis=(1, 2)))
    inverse = lax.rsqrt(variance + GROUP_NORM_EPSILON)
    normalized = (x32 - _over_space(mean)) * _over_space(inverse * gamma) + beta
    return jax.nn.relu(normalized).astype(x.dtype), (x, mean, inverse, gamma, beta)


def _group_norm_relu_backward(residuals, gradient):
    x, mean, inverse, gamma, beta = residuals
    centred = x.astype(jnp.float32) - _over_space(mean)
    scale = inverse * gamma
    passed = centred * _over_space(scale) + beta > 0
    gradient32 = jnp.where(passed, gradient.astype(jnp.float32), 0)

    # With x̂ the normalized input: d/dx = inverse · (γg - mean(γg) - x̂ · mean(γg · x̂)).
    pixels = x.shape[1] * x.shape[2]
    beta_gradient = jnp.sum(gradient32, axis=(1, 2))
    gamma_gradient = jnp.sum(gradient32 * centred, axis=(1, 2)) * inverse
    shift = inverse * _group_mean(gamma * beta_gradient) / pixels
    slope = jnp.square(inverse) * _group_mean(gamma * gamma_gradient) / pixels
    x_gradient = gradient32 * _over_space(scale) - centred * _over_space(slope) - _over_space(shift)
    return x_gradient.astype(x.dtype), gamma_gradient.sum(axis=0), beta_gradient.sum(axis=0)


group_norm_relu.defvjp(_group_norm_relu_forward, _group_norm_relu_backward)


def max_pool(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch new_height new_width channels"]:
    """3×3 maximum with stride 2 over x padded with one *zero* on each side.

    The published models were trained with zero padding; the usual padding with -inf changes their outputs.
    """
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return _by_platform(padded, cpu=_running_maximum, default=_window_maximum)


def _window_maximum(padded):
    window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
    return lax.reduce_window(padded, -jnp.inf, lax.max, window, strides, "VALID")


def _running_maximum(padded):
    rows, columns = ((extent - 3) // 2 * 2 + 1 for extent in padded.shape[1:3])
    views = [padded[:, i : i + rows : 2, j : j + columns : 2] for i in range(3) for j in range(3)]
    # `where` gives the whole gradient to the first of equal values, like the maximum of a window, and
    # propagates NaN; `jnp.maximum` would split the gradient.
    return functools.reduce(lambda y, v: jnp.where((v > y) | jnp.isnan(v), v, y), views)
