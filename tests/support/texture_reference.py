"""Texture sampling as the contract words it, one small step after another, in float64, differentiable by autograd.

Shares nothing with the library. Every level is looked up for every pixel, and what does not count is left out of the
sum. For finite arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """What a texture call gives.

    Attributes:
        out: ``[B, H, W, C]``.
        distance: ``[B, H, W]`` how far, in texels or levels, a pixel lies from the next place where a gradient jumps.
    """

    out: Tensor
    distance: Tensor


def sample(
    levels: list[Tensor], uv: Tensor, uv_da: Tensor | None, bias: Tensor | None, mode: str, boundary: str
) -> Sample:
    """Arguments as the library's, in float64."""
    batch = torch.arange(len(uv))[:, None, None].expand(uv.shape[:-1]) % len(levels[0])
    size = levels[0].shape[-3:-1]
    if boundary == "cube":
        face, point, usable = meet(uv)
        footprint = None if uv_da is None else slide(uv, uv_da, face)
    else:
        face, point, usable, footprint = None, uv, torch.ones(uv.shape[:-1], dtype=torch.bool), uv_da
    distance = _apart(uv) if boundary == "cube" else torch.full(uv.shape[:-1], torch.inf, dtype=uv.dtype)
    if mode == "nearest":
        out, apart = look_up_nearest(levels[0], batch, face, point, boundary)
        return Sample(torch.where(usable[..., None], out, 0.0), torch.minimum(distance, apart))
    level = torch.zeros(uv.shape[:-1], dtype=uv.dtype)
    if mode.startswith("linear-mipmap"):
        if footprint is not None:
            level = level + level_of(footprint, size)
        if bias is not None:
            level = level + bias
        distance = torch.minimum(distance, (level - level.round()).abs().detach())
        level = level.clamp(0, len(levels) - 1)
    low = level.detach().floor()
    part = level - low if mode == "linear-mipmap-linear" else torch.zeros_like(level)
    out = torch.zeros(*uv.shape[:-1], levels[0].shape[-1], dtype=uv.dtype)
    for number, texture in enumerate(levels):
        share = torch.where(low == number, 1 - part, torch.where(low == number - 1, part, 0.0))
        found, apart = look_up(texture, batch, face, point, boundary)
        out = out + share[..., None] * found
        distance = torch.where(share > 0, torch.minimum(distance, apart), distance)
    return Sample(torch.where(usable[..., None], out, 0.0), distance)


def level_of(footprint: Tensor, size: torch.Size) -> Tensor:
    """Half the logarithm of the larger eigenvalue of M^T M, M being the footprint in texels."""
    matrix = footprint.unflatten(-1, (2, 2)) * torch.tensor([size[1], size[0]], dtype=footprint.dtype)[:, None]
    return 0.5 * torch.log2(torch.linalg.eigvalsh(matrix.transpose(-1, -2) @ matrix)[..., -1])


def look_up_nearest(
    texture: Tensor, batch: Tensor, face: Tensor | None, point: Tensor, boundary: str
) -> tuple[Tensor, Tensor]:
    """The texel that a point lies in, and how far in texels the next one is."""
    height, width = texture.shape[-3:-1]
    point = point - point.floor() if boundary == "wrap" else point
    place = point * torch.tensor([width, height], dtype=point.dtype)
    apart = (place - place.round()).abs().amin(-1).detach()
    i, j = place.floor().long().unbind(-1)
    return texel(texture, batch, face, i, j, "clamp" if boundary == "cube" else boundary), apart


def look_up(texture: Tensor, batch: Tensor, face: Tensor | None, point: Tensor, boundary: str) -> tuple[Tensor, Tensor]:
    """Bilinear value at a level, and how far in texels the next line of centres is."""
    height, width = texture.shape[-3:-1]
    point = point - point.detach().floor() if boundary == "wrap" else point
    sides = torch.tensor([width, height], dtype=point.dtype)
    place = point * sides - 0.5
    if boundary == "clamp":
        place = torch.minimum(place.clamp(min=0.0), sides - 1)
    low = place.detach().floor()
    apart = (point * sides - 0.5 - (point * sides - 0.5).round()).abs().amin(-1).detach()
    (f, g), (i, j) = (place - low).unbind(-1), low.long().unbind(-1)
    f, g = f[..., None], g[..., None]
    corners = [[texel(texture, batch, face, i + di, j + dj, boundary) for di in (0, 1)] for dj in (0, 1)]
    if boundary == "cube":
        corners = _with_corners(corners, texture.shape[-2], i, j)
    (a, b), (c, d) = corners
    upper, lower = a + f * (b - a), c + f * (d - c)
    return upper + g * (lower - upper), apart


def texel(texture: Tensor, batch: Tensor, face: Tensor | None, i: Tensor, j: Tensor, boundary: str) -> Tensor:
    """The texel in column i and row j, wherever that is."""
    height, width = texture.shape[-3:-1]
    if boundary == "wrap":
        return texture[batch, j % height, i % width]
    if boundary == "cube":
        assert face is not None
        face, j, i = across_edges(face, i, j, width)
        return texture[batch, face, j, i]
    inside = (i >= 0) & (i < width) & (j >= 0) & (j < height)
    place = (batch, *(() if face is None else (face,)), j.clamp(0, height - 1), i.clamp(0, width - 1))
    return torch.where(inside[..., None], texture[place], 0.0) if boundary == "zero" else texture[place]


# Cube maps: of each face its normal, and the directions in which s and t grow.
NORMAL = torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=torch.float64)
RIGHT = torch.tensor([[0, 0, -1], [0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0], [-1, 0, 0]], dtype=torch.float64)
DOWN = torch.tensor([[0, -1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0], [0, -1, 0]], dtype=torch.float64)


def meet(direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Face, ``(s, t)`` on it, and whether the direction has one."""
    usable = direction.isfinite().all(-1) & (direction != 0).any(-1)
    direction = torch.where(usable[..., None], direction, torch.tensor([1.0, 0, 0], dtype=direction.dtype))
    x, y, z = direction.abs().detach().unbind(-1)
    axis = torch.where(z > torch.maximum(x, y), 2, torch.where(y > x, 1, 0))
    major = direction.detach().gather(-1, axis[..., None])[..., 0]
    face = 2 * axis + (major < 0)
    return face, on_face(direction, face), usable


def on_face(direction: Tensor, face: Tensor) -> Tensor:
    """``(s, t)`` where a direction meets the plane of a face."""
    depth = (direction * NORMAL[face]).sum(-1)
    return torch.stack([(direction * axis[face]).sum(-1) / (2 * depth) + 0.5 for axis in (RIGHT, DOWN)], -1)


def slide(direction: Tensor, moved: Tensor, face: Tensor) -> Tensor:
    """``(ds/dX, ds/dY, dt/dX, dt/dY)`` from ``(dx/dX, dx/dY, dy/dX, ...)``: the quotient rule."""
    columns = []
    depth = (direction * NORMAL[face]).sum(-1)
    for axis in (RIGHT, DOWN):
        along = (direction * axis[face]).sum(-1)
        for by in moved.unflatten(-1, (3, 2)).unbind(-1):
            d_along, d_depth = (by * axis[face]).sum(-1), (by * NORMAL[face]).sum(-1)
            columns.append((d_along * depth - along * d_depth) / (2 * depth * depth))
    return torch.stack(columns, -1)


def across_edges(face: Tensor, i: Tensor, j: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Face, row and column of a texel that may lie over one edge of the cube; over a corner, any."""
    over = (i < 0) | (i >= side), (j < 0) | (j >= side)
    s = torch.where(over[0], (i >= side).double(), (i.clamp(0, side - 1) + 0.5) / side)
    t = torch.where(over[1], (j >= side).double(), (j.clamp(0, side - 1) + 0.5) / side)
    on_edge = NORMAL[face] + (2 * s - 1)[..., None] * RIGHT[face] + (2 * t - 1)[..., None] * DOWN[face]
    # Of the two faces at this edge the other one: the point's largest coordinates are +-1 along both axes.
    facing = (on_edge[..., None, :] * NORMAL).sum(-1)
    facing.scatter_(-1, face[..., None], -1.0)
    other = facing.argmax(-1)
    places = on_face(on_edge, other) * side
    row, column = (places[..., n].floor().long().clamp(0, side - 1) for n in (1, 0))
    crossed = over[0] ^ over[1]
    return (
        torch.where(crossed, other, face),
        torch.where(crossed, row, j.clamp(0, side - 1)),
        torch.where(crossed, column, i.clamp(0, side - 1)),
    )


def _with_corners(corners: list[list[Tensor]], side: int, i: Tensor, j: Tensor) -> list[list[Tensor]]:
    """The texel over a corner of the cube is the mean of the three that are there."""
    whole = [[corners[dj][di] for di in (0, 1)] for dj in (0, 1)]
    total = corners[0][0] + corners[0][1] + corners[1][0] + corners[1][1]
    for dj in (0, 1):
        for di in (0, 1):
            over_i, over_j = ((at < 0) | (at >= side) for at in (i + di, j + dj))
            mean = (total - corners[dj][di]) / 3
            whole[dj][di] = torch.where((over_i & over_j)[..., None], mean, corners[dj][di])
    return whole


def _apart(direction: Tensor) -> Tensor:
    """How much larger the largest coordinate is than the second: where a direction changes its face."""
    most = direction.abs().sort(-1).values.detach()
    return (most[..., 2] - most[..., 1]).nan_to_num(torch.inf)
