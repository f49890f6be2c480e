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
    """1 for each of an example's classes, 0 elsewhere; entries of -1 are padding."""
    return jax.nn.one_hot(labels, num_classes).max(axis=1)


def targets(
    name: str, labels: Int[Array, "batch max_labels"], num_classes: int
) -> Float[Array, "batch num_classes"]:
    """What a model is to say of each example: its classes (sigmoid), or equal shares for them (softmax)."""
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

    "softmax": -Σ_c t_c log softmax(z)_c. "sigmoid": Σ_c BCE(σ(z_c), t_c), the *sum* over classes, as
    BiT is trained with on multi-label data.

    Args:
      name: "softmax" or "sigmoid".
      logits: z, any real.
      targets: t, each in [0, 1]; need not sum to one.
    """
    if name == "softmax":
        return optax.losses.softmax_cross_entropy(logits, targets)
    if name == "sigmoid":
        return jnp.sum(optax.losses.sigmoid_binary_cross_entropy(logits, targets), axis=-1)
    raise ValueError(f"loss must be one of {', '.join(NAMES)}, found {name!r}.")


def probabilities(
    name: str, logits: Float[Array, "batch classes"]
) -> Float[Array, "batch classes"]:
    """The classes' probabilities under the model the loss belongs to, in [0, 1]."""
    return jax.nn.softmax(logits) if name == "softmax" else jax.nn.sigmoid(logits)


def prior_log_odds(num_classes: int) -> float:
    """The bias at which a sigmoid head starts: the log-odds of a class with an equal share of the labels."""
    return -math.log(num_classes - 1)
