"""Settings with which a training step fits into the memory of a chip."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from big_transfer.compilation.measuring import Needs
from big_transfer.config import TrainingConfig

log = logging.getLogger("big_transfer")

_TRIALS = 4  # each is a compilation of minutes
_LARGE_STATE = 1 / 4  # of the memory that is available


@dataclasses.dataclass(frozen=True)
class Settings:
    """Fields of a config that trade memory for time."""

    sharding: str
    remat: bool
    accumulate_steps: int

    @classmethod
    def of(cls, config: TrainingConfig) -> Settings:
        return cls(config.sharding, config.model.remat, config.input.accumulate_steps)

    def applied_to(self, config: TrainingConfig) -> TrainingConfig:
        """The config with these settings."""
        return dataclasses.replace(
            config,
            sharding=self.sharding,  # pyright: ignore[reportArgumentType]
            model=dataclasses.replace(config.model, remat=self.remat),
            input=dataclasses.replace(config.input, accumulate_steps=self.accumulate_steps),
        )

    def flags(self, before: Settings) -> str:
        """The flags that change the settings `before` to these."""
        names = {
            "sharding": "config.sharding",
            "remat": "config.model.remat",
            "accumulate_steps": "config.input.accumulate_steps",
        }
        return " ".join(
            f"--{flag}={getattr(self, name)}"
            for name, flag in names.items()
            if getattr(self, name) != getattr(before, name)
        )


@dataclasses.dataclass(frozen=True)
class Remedy:
    """A change with which a training step fits.

    Attributes:
      flags: the flags of the change, such as "--config.model.remat=True".
      config: the config with the change.
      needs: needs of the training step with the change.
    """

    flags: str
    config: TrainingConfig
    needs: Needs


def find(
    config: TrainingConfig, needs: Needs, chips: int, needs_of: Callable[[TrainingConfig], Needs]
) -> Remedy | None:
    """Tries settings until the step fits: a split state, rematerialization, micro-batches.

    Args:
      config: a config with a training step that does not fit.
      needs: its needs.
      chips: number of chips.
      needs_of: compiles the step of a config.

    Returns:
      The first change that fits; None if four trials did not.
    """
    settings = before = Settings.of(config)
    for _ in range(_TRIALS):
        settings = _stronger(settings, needs, config.input.batch_size, chips)
        if settings is None:
            return None
        log.info("It does not fit; trying %s.", settings.flags(before))
        candidate = settings.applied_to(config)
        needs = needs_of(candidate)
        if needs.fits:
            return Remedy(settings.flags(before), candidate, needs)
    return None


def _stronger(settings: Settings, needs: Needs, batch_size: int, chips: int) -> Settings | None:
    """Settings that need less memory; None if there are none.

    Args:
      settings: settings of a step that does not fit.
      needs: its needs.
      batch_size: images in one step, over all chips.
      chips: number of chips.
    """
    others = needs.argument_bytes + sum(needs.resident.values())
    room = needs.available_bytes - others  # for temporaries
    state = needs.parts["parameters"] + needs.parts["optimizer"]
    if settings.sharding != "fsdp" and state > _LARGE_STATE * needs.available_bytes:
        split = dataclasses.replace(settings, sharding="fsdp")
        freed = state * (chips - 1) // chips
        if needs.temporary_bytes < room + freed:
            return split
        # A trial of the split state alone would fail.
        return _smaller_temporaries(split, needs.temporary_bytes, room + freed, batch_size // chips)
    found = _smaller_temporaries(settings, needs.temporary_bytes, room, batch_size // chips)
    if found is None and settings.sharding != "fsdp":
        return dataclasses.replace(settings, sharding="fsdp")
    return found


def _smaller_temporaries(
    settings: Settings, temporaries: int, room: float, images: int
) -> Settings | None:
    """Rematerialization, then smaller micro-batches.

    Args:
      settings: settings with temporaries that are too large.
      temporaries: their bytes.
      room: bytes for them.
      images: images of a step on one chip.
    """
    if not settings.remat:
        return dataclasses.replace(settings, remat=True)
    # Temporaries shrink about as fast as the images of a micro-batch: the first factor that may do.
    least = settings.accumulate_steps * max(2, temporaries / max(room, 1))
    factors = [steps for steps in range(2, images + 1) if images % steps == 0]
    larger = [steps for steps in factors if steps > settings.accumulate_steps]
    if not larger:
        return None
    steps = next((steps for steps in larger if steps >= least), larger[-1])
    return dataclasses.replace(settings, accumulate_steps=steps)
