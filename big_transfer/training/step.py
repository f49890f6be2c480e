"""The training step: MixUp, loss, gradient and update in one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from big_transfer import losses, resnet
from big_transfer.run import sharding


def mixup(
    rng: Array,
    images: Float[Array, "batch height width 3"],
    targets: Float[Array, "batch classes"],
    alpha: float,
) -> tuple[Float[Array, "batch height width 3"], Float[Array, "batch classes"]]:
    """MixUp (Zhang et al. 2018): λx + (1 - λ)x', with one λ ~ Beta(α, α) per batch.

    x' is the batch shifted by one example. Batches are shuffled, so this partner is random, and a shift by
    one needs the least traffic between devices.
    """
    share = jax.random.beta(rng, alpha, alpha)
    mix = lambda x: share * x + (1 - share) * jnp.roll(x, 1, axis=0)  # noqa: E731
    return mix(images), mix(targets)


def init_state(params: Any, tx: optax.GradientTransformation) -> dict[str, Any]:
    """The initial training state: {"params", "opt_state", "step"}; step is a () int32, 0."""
    return {"params": params, "opt_state": tx.init(params), "step": jnp.zeros((), jnp.int32)}


def _mean_loss(model: resnet.ResNetV2, loss: str) -> Callable[..., Array]:
    """The mean loss of a batch as a function of parameters, images and targets."""

    def mean_loss(params, images, targets):
        logits: Any = model.apply({"params": params}, images)
        return jnp.mean(losses.cross_entropy(loss, logits, targets))

    return mean_loss


def _mean_loss_of_split_parameters(
    model: resnet.ResNetV2, loss: str, mesh: jax.sharding.Mesh, shardings: Any
) -> Callable[..., Array]:
    """The mean loss of a batch as a function of parameters that are split over the devices (FSDP).

    Each device standardizes its part of a kernel and gathers the kernel in the model's dtype; the gradient is
    reduced to its part. Left to itself, the compiler gathers float32 kernels several times, moves activations
    instead of some kernels, and cuts convolutions into one piece for each device.
    """
    axes = jax.tree.map(lambda s: -1 if (a := sharding.split_axis(s)) is None else a, shardings)
    local_mean = _mean_loss(model.clone(standardized=True), loss)

    def gather(array, axis):
        return jax.lax.all_gather(array, sharding.AXIS, axis=axis, tiled=True)

    def is_last(array, axis):  # a part has whole output channels, so it can be standardized
        return axis == array.ndim - 1

    def mean_loss(params, images, targets):
        params = jax.tree.map(
            lambda x, axis: x if axis < 0 or is_last(x, axis) else gather(x, axis), params, axes
        )
        params = resnet.standardize_kernels(params, model.dtype)
        params = jax.tree.map(
            lambda x, axis: gather(x, axis) if is_last(x, axis) else x, params, axes
        )
        return jax.lax.pmean(local_mean(params, images, targets), sharding.AXIS)

    batch = sharding.batch_sharding(mesh).spec
    specs = jax.tree.map(lambda s: s.spec, shardings)
    return jax.shard_map(
        mean_loss,
        mesh=mesh,
        in_specs=(specs, batch, batch),
        out_specs=jax.sharding.PartitionSpec(),
        check_vma=False,
    )


def make_train_step(
    model: resnet.ResNetV2,
    tx: optax.GradientTransformation,
    *,
    loss: str,
    mixup_alpha: float,
    accumulate_steps: int,
    seed: int,
    mesh: jax.sharding.Mesh,
    state_shardings: Any,
) -> Callable[[Any, dict[str, jax.Array]], tuple[Any, dict[str, jax.Array]]]:
    """Compiles (state, batch) -> (state, {"loss", "grad_norm", "param_norm"}); the old state is donated.

    Args:
      model: the model, with a head.
      tx: the optimizer.
      loss: see `losses.cross_entropy`; the step minimizes the mean over the global batch.
      mixup_alpha: parameter of MixUp's Beta distribution; 0: no MixUp.
      accumulate_steps: number of micro-batches whose gradients are averaged for one update.
      seed: MixUp's randomness is a function of the seed and state["step"].
      mesh: the devices.
      state_shardings: shardings of the state, in a tree of the same structure.
    """

    num_classes = model.num_classes
    assert num_classes is not None

    shardings = state_shardings["params"]
    if all(each.is_fully_replicated for each in jax.tree.leaves(shardings)):
        mean_loss = _mean_loss(model, loss)
    else:
        mean_loss = _mean_loss_of_split_parameters(model, loss, mesh, shardings)

    def gradient(params, images, targets):
        if accumulate_steps == 1:
            return jax.value_and_grad(mean_loss)(params, images, targets)

        # Micro-batch a has rows a, a + A, a + 2A, …, so that each micro-batch is spread over all devices.
        def split(x):
            x = x.reshape(-1, accumulate_steps, *x.shape[1:])
            return jnp.moveaxis(x, 1, 0)

        def add(total, micro_batch):
            return jax.tree.map(
                jnp.add, total, jax.value_and_grad(mean_loss)(params, *micro_batch)
            ), None

        zeros = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), params))
        total, _ = jax.lax.scan(add, zeros, (split(images), split(targets)))
        return jax.tree.map(lambda x: x / accumulate_steps, total)

    def step(state, batch):
        images = batch["image"]
        targets = losses.targets(loss, batch["labels"], num_classes)
        if mixup_alpha:
            rng = jax.random.fold_in(jax.random.key(seed), state["step"])
            images, targets = mixup(rng, images, targets, mixup_alpha)
        value, gradients = gradient(state["params"], images, targets)
        updates, opt_state = tx.update(gradients, state["opt_state"], state["params"])
        state = {
            "params": optax.apply_updates(state["params"], updates),
            "opt_state": opt_state,
            "step": state["step"] + 1,
        }
        # param_norm reveals an update that overflowed float32 although loss and gradient were finite.
        return state, {
            "loss": value,
            "grad_norm": optax.global_norm(gradients),
            "param_norm": optax.global_norm(state["params"]),
        }

    return jax.jit(
        step,
        in_shardings=(state_shardings, sharding.batch_sharding(mesh)),
        out_shardings=(state_shardings, sharding.replicated(mesh)),
        donate_argnums=0,
    )
