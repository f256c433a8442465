"""The rasterizer's kernels for vertices that are stored as integers: 6 bytes each, for any number of views.

The kernels are those of :mod:`.rasterize`, compiled once more so that they bring a vertex to clip space themselves,
wherever they need one. No floats of vertices are ever in memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...contract import scenes
from ...contract.types import RasterInfo, RasterOptions
from ...runtime.devices import elsewhere
from ..eager import quantized as eager
from .rasterize import Vertices, draw, program_for
from .workload import MANY

_STEPS = 1 << 14  # of a unit of the scenes that the test draws


def _self_test(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators on scenes that reach every branch.

    Raises:
        RuntimeError: a pixel differs.
    """
    run = elsewhere(_run, device, torch.device("cpu"))
    for name, ((pos, tri), resolution) in {
        "small": (scenes.soup(300, 0.1, seed=1), (150, 170)),
        "large": (scenes.soup(12, 1.5, seed=3), (150, 170)),
        "many": (scenes.soup(MANY, 0.05, seed=4), (350, 370)),
        "dense": (scenes.soup(MANY, 0.02, seed=5), (30, 40)),
        "dense, several rounds": (scenes.soup(1300, 0.6, seed=6), (5, 6)),
    }.items():
        positions = (pos[:, :3] * _STEPS).round().clamp(-32768, 32767).to(torch.int16)
        options = RasterOptions(resolution)
        views = _views() if len(tri) < MANY else _views()[:1]
        want, weights, _ = eager.rasterize_quantized(positions, views, tri, options)
        found, got, _ = run(positions, views, tri, options)
        wrong = int((found != want).sum())
        if wrong or not torch.allclose(got, weights, rtol=0, atol=2e-7, equal_nan=True):
            raise RuntimeError(f"self-test 'quantized, {name}': {wrong} of {want.numel()} pixels wrong")


def _views() -> Tensor:
    """``[2, 4, 4]``: one straight, one in perspective with part of the scene before its near plane."""
    straight = torch.eye(4, dtype=torch.float32)
    straight[:3, :3] /= _STEPS
    rows = [0.8, 0.1, 0.5, 0.0], [-0.2, 0.9, 0.1, 0.1], [-0.4, -0.2, 0.8, -0.3], [0.3, 0.2, 0.7, 0.9]
    turned = torch.tensor(rows, dtype=torch.float32)
    turned[:, :3] /= _STEPS
    return torch.stack((straight, turned))


PROGRAM = program_for(True, lambda device: _self_test(device))
"""The same kernels for integers."""

reason_against = PROGRAM.reason_against


def rasterize_quantized(
    positions: Tensor, matrices: Tensor, tri: Tensor, options: RasterOptions
) -> tuple[Tensor, Tensor, RasterInfo]:
    """As :func:`rasterizer.backends.eager.quantized.rasterize_quantized`; falls back to it when a launch fails."""
    return PROGRAM.attempt(
        positions.device,
        lambda: _run(positions, matrices, tri, options),
        lambda: eager.rasterize_quantized(positions, matrices, tri, options),
    )


def _run(positions: Tensor, matrices: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    return draw(PROGRAM, Vertices(positions.contiguous(), matrices.contiguous()), tri, options)
