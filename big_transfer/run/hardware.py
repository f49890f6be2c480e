"""Detecting the hardware of this host through the operating system, without starting JAX."""

from __future__ import annotations

import pathlib
from typing import Any

import jax

_ROOT = pathlib.Path("/")
_GPUS = ("nvidia[0-9]*", "kfd", "dxg")
_TPUS = ("accel[0-9]*", "vfio/[0-9]*")
# PCI ids of TPUs, from jax/_src/hardware_utils.py: v2 and v3, plc, v4, v5p, v5e, v6e, 7x. The vendor id
# is not enough: every machine of Google's cloud has other Google devices, such as network cards.
_GOOGLE = "0x1ae0"
_TPU_IDS = {"0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076"}


def has_accelerator() -> bool:
    """Whether JAX will find a GPU or TPU."""
    if platforms := _platforms():
        return platforms[0] != "cpu"
    return any(_has_device(pattern) for pattern in (*_GPUS, *_TPUS))


def is_tpu_vm() -> bool:
    """Whether this host has TPUs that JAX may use.

    Only devices are checked: libtpu may be installed without TPUs, and /dev/vfio also serves other devices.
    """
    platforms = _platforms()
    if platforms and "tpu" not in platforms:
        return False
    return _has_device("accel[0-9]*") or any(map(_is_tpu, _pci_devices()))


def _platforms() -> list[str]:
    """The platforms set for JAX, for example by JAX_PLATFORMS; empty if JAX chooses."""
    config: Any = jax.config  # JAX's type hints do not declare the flags
    return config.jax_platforms.split(",") if config.jax_platforms else []


def _has_device(pattern: str) -> bool:
    return any((_ROOT / "dev").glob(pattern))


def _pci_devices() -> list[pathlib.Path]:
    return list((_ROOT / "sys/bus/pci/devices").glob("*"))


def _is_tpu(device: pathlib.Path) -> bool:
    try:
        vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "device"))
    except OSError:
        return False
    return vendor == _GOOGLE and kind in _TPU_IDS
