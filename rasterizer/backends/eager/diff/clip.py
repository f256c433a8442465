"""Triangles that reach out of view, clipped against its planes. See the rule, :mod:`rasterizer.contract.diff_rule`.

All polygons of a batch are walked at once: point k of each is row k of matrices ``[points, N]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract.diff_rule import MOST_POINTS

PIECES = MOST_POINTS - 2
"""Most pieces of a triangle."""

BYTES_PER_CLIPPED = 3000
"""Peak working memory of one triangle and its pieces."""


class _Polygons(NamedTuple):
    """``p, q [MOST_POINTS, N]`` float32, of which the first ``points [N]`` int64 are."""

    p: Tensor
    q: Tensor
    points: Tensor


def clip(corners: Sequence[Sequence[Tensor]]) -> tuple[list[Tensor], Tensor]:
    """Clip triangles.

    Args:
        corners: x, y, z, w ``[N]`` float32, of vertices 0, 1 and 2.

    Returns:
        x, y, z, w of the polygons' points, ``[MOST_POINTS, N]`` each, and how many there are, ``[N]``.
    """
    polygons = _whole(corners[0][0])
    for axis in range(3):
        # A constant of the plane's name: what is not beyond it in any vertex is not beyond it in between.
        planes = [[corner[3] + corner[axis] for corner in corners], [corner[3] - corner[axis] for corner in corners]]
        beyond = torch.stack([corner[axis].abs() > corner[3] for corner in corners]).any(0)
        for plane in planes:
            polygons = _against(polygons, plane, beyond)
    p, q, count = polygons
    return [_at(p, q, [corner[place] for corner in corners]) for place in range(4)], count


def _whole(like: Tensor) -> _Polygons:
    """Triangles, as many as ``like [N]`` has entries."""
    p, q = (like.new_zeros((MOST_POINTS, len(like))) for _ in range(2))
    p[1], q[2] = 1.0, 1.0
    return _Polygons(p, q, torch.full_like(like, 3, dtype=torch.int64))


def _at(p: Tensor, q: Tensor, values: Sequence[Tensor]) -> Tensor:
    """Values at points, from those at vertices 0, 1 and 2, ``[N]`` each."""
    first, second, third = values
    found = (first + p * (second - first)) + q * (third - first)
    found = torch.where(p == 1.0, second, found)
    return torch.where(q == 1.0, third, found)


def _against(polygons: _Polygons, plane: Sequence[Tensor], beyond: Tensor) -> _Polygons:
    """Clip against one plane (I. Sutherland, G. Hodgman, Reentrant polygon clipping, 1974).

    Args:
        polygons: to be clipped.
        plane: what is at least 0 where a point is to be kept, at vertices 0, 1 and 2.
        beyond: ``[N]``, False to leave a polygon as it is.
    """
    p, q, count = polygons
    number = torch.arange(MOST_POINTS, device=p.device)[:, None]
    there = number < count
    value = torch.where(beyond, _at(p, q, plane), 1.0)
    last = (count - 1).clamp_(min=0)[None]

    def before(values: Tensor) -> Tensor:
        return torch.cat((values.gather(0, last), values[:-1]))

    from_p, from_q, from_value = before(p), before(q), before(value)
    crosses = there & (((from_value < 0.0) & (value > 0.0)) | ((from_value > 0.0) & (value < 0.0)))
    keeps = there & (value >= 0.0)
    way = from_value / (from_value - value)
    joining = crosses.to(torch.int64) + keeps.to(torch.int64)
    ends = torch.cumsum(joining, 0)
    place = ends - joining
    crossing_place = torch.where(crosses, place, MOST_POINTS).clamp_(max=MOST_POINTS)
    kept_place = torch.where(keeps, place + crosses.to(torch.int64), MOST_POINTS).clamp_(max=MOST_POINTS)

    def walk(values: Tensor, start: Tensor) -> Tensor:
        new = values.new_zeros((MOST_POINTS + 1, values.shape[1]))  # the last row takes what does not join
        new.scatter_(0, crossing_place, start + way * (values - start))
        return new.scatter_(0, kept_place, values)[:MOST_POINTS]

    return _Polygons(walk(p, from_p), walk(q, from_q), ends[-1].clamp(max=MOST_POINTS))
