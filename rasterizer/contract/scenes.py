"""Test scenes made by code, shared by the self-test, the benchmark and the tests."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

Scene = tuple[Tensor, Tensor]
"""Clip-space vertices ``[N, 4]`` float32 and faces ``[M, 3]`` int32, on the CPU."""


def sphere(faces: int, radius: float = 0.9) -> Scene:
    """A latitude-longitude sphere of about ``faces`` triangles, seen orthographically."""
    rings = _rings(faces)
    theta = torch.linspace(0, math.pi, rings + 1, dtype=torch.float64)[:, None]
    phi = torch.linspace(0, 2 * math.pi, 2 * rings + 1, dtype=torch.float64)[None]
    x, y, z = theta.sin() * phi.cos(), theta.cos().expand(-1, phi.shape[1]), theta.sin() * phi.sin()
    points = torch.stack((x, y, z), dim=-1).view(-1, 3) * radius
    return _homogeneous(points), grid_faces(rings, 2 * rings)


def sphere_uv(faces: int) -> Tensor:
    """``[N, 2]`` texture coordinates of the vertices of :func:`sphere`: longitude and latitude, 0 to 1."""
    rings = _rings(faces)
    line = partial(torch.linspace, 0, 1, dtype=torch.float64)
    v, u = torch.meshgrid(line(rings + 1), line(2 * rings + 1), indexing="ij")
    return torch.stack((u, v), dim=-1).view(-1, 2).to(torch.float32)


def uv_grid(faces: int) -> Scene:
    """A flat square grid of about ``faces`` triangles that fills the image, like a dense UV layout."""
    side = max(1, round(math.sqrt(faces / 2)))
    line = torch.linspace(-0.98, 0.98, side + 1, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return _homogeneous(torch.stack((x, y, torch.zeros_like(x)), dim=-1).view(-1, 3)), grid_faces(side, side)


def soup(faces: int, size: float, seed: int = 0, behind: float = 0.0) -> Scene:
    """Random triangles with corners up to ``size`` (NDC) around random centres.

    Args:
        faces: how many.
        size: largest offset of a corner from its triangle's centre.
        seed: of the random numbers.
        behind: share of the vertices with a negative ``w``.
    """
    random = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random, dtype=torch.float32)

    centre = numbers(faces, 1, 3) * 2 - 1
    offset = (numbers(faces, 3, 3) * 2 - 1) * size
    w = 0.5 + numbers(faces * 3, 1)
    w = torch.where(numbers(faces * 3, 1) < behind, -w, w)
    points = (centre * (1 - 0.5 * size) + offset).view(-1, 3)
    return torch.cat((points * w, w), dim=1), torch.arange(3 * faces, dtype=torch.int32).view(faces, 3)


def grid_faces(rows: int, columns: int) -> Tensor:
    """``[2 rows columns, 3]`` int32 faces of a grid with ``rows+1`` times ``columns+1`` vertices."""
    corner = (torch.arange(rows)[:, None] * (columns + 1) + torch.arange(columns)[None]).view(-1)
    below = corner + columns + 1
    first, second = torch.stack((corner, corner + 1, below), 1), torch.stack((corner + 1, below + 1, below), 1)
    return torch.cat((first, second)).to(torch.int32)


def _rings(faces: int) -> int:
    """Rows of quads of a sphere; each has twice as many."""
    return max(2, round(math.sqrt(faces / 4)))


def _homogeneous(points: Tensor) -> Tensor:
    return torch.cat((points, torch.ones_like(points[:, :1])), dim=1).to(torch.float32)
