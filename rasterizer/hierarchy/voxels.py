"""Cells as little cubes, to look at."""

from __future__ import annotations

import torch
from torch import Tensor

from ..meshes.mesh import Mesh
from .grid import GridHierarchy

COLORINGS = ("coarser cell", "normal", "position")
"""What a cell's colour shows."""

_GAP = 0.12  # share of a cell's side left free between cubes
_SHADE = (0.72, 0.62, 1.0, 0.45, 0.88, 0.8)  # of the sides -x +x +y -y +z -z: told apart without any lamp
_SIDES = torch.tensor(
    [  # four corners of each side, counter-clockwise seen from outside
        [[-1, -1, -1], [-1, -1, 1], [-1, 1, 1], [-1, 1, -1]],
        [[1, -1, 1], [1, -1, -1], [1, 1, -1], [1, 1, 1]],
        [[-1, 1, 1], [1, 1, 1], [1, 1, -1], [-1, 1, -1]],
        [[-1, -1, -1], [1, -1, -1], [1, -1, 1], [-1, -1, 1]],
        [[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
        [[1, -1, -1], [-1, -1, -1], [-1, 1, -1], [1, 1, -1]],
    ],
    dtype=torch.float32,
)


def voxel_mesh(hierarchy: GridHierarchy, level: int, coloring: str = "coarser cell") -> Mesh:
    """A mesh with a cube for each cell of a level that is not padding, 24 vertices and 12 faces each.

    Args:
        hierarchy: whose cells.
        level: 0 is the finest.
        coloring: ``coarser cell`` gives all cells that lie in one cell of the next level the same colour, ``normal``
            and ``position`` show the surface in the cell.

    Raises:
        ValueError: a level that the hierarchy does not have.
    """
    if not 0 <= level < hierarchy.levels:
        raise ValueError(f"level: is {level}, but the hierarchy has levels 0 (finest) to {hierarchy.levels - 1}")
    holds = original_cells(hierarchy, level)
    cells = holds.nonzero().squeeze(1)
    centres = hierarchy.points(level).index_select(0, cells)
    colors = _colors(hierarchy, level, coloring).index_select(0, cells)
    device = centres.device
    half = hierarchy.cell_size * 2**level * (1 - _GAP) / 2
    vertices = centres[:, None, None] + _SIDES.to(device) * half
    shade = torch.tensor(_SHADE, dtype=torch.float32, device=device)[:, None, None]
    shaded = (colors[:, None, None] * shade).expand(-1, -1, 4, -1)
    corner = torch.tensor([[0, 1, 2], [0, 2, 3]], device=device)
    quads = torch.arange(len(cells) * 6, device=device)[:, None, None] * 4
    faces = (quads + corner).reshape(-1, 3).to(torch.int32)
    return Mesh(vertices.reshape(-1, 3), faces, vertex_colors=shaded.reshape(-1, 3), name=f"cells of level {level}")


def original_cells(hierarchy: GridHierarchy, level: int) -> Tensor:
    """``[N]`` bool, which cells of a level hold a sample of the surface; the others are padding."""
    holds = hierarchy.original
    for number in range(level):
        above = torch.zeros(hierarchy.count(number + 1), dtype=torch.bool, device=holds.device)
        holds = above.index_fill(0, hierarchy.downsamples[number][holds], True)
    return holds


def _colors(hierarchy: GridHierarchy, level: int, coloring: str) -> Tensor:
    """``[N, 3]`` linear RGB."""
    if coloring == "position":
        return ((hierarchy.points(level) - hierarchy.centre) / hierarchy.half_side * 0.5 + 0.5) ** 2.2
    if coloring == "normal":
        normals = hierarchy.normals
        for number in range(level):
            normals = hierarchy.pull(normals, number)
        return (torch.nn.functional.normalize(normals, dim=1) * 0.5 + 0.5) ** 2.2
    if coloring != "coarser cell":
        raise ValueError(f"coloring: is {coloring!r}, expected one of {', '.join(COLORINGS)}")
    if level + 1 < hierarchy.levels:
        cell = hierarchy.downsamples[level]
    else:
        cell = torch.arange(hierarchy.count(level), device=hierarchy.original.device)
    # Multiples of the golden ratio spread hues evenly however many there are.
    hue = torch.remainder(cell.float() * 0.6180339887, 1.0)[:, None] * (2 * torch.pi)
    return 0.42 + 0.38 * torch.cos(hue + hue.new_tensor([0.0, -2.0944, 2.0944]))
