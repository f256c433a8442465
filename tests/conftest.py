"""Shared by all tests: golden files, and the policies under which the eager path must give the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rasterizer import device as device_module

GOLDEN = Path(__file__).parent / "golden"

POLICIES = {
    "cpu": None,
    "gpu": device_module._GPU,
    "portable": device_module.PORTABLE,
    "tiles": replace(device_module._CPU, spans=False, box_sizes=(2, 4)),  # small boxes count as large and are cut
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
    with device_module.force_policy(chosen) if chosen else nullcontext():
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
