"""ResNetV2: BiT's function from images to logits (Kolesnikov et al. 2019, arXiv 1912.11370).

A pre-activation bottleneck ResNet with GroupNorm and weight standardization. The parameter tree is
the public checkpoints' layout below `resnet/`, name for name and shape for shape:

    root_block/standardized_conv2d/kernel                 (7, 7, 3, w)          w = 64 · width
    block{1-4}/unit{01…}/{a,b,c}/group_norm/{gamma,beta}  (channels,)
    block{1-4}/unit{01…}/{a,b,c}/standardized_conv2d/kernel
    block{1-4}/unit{01…}/a/proj/standardized_conv2d/kernel
    group_norm/{gamma,beta}                               (32 · w,)
    head/conv2d/{kernel,bias}                             (1, 1, 32 · w, classes), (classes,)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from big_transfer import layers

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_kernel_init = nn.initializers.lecun_normal()


def units_per_stage(depth: int | Sequence[int]) -> tuple[int, ...]:
    """The number of units in each stage: from the table for depth 50, 101 and 152, else `depth` itself.

    Raises:
      ValueError: for an unknown depth, or units that are not whole numbers of at least 1.
    """
    if isinstance(depth, int):
        if depth not in UNITS:
            raise ValueError(
                f"depth must be one of {', '.join(map(str, UNITS))} or the units of each stage, "
                f"such as (3, 4, 6, 3); found {depth}."
            )
        return UNITS[depth]
    units = tuple(depth)
    if not units or not all(isinstance(n, int) and n >= 1 for n in units):
        raise ValueError(f"depth must give each stage at least one unit, found {units}.")
    return units


def depth_of(units: tuple[int, ...]) -> int | tuple[int, ...]:
    """The depth (50, 101 or 152) of a model with these units per stage; the units if no depth has them."""
    return next((depth for depth, stages in UNITS.items() if stages == units), units)


def root_channels(width: float) -> int:
    """Channels of the root block, 64 · width; every layer has a multiple of this number.

    Raises:
      ValueError: if the channels do not divide into GroupNorm's 32 groups.
    """
    channels = 64 * width
    if channels < layers.GROUPS or channels % layers.GROUPS:
        raise ValueError(
            f"width must be a positive multiple of {layers.GROUPS / 64} (64 · width channels go "
            f"into {layers.GROUPS} groups), found {width}."
        )
    return int(channels)


class StandardizedConv(nn.Module):
    """A convolution with weight standardization of its kernel (see `layers.standardize`)."""

    features: int
    size: int = 1
    stride: int = 1
    padding: int = 0
    standardized: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", _kernel_init, shape, jnp.float32)
        if not self.standardized:
            kernel = layers.standardize(kernel)
        return layers.conv2d(x, kernel, self.stride, self.padding)


class GroupNormReLU(nn.Module):
    """GroupNorm with scale gamma and bias beta, then ReLU (see `layers.group_norm_relu`)."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        gamma = self.param("gamma", nn.initializers.ones, x.shape[-1:], jnp.float32)
        beta = self.param("beta", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        return layers.group_norm_relu(x, gamma, beta)


class _Branch(nn.Module):
    """Part `a`, `b` or `c` of a unit: GroupNorm, ReLU, convolution; part `a` may also have a projection.

    This module exists because the public layout stores the projection inside the first part, as `a/proj`.
    """

    features: int
    size: int = 1
    stride: int = 1
    projection: tuple[int, int] | None = None  # (features, stride)
    standardized: bool = False

    @nn.compact
    def __call__(self, x):
        activated = GroupNormReLU(name="group_norm")(x)
        padding = (self.size - 1) // 2
        conv = StandardizedConv(
            self.features,
            self.size,
            self.stride,
            padding,
            self.standardized,
            name="standardized_conv2d",
        )
        if self.projection is None:
            return conv(activated)
        return conv(activated), _Projection(*self.projection, self.standardized, name="proj")(
            activated
        )


class _Projection(nn.Module):
    features: int
    stride: int
    standardized: bool

    @nn.compact
    def __call__(self, x):
        return StandardizedConv(
            self.features,
            stride=self.stride,
            standardized=self.standardized,
            name="standardized_conv2d",
        )(x)


class BottleneckUnit(nn.Module):
    """x + c(b(a(x))): 1×1 to `mid` channels, 3×3 (with the stride), 1×1 to 4 · mid.

    If the stride or the number of channels changes, the shortcut x is a 1×1 projection of the *activated*
    input.
    """

    mid: int
    stride: int = 1
    standardized: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 out"]:
        out = 4 * self.mid
        shortcut: Any = x
        y: Any
        if self.stride != 1 or x.shape[-1] != out:
            first = _Branch(
                self.mid,
                projection=(out, self.stride),
                standardized=self.standardized,
                name="a",
            )
            y, shortcut = first(x)
        else:
            y = _Branch(self.mid, standardized=self.standardized, name="a")(x)
        y = _Branch(self.mid, 3, self.stride, standardized=self.standardized, name="b")(y)
        return _Branch(out, standardized=self.standardized, name="c")(y) + shortcut


class _RootBlock(nn.Module):
    features: int
    standardized: bool

    @nn.compact
    def __call__(self, x):
        x = StandardizedConv(self.features, 7, 2, 3, self.standardized, name="standardized_conv2d")(
            x
        )
        return layers.max_pool(x)


class _Stage(nn.Module):
    units: int
    mid: int
    stride: int
    remat: bool
    standardized: bool

    @nn.compact
    def __call__(self, x):
        unit = nn.remat(BottleneckUnit) if self.remat else BottleneckUnit
        for i in range(self.units):
            x = unit(
                self.mid,
                self.stride if i == 0 else 1,
                self.standardized,
                name=f"unit{i + 1:02d}",
            )(x)
        return x


class _Head(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x):
        return _Conv1x1(self.num_classes, name="conv2d")(x)


class _Conv1x1(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.zeros, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return x @ kernel[0, 0] + bias


class ResNetV2(nn.Module):
    """BiT's ResNet-v2: `model.apply({"params": params}, images)` gives the logits.

    Attributes:
      depth: 50, 101, 152, or the number of units of each stage, such as (3, 4, 6, 3).
      width: width factor, a multiple of ½ (the family has 1, 2, 3, 4).
      num_classes: width of the head, which starts at zero; None: no head, the model returns pooled features.
      dtype: dtype of the activations, float32 or bfloat16; parameters, statistics, pooled features and
        logits are always float32.
      remat: keep only the units' inputs for the backward pass and compute the other activations again: less
        memory, about a third more arithmetic.
      standardized: whether the kernels are standardized already (see `standardize_kernels`).
    """

    depth: int | Sequence[int] = 50
    width: float = 1
    num_classes: int | None = 1000
    dtype: Any = jnp.float32
    remat: bool = False
    standardized: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch num_classes"]:
        """Logits (or features) of images in [-1, 1], of any height and width."""
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(
                f"images must have shape (batch, height, width, 3), found {images.shape}."
            )
        channels = root_channels(self.width)
        x = images.astype(self.dtype)
        x = _RootBlock(channels, self.standardized, name="root_block")(x)
        for i, units in enumerate(units_per_stage(self.depth)):
            x = _Stage(
                units,
                mid=channels * 2**i,
                stride=1 if i == 0 else 2,
                remat=self.remat,
                standardized=self.standardized,
                name=f"block{i + 1}",
            )(x)
        x = GroupNormReLU(name="group_norm")(x)
        features = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        if self.num_classes is None:
            return features
        return _Head(self.num_classes, name="head")(features)


def init_params(model: ResNetV2, rng: Array) -> dict:
    """Fresh float32 parameters: lecun-normal kernels, unit GroupNorm, head at zero."""
    # The shapes of the parameters do not depend on the image size.
    return dict(model.init(rng, jnp.zeros((1, 32, 32, 3)))["params"])


def standardize_kernels(params: dict, dtype: Any = jnp.float32) -> dict:
    """Parameters with standardized kernels, for `ResNetV2(…, standardized=True)`.

    The logits stay the same; evaluation and serving standardize the kernels once, not at every call.

    Args:
      params: parameters of the model.
      dtype: the model's dtype; the standardized kernels get this dtype.
    """

    def convert(path, leaf):
        names = [key.key for key in path]
        if names[-2] != "standardized_conv2d":
            return leaf
        return layers.standardize(leaf).astype(dtype)

    return jax.tree_util.tree_map_with_path(convert, params)
