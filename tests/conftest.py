"""Shared by all tests: golden files, and the policies under which the eager path must give the same bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rasterizer.runtime.policy import CPU, GPU, PORTABLE, force_policy
from tests.support import skips

GOLDEN = Path(__file__).parent / "golden"
_ROOT = Path(__file__).resolve().parents[1]

POLICIES = {
    "cpu": None,
    "gpu": GPU,
    "portable": PORTABLE,
    "tiles": replace(CPU, spans=False, box_sizes=(2, 4)),  # small boxes count as large and are cut
}


def golden_files(pattern: str) -> list[Path]:
    """Reference vectors; an empty list would make a parametrised test vanish silently, so it is an error."""
    files = sorted(GOLDEN.glob(pattern))
    if not files:
        raise FileNotFoundError(f"no {pattern} in {GOLDEN}")
    return files


@pytest.fixture(params=[path.stem for path in golden_files("raster_*.npz")])
def golden_raster(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """One reference file of the native rasterizer."""
    with np.load(GOLDEN / f"{request.param}.npz") as file:
        return dict(file)


@pytest.fixture(params=[path.stem for path in golden_files("inpaint_*.npz")])
def golden_inpaint(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """One reference file of the native vertex inpaint."""
    with np.load(GOLDEN / f"{request.param}.npz") as file:
        return dict(file)


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on this machine's CPU with the operators each kind of device is allowed."""
    chosen = POLICIES[request.param]
    with force_policy(chosen) if chosen else nullcontext():
        yield request.param


@pytest.fixture(
    params=[
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA or ROCm device")),
        pytest.param(
            "mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no Apple GPU (MPS)")
        ),
        pytest.param(
            "xpu",
            marks=pytest.mark.skipif(
                not (hasattr(torch, "xpu") and torch.xpu.is_available()), reason="no Intel GPU (XPU)"
            ),
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every kind of device this machine has."""
    return torch.device(request.param)


class _RootIsNoPackage:
    """The pack's own ``__init__.py`` is for ComfyUI, which imports the folder whatever it is called.

    pytest would import it before the first test, and cannot where the name is no identifier, as with a hyphen. Hooks
    of a conftest.py are asked about the folders below it only, so this is a plugin of its own.
    """

    @staticmethod
    def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """A plain folder in place of a package."""
        return pytest.Dir.from_parent(parent, path=path) if path.resolve() == _ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    """See :class:`_RootIsNoPackage`."""
    config.pluginmanager.register(_RootIsNoPackage(), "root-is-no-package")


def _skipped(config: pytest.Config) -> list[str]:
    reports = config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
    return [str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr) for report in reports]


def pytest_terminal_summary(config: pytest.Config, terminalreporter: Any) -> None:
    """Say how many tests were skipped for want of what."""
    if reasons := _skipped(config):
        line, others = skips.account(reasons)
        terminalreporter.write_line(line)
        for reason in others:
            terminalreporter.write_line(f"  {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where TORCH_RASTERIZER_STRICT_SKIPS is set, a test that is skipped for another reason fails the run."""
    if os.environ.get("TORCH_RASTERIZER_STRICT_SKIPS") and exitstatus == pytest.ExitCode.OK:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and skips.account(_skipped(session.config))[1]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
