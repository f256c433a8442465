"""What the GPU kernels must pass before they are used on a device."""

from __future__ import annotations

import torch

from . import lookup, relaxation
from . import surface_kernels as kernels

_SIDE = 8  # cells along a side
_POINTS = 3000
_CLOSE = 1e-4  # values that differ by less agree: what is summed in another order is rounded otherwise
_FLIPPED = 0.01  # share of points that may find another cell: rounding decides which of two is nearer


def check_kernels(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators on random cells and a random graph.

    Raises:
        RuntimeError: an output differs.
    """
    random = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=random, dtype=torch.float32)

    keys, order = torch.sort(torch.randint(_SIDE**3, (_SIDE**2 * 4,), generator=random), stable=True)
    cells, points = _middles(keys) + rand(len(keys), 3) / _SIDE, rand(_POINTS, 3) * 2.2 - 1.1
    places = torch.empty_like(cells).index_copy_(0, order, cells)
    normals, facing = rand(len(keys), 3) - 0.5, rand(_POINTS, 3) - 0.5
    centre = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float32)
    keys, order, places, normals, centre = (
        part.to(device) for part in (keys, order, places * 0.7 + centre, normals, centre)
    )
    grid = lookup.Grid(keys, order, places, normals, centre, 0.7, _SIDE)
    points = points.to(device) * 0.7 + centre
    for its_normals in (None, facing.to(device)):
        got, want = (way.find(grid, points, its_normals) for way in (kernels, lookup))
        if float((got != want).to(torch.float32).mean()) > _FLIPPED:
            raise RuntimeError(f"self-test: {int((got != want).sum())} of {_POINTS} points found another cell")

    apart = torch.tensor([-31, -5, -1, 1, 5, 31])
    neighbors = (torch.arange(_POINTS)[:, None] + apart) % _POINTS
    neighbors = torch.cat((neighbors, torch.full((_POINTS, 1), -1)), dim=1)
    free = (rand(_POINTS) < 0.7).to(torch.float32)
    weights = torch.tensor([0.1, 0.3, 0.1, 0.1, 0.3, 0.1, 0.0], dtype=torch.float32) * free[:, None]
    for channels in (1, 4):
        asked = [part.to(device) for part in (rand(_POINTS, channels), neighbors, weights, free)]
        moved, wanted = (way.relax(*asked, relaxation.FINEST) for way in (kernels, relaxation))
        if not torch.allclose(moved, wanted, rtol=0, atol=_CLOSE):
            raise RuntimeError("self-test: relaxed values differ")


def _middles(keys: torch.Tensor) -> torch.Tensor:
    """A corner of each cell, -1..1."""
    row = torch.div(keys, _SIDE, rounding_mode="floor")
    place = torch.stack((torch.div(row, _SIDE, rounding_mode="floor"), row % _SIDE, keys % _SIDE), dim=1)
    return place.to(torch.float32) * (2 / _SIDE) - 1
