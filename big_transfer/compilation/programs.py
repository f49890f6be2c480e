"""The programs of a run for a slice, with shapes in the place of arrays."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from big_transfer import resnet
from big_transfer.config import EvaluationConfig, TrainingConfig
from big_transfer.datasets import batches
from big_transfer.evaluation.evaluator import make_eval_step
from big_transfer.run import sharding
from big_transfer.training import optimizer, setup
from big_transfer.training.step import make_train_step

# Batches on the devices while a step runs: those of the steps behind it, and prefetched ones.
_NEXT_BATCHES = batches.MAX_IN_FLIGHT + batches.DEVICE_BATCHES


@dataclasses.dataclass(frozen=True)
class Program:
    """A program before its compilation.

    Attributes:
      lowered: the program.
      num_chips: number of chips.
      batch_size: images in one run, over all chips.
      micro_batches: how often the body of its loop runs; 1 without a loop.
      parts: bytes on one chip of each part of the arguments: "parameters", "optimizer", "batch".
      resident: bytes on one chip of arrays that a run holds beside the program: "next batches", and for an
        evaluation within a training run the "training state".
    """

    lowered: Any
    num_chips: int
    batch_size: int
    micro_batches: int
    parts: dict[str, int]
    resident: dict[str, int]


def training_program(
    config: TrainingConfig, mesh: jax.sharding.Mesh, schedule: optax.Schedule | None = None
) -> Program:
    """The training step of a config.

    Args:
      config: the config.
      mesh: the chips.
      schedule: the learning rates, whose numbers are in the program. By default a schedule of the same
        operations with other numbers, so that the program is the same for all learning rates and lengths.

    Raises:
      BatchSizeError: if the batch does not split over the chips.
    """
    data = config.input
    sharding.check_batch_size(data.batch_size, mesh, data.accumulate_steps)
    model = config.make_model()
    tx = setup.make_optimizer(config, schedule or _any_schedule(config))
    state, shardings = setup.layout(config, model, tx, mesh)
    step = make_train_step(
        model,
        tx,
        loss=config.loss,
        mixup_alpha=config.mixup_alpha,
        accumulate_steps=data.accumulate_steps,
        seed=config.seed,
        mesh=mesh,
        state_shardings=shardings,
    )
    batch = _training_batch(config, mesh)
    parts = {
        "parameters": _bytes_on_a_chip(state["params"]),
        "optimizer": _bytes_on_a_chip(state["opt_state"]),
        "batch": _bytes_on_a_chip(batch),
    }
    return Program(
        step.lower(state, batch),
        num_chips=mesh.size,
        batch_size=data.batch_size,
        micro_batches=data.accumulate_steps,
        parts=parts,
        resident={"next batches": _NEXT_BATCHES * parts["batch"]},
    )


def evaluation_program(config: EvaluationConfig, mesh: jax.sharding.Mesh) -> Program:
    """The evaluation step of a config; that of a training config runs between its training steps."""
    model = config.make_model()
    batch_size = math.ceil(config.eval.batch_size / mesh.size) * mesh.size
    params = jax.eval_shape(
        lambda: resnet.standardize_kernels(
            resnet.init_params(model, jax.random.key(0)), dtype=model.dtype
        )
    )
    params = jax.tree.map(lambda array: _placed(array, sharding.replicated(mesh)), params)
    batch = _batch(mesh, batch_size, config.eval.size, config.input.max_labels)
    batch["mask"] = _placed(
        jax.ShapeDtypeStruct((batch_size,), jnp.bool_), sharding.batch_sharding(mesh)
    )
    step = make_eval_step(model, loss=config.loss, mesh=mesh)
    parts = {"parameters": _bytes_on_a_chip(params), "batch": _bytes_on_a_chip(batch)}
    resident = {"next batches": _NEXT_BATCHES * parts["batch"]}
    if isinstance(config, TrainingConfig):
        tx = setup.make_optimizer(config, _any_schedule(config))
        state, _ = setup.layout(config, model, tx, mesh)
        resident["training state"] = _bytes_on_a_chip(state)
        waiting = batches.DEVICE_BATCHES * _bytes_on_a_chip(_training_batch(config, mesh))
        resident["next batches"] += waiting
    return Program(
        step.lower(params, batch),
        num_chips=mesh.size,
        batch_size=batch_size,
        micro_batches=1,
        parts=parts,
        resident=resident,
    )


def _any_schedule(config: TrainingConfig) -> optax.Schedule:
    """A schedule with the operations of the config's."""
    section = config.optimizer
    if section.schedule == "cosine":
        return optimizer.cosine_schedule(1.0, 1, 1000)
    number = len(section.decay_epochs) + len(section.decay_steps)
    return optimizer.step_schedule(1.0, 1, range(2, 2 + number))


def _training_batch(config: TrainingConfig, mesh) -> dict[str, Any]:
    data = config.input
    return _batch(mesh, data.batch_size, data.size, data.max_labels)


def _batch(mesh, batch_size: int, size: int, max_labels: int) -> dict[str, Any]:
    place = functools.partial(_placed, placement=sharding.batch_sharding(mesh))
    return {
        "image": place(jax.ShapeDtypeStruct((batch_size, size, size, 3), jnp.float32)),
        "labels": place(jax.ShapeDtypeStruct((batch_size, max_labels), jnp.int32)),
    }


def _placed(array: Any, placement: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=placement)


def _bytes_on_a_chip(tree: Any) -> int:
    arrays = jax.tree.leaves(tree)
    return sum(
        int(np.prod(array.sharding.shard_shape(array.shape))) * array.dtype.itemsize
        for array in arrays
    )
