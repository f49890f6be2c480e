"""Set-up and fixtures of all tests: eight CPU devices, a small digit_scenes, the published labels."""

from __future__ import annotations

import os
import pathlib
import shutil

# These variables must be set before anything imports JAX. Programs that tests start set their own.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
from hypothesis import HealthCheck, settings

PROJECT = pathlib.Path(__file__).parent.parent
SMALL = {"train": 200, "validation": 61}
PATIENCE = 1_800.0  # seconds to wait for a process or a page; long, because no test measures speed

CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# No deadlines. The short profile uses the same examples in every run.
_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", _unhurried, derandomize=True)
settings.register_profile("long", _unhurried, max_examples=2_000)
settings.load_profile("short")  # make test-long: --hypothesis-profile=long


@pytest.fixture(scope="session")
def scenes_dir(tmp_path_factory) -> str:
    """A TFDS data folder with a digit_scenes of 200 training and 61 validation scenes."""
    from big_transfer.datasets import tfds_source
    from big_transfer.datasets.builders import digit_scenes

    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digit_scenes, "NUM_EXAMPLES", SMALL)
        tfds_source.TfdsSource("digit_scenes", "train", ["original_label"], data_dir=str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def published() -> pathlib.Path:
    """The folder of the published ReaL files; skips the test if this machine has no such folder."""
    folder = PROJECT.parent / "shared" / "data" / "reassessed_imagenet"
    if not (folder / "real.json").exists():
        pytest.skip("the published ReaL files are not on this machine (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real data beside the project; skips the test if this machine has no such folder."""
    folder = PROJECT.parent / "shared" / "data"
    if not (folder / "imagenet_models" / "top5.npz").exists():
        pytest.skip(
            "the real models' predictions and tasks are not on this machine (../shared/data)"
        )
    return folder


@pytest.fixture(scope="session")
def chromium():
    """A Chromium driven by Playwright; skips the test if no Chromium is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(
            "there is no Chromium on this machine (set $CHROMIUM, or put chromium on $PATH)"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=CHROMIUM_FLAGS, timeout=1_000 * PATIENCE
        )
        yield browser
        browser.close()
