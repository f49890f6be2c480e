"""SGD with momentum, weight decay on kernels, and the learning-rate schedules."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

SCHEDULES = ("steps", "cosine")
BASE_BATCH_SIZE = 256  # reference batch size of the linear scaling rule (Goyal et al. 2017)


def learning_rate(base: float, batch_size: int) -> float:
    """Learning rate by the linear scaling rule; `base` is the rate for a batch of 256."""
    return base * batch_size / BASE_BATCH_SIZE


def step_schedule(
    peak: float, warmup_steps: int, decay_steps: Sequence[int], factor: float = 0.1
) -> optax.Schedule:
    """BiT's upstream schedule: linear warm-up from 0, then a multiplication by `factor` at each decay step.

    Step t (0-based) has the learning rate peak · t / warmup_steps while t < warmup_steps, and
    peak · factor^(number of decay steps ≤ t) from then on.
    """
    boundaries = jnp.asarray(sorted(decay_steps), jnp.float32).reshape(-1)

    def rate(step):
        step = jnp.asarray(step, jnp.float32)
        decayed = peak * factor ** jnp.sum(step >= boundaries)
        return jnp.where(step < warmup_steps, peak * step / max(warmup_steps, 1), decayed)

    return rate


def cosine_schedule(peak: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Linear warm-up from 0, then half a cosine down to 0 at `total_steps`."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup_steps, total_steps)


def make_optimizer(
    schedule: optax.Schedule,
    *,
    momentum: float,
    weight_decay: float,
    clip_norm: float | None,
) -> optax.GradientTransformation:
    """SGD: v ← m·v + g + wd·w (kernels), w ← w - lr·v, as BiT was trained.

    Args:
      schedule: step -> learning rate.
      momentum: m in [0, 1).
      weight_decay: wd; applies to the kernels of convolutions and head, not to biases and GroupNorm,
        and is scaled by the learning rate.
      clip_norm: gradients with a larger global norm are first scaled down to this norm; None or 0: no
        clipping.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        optax.add_decayed_weights(weight_decay, mask=_is_kernel),
        optax.sgd(schedule, momentum=momentum or None),
    )


def _is_kernel(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
