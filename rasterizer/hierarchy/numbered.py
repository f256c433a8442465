"""The finest cells that samples lie in, numbered in the order of the samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .cells import Numbering, coordinates_of, pack, unpack
from .surface_samples import Samples

SANE = 1 << 20
"""A coordinate beyond this means a position far outside the cube, or NaN."""


@dataclass(frozen=True)
class Numbered:
    """N cells of the finest level; the first sample in a cell stands for it.

    Attributes:
        samples: what was numbered.
        resolution: cells along a side of the cube.
        numbering: of the samples' cells.
        coordinates: ``[N, 3]`` int64 of the cells.
        normals: ``[N, 3]`` float32 of the samples that stand for them.
        inside: whether every position lies in the half-open cube, so that no key is that of another cell.
    """

    samples: Samples
    resolution: int
    numbering: Numbering
    coordinates: Tensor
    normals: Tensor
    inside: bool


def number_cells(
    samples: Samples,
    resolution: int,
    split_sides: bool,
    numbering: Callable[[Tensor], Numbering] = Numbering.of,
) -> Numbered:
    """Number the finest cells that ``samples`` lie in.

    Args:
        samples: of the surface.
        resolution: cells along a side of the cube.
        split_sides: give samples that share a cell but face away from its first one a cell of their own.
        numbering: numbers keys; :meth:`Numbering.of`, or what gives the same.

    Raises:
        ValueError: a position is NaN or far outside the cube.
    """
    coordinates = coordinates_of(samples.positions, resolution)
    inside = _all_inside(coordinates, resolution)
    keys = pack(coordinates, resolution)
    cells = numbering(keys)
    if split_sides:
        leading = samples.normals.index_select(0, cells.first).index_select(0, cells.number)
        away = (samples.normals * leading).sum(dim=1) < 0
        cells = numbering(keys * 2 + away)
        cells = replace(cells, keys=cells.keys >> 1)
    normals = samples.normals.index_select(0, cells.first)
    own = coordinates.index_select(0, cells.first)
    if not inside:  # a cell is where its key says it is
        own = unpack(keys.index_select(0, cells.first), resolution)
    return Numbered(samples, resolution, cells, own, normals, inside)


def _all_inside(coordinates: Tensor, resolution: int) -> bool:
    """Whether all coordinates lie in ``0 .. resolution - 1``; raises if one is no coordinate at all."""
    if not len(coordinates):
        return True
    least, most = torch.stack(torch.aminmax(coordinates)).tolist()
    if least < -SANE or most > SANE:
        raise ValueError("view_layer_positions: a valid pixel holds NaN or lies far outside, expected x, y, z in -1..1")
    return least >= 0 and most < resolution
