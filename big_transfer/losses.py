"""Softmax and sigmoid cross-entropy over label vectors, one value per example."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

NAMES = ("softmax", "sigmoid")


def label_vectors(
    labels: Int[Array, "batch max_labels"], num_classes: int
) -> Float[Array, "batch num_classes"]:
    """Multi-hot labels: 1 for each class of an example, 0 elsewhere; -1 in `labels` is padding."""
    return jax.nn.one_hot(labels, num_classes).max(axis=1)


def targets(
    name: str, labels: Int[Array, "batch max_labels"], num_classes: int
) -> Float[Array, "batch num_classes"]:
    """Training targets: 1 for each class of an example (sigmoid), or equal shares that sum to 1 (softmax)."""
    vectors = label_vectors(labels, num_classes)
    if name == "softmax" and labels.shape[-1] > 1:
        vectors = vectors / jnp.maximum(vectors.sum(axis=-1, keepdims=True), 1)
    return vectors


def cross_entropy(
    name: str,
    logits: Float[Array, "batch classes"],
    targets: Float[Array, "batch classes"],
) -> Float[Array, "batch"]:
    """The loss of each example.

    "softmax": -Σ_c t_c log softmax(z)_c. "sigmoid": Σ_c BCE(σ(z_c), t_c), the *sum* over classes, as BiT
    uses it for multi-label data.

    Args:
      name: "softmax" or "sigmoid".
      logits: z, any real numbers.
      targets: t, each in [0, 1]; the sum may differ from one.

    Raises:
      ValueError: for another name.
    """
    if name == "softmax":
        return optax.losses.softmax_cross_entropy(logits, targets)
    if name == "sigmoid":
        return jnp.sum(optax.losses.sigmoid_binary_cross_entropy(logits, targets), axis=-1)
    raise ValueError(f"loss must be one of {', '.join(NAMES)}, found {name!r}.")


def probabilities(
    name: str, logits: Float[Array, "batch classes"]
) -> Float[Array, "batch classes"]:
    """Class probabilities in [0, 1]: the softmax or the sigmoid of the logits, as the loss assumes."""
    return jax.nn.softmax(logits) if name == "softmax" else jax.nn.sigmoid(logits)


def prior_log_odds(num_classes: int) -> float:
    """Initial bias of a sigmoid head: the log-odds of a class with a share of 1 / num_classes."""
    return -math.log(num_classes - 1)
