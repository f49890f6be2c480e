"""Plans a run on TPU slices: compiles its steps and derives what the run needs and how long it takes."""

from __future__ import annotations

import logging
from typing import Any

from etils import epath

from big_transfer import config as config_lib
from big_transfer.compilation import measuring, programs, remedies, report, slices, store
from big_transfer.compilation.measuring import Needs
from big_transfer.compilation.plans import Plan
from big_transfer.compilation.slices import Slice
from big_transfer.config import completion, known_datasets
from big_transfer.run import sharding
from big_transfer.training import setup
from real_labels import files

log = logging.getLogger("big_transfer")


def plan(
    config: config_lib.AnyConfig,
    topologies: str,
    *,
    examples: int | None = None,
    area: float | None = None,
    json_path: epath.PathLike | None = None,
) -> str:
    """Compiles the steps of a config for slices, and returns what they need as text.

    Args:
      config: the config; a config without training images has its evaluation compiled alone.
      topologies: names of slices, joined by commas, such as "v5e:4x8,v4:2x2x4".
      examples, area: number of training images, and height · width of an image in pixels, if they are not
        known from the config and its dataset's name.
      json_path: file for the same numbers as JSON.

    Raises:
      TopologyError, ConfigError, BatchSizeError: see slices, completion and sharding.
    """
    found = [slices.slice_of(name.strip()) for name in topologies.split(",")]
    checked = config_lib.check(config, training=False)
    if checked.input.dataset is not None:
        checked = config_lib.check(config, training=True)
    size = _size(checked, examples, area)
    plans = [_plan(checked, size, place) for place in found]
    if json_path is not None:
        records = [report.as_json(each) for each in plans]
        files.write_json(json_path, records[0] if len(records) == 1 else records, indent=2)
    return report.text(plans)


def _size(
    config: config_lib.Config, examples: int | None, area: float | None
) -> known_datasets.Size:
    """The size of the training set: as given, else of a known dataset, else unknown."""
    data = config.input
    if data.dataset is None or data.split is None:
        return known_datasets.Size()
    known = known_datasets.size_of(data.dataset, data.split)
    classes = config.num_classes or known.num_classes
    if examples is None and data.examples_per_class is not None and classes is not None:
        examples = data.examples_per_class * classes
    elif examples is None and data.keep is None and config.fold is None:
        examples = known.num_examples
    return known_datasets.Size(examples, known.area if area is None else area, classes)


def _plan(config: config_lib.Config, size: known_datasets.Size, place: Slice) -> Plan:
    if config.input.dataset is None:
        evaluated = completion.plan_evaluation(config)
        return Plan(place, None, needs_of("evaluation", evaluated, place), None, None)
    training = completion.plan_training(config, size)

    def train_needs(candidate: config_lib.TrainingConfig) -> Needs:
        return needs_of("training", candidate, place, size.num_examples)

    train = train_needs(training)
    remedy = num_steps = None
    if not train.fits:
        remedy = remedies.find(training, train, len(place.devices), train_needs)
    if training.total_steps is not None or size.num_examples is not None:
        num_steps = setup.steps_of(training, size.num_examples or 0)
    return Plan(place, train, needs_of("evaluation", training, place), remedy, num_steps)


def needs_of(step: str, config: Any, place: Slice, num_examples: int | None = None) -> Needs:
    """The needs of the "training" or "evaluation" step of a complete config on a slice."""
    mesh = sharding.make_mesh(place.devices)

    def compile_(program: programs.Program) -> Needs:
        log.info("Compiling the %s step for %s (minutes).", step, place.name)
        return measuring.compiled(program, place.chip.usable)

    if step == "training":
        program = programs.training_program(config, mesh, num_examples)
    else:
        program = programs.evaluation_program(config, mesh)
    return store.kept(program, place, compile_)
