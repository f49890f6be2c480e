"""Plans a run on TPU slices: compiles its steps and derives what the run needs and how long it takes."""

from __future__ import annotations

import logging

import optax
from etils import epath

from big_transfer import config as config_lib
from big_transfer.compilation import measuring, programs, remedies, report, slices, store
from big_transfer.compilation.measuring import Needs
from big_transfer.compilation.report import Plan
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
    places = [slices.slice_of(name.strip()) for name in topologies.split(",")]
    if json_path is not None:
        _check_file(epath.Path(json_path))
    checked = config_lib.check(config, training=False)
    if checked.input.dataset is None:
        evaluated = completion.plan_evaluation(checked)
        plans = [Plan(each, None, evaluation_needs(evaluated, each)) for each in places]
    else:
        checked = config_lib.check(config, training=True)
        plans = _training_plans(checked, _size(checked, examples, area), places)
    if json_path is not None:
        records = [report.as_json(each) for each in plans]
        files.write_json(json_path, records[0] if len(records) == 1 else records, indent=2)
    return report.text(plans)


def _check_file(path: epath.Path) -> None:
    """Raises an error for a file that cannot be written, before minutes of compilation."""
    reason = files.why_unwritable(path)
    if reason is None and not path.parent.is_dir():
        reason = f"there is no folder {path.parent}"  # more likely a mistake than a wish
    if reason is not None:
        raise config_lib.ConfigError(f"--json={path}: {reason}; give a file in an existing folder")


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


def _training_plans(
    checked: config_lib.Config, size: known_datasets.Size, places: list[Slice]
) -> list[Plan]:
    config = completion.plan_training(checked, size)
    for place in places:  # each of them, before the first is compiled
        try:
            mesh = sharding.make_mesh(place.devices)
            sharding.check_batch_size(config.input.batch_size, mesh, config.input.accumulate_steps)
        except sharding.BatchSizeError as error:
            raise sharding.BatchSizeError(f"{place.name}: {error}") from None
    num_steps = None
    if config.total_steps is not None or size.num_examples is not None:
        num_steps = setup.steps_of(config, size.num_examples or 0)
    schedule = _schedule(config, size.num_examples, num_steps) if store.writes_programs() else None
    return [_training_plan(config, schedule, num_steps, place) for place in places]


def _schedule(
    config: config_lib.TrainingConfig, num_examples: int | None, num_steps: int | None
) -> optax.Schedule | None:
    """The learning rates of the run; None, with a warning, if they depend on an unknown number of images."""
    if num_steps is None or (config.optimizer.decay_epochs and num_examples is None):
        log.warning(
            "The compiled programs will not be those of the run, because its schedule is not known: give "
            "--examples=N, the number of training images."
        )
        return None
    return setup.make_schedule(config, num_examples or 0, num_steps)


def _training_plan(
    config: config_lib.TrainingConfig,
    schedule: optax.Schedule | None,
    num_steps: int | None,
    place: Slice,
) -> Plan:
    train, remedy = training_needs(config, place, schedule), None
    if not train.fits:
        remedy = remedies.find(
            config, train, len(place.devices), lambda each: training_needs(each, place, schedule)
        )
    evaluate = evaluation_needs(config if remedy is None else remedy.config, place)
    return Plan(place, train, evaluate, remedy, num_steps)


def training_needs(
    config: config_lib.TrainingConfig, place: Slice, schedule: optax.Schedule | None
) -> Needs:
    """The needs of the training step on a slice."""
    mesh = sharding.make_mesh(place.devices)
    return _needs("training", programs.training_program(config, mesh, schedule), place)


def evaluation_needs(config: config_lib.EvaluationConfig, place: Slice) -> Needs:
    """The needs of the evaluation step on a slice."""
    mesh = sharding.make_mesh(place.devices)
    return _needs("evaluation", programs.evaluation_program(config, mesh), place)


def _needs(step: str, program: programs.Program, place: Slice) -> Needs:
    def compiled() -> Needs:
        log.info("Compiling the %s step for %s (minutes).", step, place.name)
        return measuring.compiled(program, place.chip.usable)

    return store.kept(program, place, compiled)
