"""Antialiasing in float64, pair by pair, as plainly as its contract puts it; and a plain way to draw what it takes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

MARGIN = 1 / 16


class Blend(NamedTuple):
    """A pair of pixels of which one takes over a share of the other's colour.

    Attributes:
        image, p, q: which; pixels are (row, column).
        alpha: ``[]``, differentiable in positions unless it is at its limit.
        ends: the vertices that the edge goes through.
        points: ``[2, 2]``, these from the centre of the nearer triangle's pixel, along the pair and across.
        vertical: whether the pair is one of a column.
    """

    image: int
    p: tuple[int, int]
    q: tuple[int, int]
    alpha: Tensor
    ends: tuple[int, int]
    points: Tensor
    vertical: bool


def draw(pos: Tensor, tri: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, H, W, 4]`` from ``pos [B, V, 4]`` with positive w: at each centre the nearest triangle, by its z/w."""
    height, width = size
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = (2 * column.double() + 1) / width - 1, (2 * row.double() + 1) / height - 1
    images = []
    for vertices in pos.double():
        best, shown = torch.full(size, math.inf, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        for number, corners in enumerate((vertices[:, :3] / vertices[:, 3:])[tri.long()], 1):
            (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
            area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
            u = ((bx - x) * (cy - y) - (cx - x) * (by - y)) / area
            v = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) / area
            z = u * az + v * bz + (1 - u - v) * cz
            nearer = (u > 0) & (v > 0) & (u + v < 1) & (z < best)
            best, shown = torch.where(nearer, z, best), torch.where(nearer, number, shown)
        depth = torch.where(shown > 0, best, 0)
        images.append(torch.stack((0.25 * (shown > 0), 0.25 * (shown > 0), depth, shown), -1))
    return torch.stack(images).float()


def blends(rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor) -> tuple[list[Blend], float]:
    """What is blended, and how near the nearest decision was: the least distance of a number from its threshold."""
    images, height, width, _ = rast.shape
    found, margins = [], [math.inf]
    for image in range(images):
        vertices = pos if pos.ndim == 2 else pos[image]
        for row in range(height):
            for column in range(width):
                for vertical in (False, True):
                    q = (row + 1, column) if vertical else (row, column + 1)
                    if q[0] < height and q[1] < width:
                        blend = _blend(image, rast[image], (row, column), q, vertices, tri, topology, margins)
                        found += [blend] if blend else []
    return found, min(margins)


def _blend(
    image: int,
    rast: Tensor,
    p: tuple[int, int],
    q: tuple[int, int],
    vertices: Tensor,
    tri: Tensor,
    topology: Tensor,
    margins: list[float],
) -> Blend | None:
    (height, width, _), (of_p, of_q) = rast.shape, (int(rast[each][3]) for each in (p, q))
    if of_p == of_q:
        return None
    is_p = of_q == 0 or (of_p > 0 and bool(rast[p][2] < rast[q][2]))
    (row, column), triangle = (p, of_p - 1) if is_p else (q, of_q - 1)
    direction = 1.0 if is_p else -1.0
    corners, across = tri[triangle].tolist(), topology[triangle].tolist()
    vertical = p[1] == q[1]

    def place(vertex: int) -> Tensor:
        x, y, _, w = vertices[vertex]
        place = x / w * width / 2 - (column + 0.5 - width / 2), y / w * height / 2 - (row + 0.5 - height / 2)
        return torch.stack(place[::-1] if vertical else place)

    def meeting(k: int, at: list[Tensor]) -> Tensor:
        """How far from the nearer triangle's pixel, towards the other, edge k meets the line between the two."""
        (x, y), (along_x, along_y) = at[k - 2], at[k - 1] - at[k - 2]
        return direction * (x * along_y - y * along_x) / along_y

    def area(a: Tensor, b: Tensor, c: Tensor) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]))

    live = [place(vertex) for vertex in corners]
    points = [each.detach() for each in live]
    silhouette = []
    for k in range(3):
        folded = [place(across[k]).detach() if each == k and across[k] >= 0 else points[each] for each in range(3)]
        areas = area(*points), area(*folded)
        margins.extend(map(abs, areas))
        silhouette.append(math.copysign(1, areas[0]) == math.copysign(1, areas[1]))
    if not any(silhouette):
        return None

    sides = [math.copysign(1, point[1]) for point in points]
    margins.extend(abs(float(point[1])) for point in points)
    distances = [float(meeting(k, points)) if sides[k - 2] != sides[k - 1] else -math.inf for k in range(3)]
    edge = max(range(3), key=distances.__getitem__)
    second, largest = sorted(distances)[1:]
    start, stop = points[edge - 2], points[edge - 1]
    steep = float((stop - start)[1].abs() - (stop - start)[0].abs())
    if largest > -math.inf:
        margins.extend((largest - second, abs(steep), abs(largest + MARGIN), abs(largest - 1 - MARGIN)))
        margins.extend((abs(largest - 0.5), abs(largest), abs(largest - 1)))
    if not (silhouette[edge] and steep >= 0 and -MARGIN < largest < 1 + MARGIN):
        return None
    alpha = direction * (0.5 - meeting(edge, live).clamp(0, 1))
    ends = corners[edge - 2], corners[edge - 1]
    return Blend(image, p, q, alpha, ends, torch.stack((start, stop)), vertical)


def antialias(color: Tensor, of: list[Blend]) -> Tensor:
    """``color [B, H, W, C]`` blended, float64; differentiable in it and in positions."""
    rows: dict[tuple[int, ...], Tensor] = {}
    for blend in of:
        p, q = (blend.image, *blend.p), (blend.image, *blend.q)
        changed = p if blend.alpha > 0 else q
        rows[changed] = rows.get(changed, 0) + blend.alpha * (color[q] - color[p])
    if not rows:
        return color.clone()
    return color.index_put(tuple(torch.tensor(list(rows)).unbind(1)), torch.stack(list(rows.values())), accumulate=True)


def gradient_of_positions(color: Tensor, pos: Tensor, d_out: Tensor, of: list[Blend]) -> Tensor:
    """The contract's gradient of positions, shaped like ``pos``; the slope of an edge is a little farther from 0."""
    height, width = color.shape[1:3]
    gradient = torch.zeros(pos.shape, dtype=torch.float64)
    for blend in of:
        p, q = (blend.image, *blend.p), (blend.image, *blend.q)
        d_alpha = float((d_out[p if blend.alpha > 0 else q].double() * (color[q] - color[p])).sum())
        if abs(float(blend.alpha)) >= 0.5:
            continue
        (x1, y1), (x2, y2) = blend.points.tolist()
        along = y2 - y1
        inverse = 1 / (along + math.copysign(1e-3, along))
        crossing = (x1 * along - y1 * (x2 - x1)) * inverse
        scale = (height / 2, width / 2) if blend.vertical else (width / 2, height / 2)
        for vertex, (by_x, by_y) in zip(blend.ends, ((-y2, x2 - crossing), (y1, crossing - x1)), strict=True):
            at = (vertex,) if pos.ndim == 2 else (blend.image, vertex)
            x, y, _, w = pos[at].tolist()
            d_x, d_y = (d_alpha * inverse * part * side / w for part, side in zip((by_x, by_y), scale, strict=True))
            d_x, d_y = (d_y, d_x) if blend.vertical else (d_x, d_y)
            gradient[at] += torch.tensor([d_x, d_y, 0.0, -(x * d_x + y * d_y) / w], dtype=torch.float64)
    return gradient
