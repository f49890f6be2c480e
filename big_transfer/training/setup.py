"""Builds a run from its config: data, model, optimizer, schedule and state."""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import Any

import jax
import numpy as np
import optax

from big_transfer import checkpoint, datasets, resnet
from big_transfer import config as config_lib
from big_transfer.config import TrainingConfig, completion
from big_transfer.datasets import image_files
from big_transfer.run import sharding
from big_transfer.training import optimizer
from big_transfer.training.step import init_state

log = logging.getLogger("big_transfer")


@dataclasses.dataclass
class Run:
    """The parts of a training run, built from its config."""

    config: TrainingConfig
    mesh: jax.sharding.Mesh
    model: resnet.ResNetV2
    source: datasets.Source
    total_steps: int
    schedule: optax.Schedule
    tx: optax.GradientTransformation
    shardings: Any  # shardings of the training state
    abstract_state: Any  # shapes and shardings of the training state, without arrays


def build(checked: config_lib.Config) -> Run:
    """Opens the training data and plans the state; no large array is allocated yet.

    Args:
      checked: a config that is checked for training; its open fields are filled (see `completion`).
    """
    mesh = sharding.make_mesh()
    data = checked.input
    if data.batch_size is not None:  # check before opening the dataset, which takes longer
        sharding.check_batch_size(data.batch_size, mesh, data.accumulate_steps)
    config, source = completion.complete_training(checked)
    datasets.check_num_classes(source, config.num_classes)
    total_steps = steps_of(config, len(source))
    schedule = make_schedule(config, len(source), total_steps)
    tx = make_optimizer(config, schedule)
    model = config.make_model()
    shapes, shardings = layout(config, model, tx, mesh)
    return Run(config, mesh, model, source, total_steps, schedule, tx, shardings, shapes)


def make_optimizer(
    config: TrainingConfig, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """The optimizer that a config describes."""
    return optimizer.make_optimizer(
        schedule,
        momentum=config.optimizer.momentum,
        weight_decay=config.optimizer.weight_decay,
        clip_norm=config.optimizer.clip_norm,
    )


def layout(config, model, tx, mesh) -> tuple[Any, Any]:
    """Shapes (with shardings) and shardings of the training state."""
    shapes = jax.eval_shape(lambda: init_state(resnet.init_params(model, jax.random.key(0)), tx))
    shardings = sharding.state_shardings(shapes, mesh, config.sharding)
    shapes = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings
    )
    return shapes, shardings


def steps_of(config: config_lib.Config, num_examples: int) -> int:
    """Number of steps of a run: total_steps, else total_epochs · num_examples / batch size, at least 1."""
    if config.total_steps is not None:
        return config.total_steps
    assert config.total_epochs is not None and config.input.batch_size is not None  # checked
    return max(1, round(config.total_epochs * num_examples / config.input.batch_size))


def make_schedule(config: TrainingConfig, num_examples: int, total_steps: int) -> optax.Schedule:
    """The learning-rate schedule of a run: step -> learning rate.

    Raises:
      ConfigError: if the warm-up of a cosine schedule is not shorter than the run.
    """
    peak = config.optimizer.base_learning_rate
    if config.optimizer.scale_with_batch:
        peak = optimizer.learning_rate(peak, config.input.batch_size)
    if config.optimizer.schedule == "cosine" and config.optimizer.warmup_steps >= total_steps:
        raise config_lib.ConfigError(
            f"optimizer.warmup_steps: expected less than the run's {total_steps} steps, found "
            f"{config.optimizer.warmup_steps}"
        )
    if config.optimizer.schedule == "cosine":
        return optimizer.cosine_schedule(peak, config.optimizer.warmup_steps, total_steps)
    steps_per_epoch = num_examples / config.input.batch_size
    decay_steps = [round(epoch * steps_per_epoch) for epoch in config.optimizer.decay_epochs]
    decay_steps += config.optimizer.decay_steps
    return optimizer.step_schedule(peak, config.optimizer.warmup_steps, decay_steps)


def fresh_state(run: Run) -> Any:
    """The state before the first step, with random parameters from the seed or those of config.checkpoint."""
    if run.config.checkpoint is None:
        if run.config.hyperrule is not None:
            log.warning(
                "config.checkpoint is not set: training starts from random parameters, but the HyperRule is "
                "meant for fine-tuning a checkpoint."
            )
        bias = run.config.model.head_bias

        def make():
            params = resnet.init_params(run.model, jax.random.key(run.config.seed))
            return init_state(_with_head_bias(params, bias) if bias else params, run.tx)

        return jax.jit(make, out_shardings=run.shardings)()
    params = checkpoint.load(run.config.checkpoint, run.model)
    if run.config.reset_head:
        params["head"] = jax.tree.map(np.zeros_like, params["head"])
        params = _with_head_bias(params, run.config.model.head_bias)
    params = jax.device_put(params, run.shardings["params"])
    init = functools.partial(init_state, tx=run.tx)
    return jax.jit(init, out_shardings=run.shardings)(params)


def _with_head_bias(params: Any, bias: float) -> Any:
    """The parameters with `bias` added to the bias of the head, which is zero before."""
    head = params["head"]["conv2d"]
    head = head | {"bias": head["bias"] + np.float32(bias)}
    return params | {"head": params["head"] | {"conv2d": head}}


def check_class_names(run: Run, evaluated: datasets.Source) -> None:
    """Raises an error if training and evaluation images have different class names.

    Class folders are numbered in the order of their names, so different names would give the same number to
    different classes. Only folders and tars are checked.

    Raises:
      DatasetError: with the first two names that differ.
    """
    training_names = run.source.class_names[run.source.label_keys[0]]
    evaluation_names = evaluated.class_names[evaluated.label_keys[0]]
    is_path = any(map(image_files.is_path, (run.source.dataset, evaluated.dataset)))
    if is_path and training_names != evaluation_names:
        pairs = zip(training_names, evaluation_names, strict=True)
        training_name, evaluation_name = next((a, b) for a, b in pairs if a != b)
        raise datasets.DatasetError(
            f"the classes of {run.source.dataset} and {evaluated.dataset} have different names: the same "
            f"class number means {training_name} in the first and {evaluation_name} in the second. Use the "
            f"same class folders in both."
        )
