"""A second implementation of BiT's network, in float64 NumPy and SciPy, from the paper's description."""

from __future__ import annotations

import numpy as np
import scipy.signal


def standardize(kernel):
    mean = kernel.mean(axis=(0, 1, 2), keepdims=True)
    variance = ((kernel - mean) ** 2).mean(axis=(0, 1, 2), keepdims=True)
    return (kernel - mean) / np.sqrt(variance + 1e-10)


def convolve(images, kernel, stride, padding):
    """Full correlation of every pair of channels by SciPy, then striding."""
    images = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    out = []
    for image in images:
        maps = [
            sum(
                scipy.signal.correlate2d(image[:, :, i], kernel[:, :, i, o], mode="valid")
                for i in range(kernel.shape[2])
            )
            for o in range(kernel.shape[3])
        ]
        out.append(np.stack(maps, axis=-1)[::stride, ::stride])
    return np.stack(out)


def pointwise(images, kernel, stride):
    return np.einsum("nhwi,io->nhwo", images[:, ::stride, ::stride], kernel[0, 0])


def group_norm_relu(x, gamma, beta):
    out = np.empty_like(x)
    size = x.shape[-1] // 32
    for n in range(len(x)):
        for g in range(32):
            group = x[n, :, :, g * size : (g + 1) * size]
            normalized = (group - group.mean()) / np.sqrt(group.var() + 1e-5)
            out[n, :, :, g * size : (g + 1) * size] = normalized
    return np.maximum(out * gamma + beta, 0)


def max_pool(x):
    x = np.pad(
        x, ((0, 0), (1, 1), (1, 1), (0, 0))
    )  # pads with zeros, although values may be negative
    rows, columns = ((extent - 3) // 2 + 1 for extent in x.shape[1:3])
    out = np.empty((len(x), rows, columns, x.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            out[:, i, j] = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(1, 2))
    return out


def resnet(arrays, images):
    """Logits for parameters in the public layout, as a dict of arrays such as a loaded `.npz`."""
    arrays = {name: np.asarray(a, np.float64) for name, a in arrays.items()}

    def kernel(name):
        return standardize(arrays[f"resnet/{name}/standardized_conv2d/kernel"])

    def norm(name, x):
        prefix = f"resnet/{name}group_norm"
        return group_norm_relu(x, arrays[f"{prefix}/gamma"], arrays[f"{prefix}/beta"])

    x = max_pool(convolve(np.asarray(images, np.float64), kernel("root_block"), 2, 3))
    block = 1
    while any(name.startswith(f"resnet/block{block}/") for name in arrays):
        unit = 1
        while f"resnet/block{block}/unit{unit:02d}/a/group_norm/gamma" in arrays:
            name = f"block{block}/unit{unit:02d}"
            stride = 2 if unit == 1 and block > 1 else 1
            y = norm(f"{name}/a/", x)
            if f"resnet/{name}/a/proj/standardized_conv2d/kernel" in arrays:
                x = pointwise(y, kernel(f"{name}/a/proj"), stride)
            y = pointwise(y, kernel(f"{name}/a"), 1)
            y = convolve(norm(f"{name}/b/", y), kernel(f"{name}/b"), stride, 1)
            x = x + pointwise(norm(f"{name}/c/", y), kernel(f"{name}/c"), 1)
            unit += 1
        block += 1
    features = norm("", x).mean(axis=(1, 2))
    return features @ arrays["resnet/head/conv2d/kernel"][0, 0] + arrays["resnet/head/conv2d/bias"]
