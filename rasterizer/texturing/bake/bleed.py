"""Background that bleeds into pictures at the outline of what they show, as painters leave it: how far, and its
removal.

Seen from the side, what one picture shows next to its outline another shows in its middle. Where the first is nearer to
the colour of its own background, by the same share wherever that is compared, the background has bled in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ...rendering.raster import Raster
from .breaks import NOTHING
from .vectors import Columns
from .view import Lens, Pictures

FARTHEST = 5
"""Pixels from the outline at most that are looked at, and left out."""

_SHARE = 0.06  # of the background in a pixel from which on it bleeds in
_CONTRAST = 0.2  # between surface and background from which on a share can be told
_TRUST = 1e-4  # a texel must be seen at least so well by both views
_ENOUGH = 24  # comparisons from which on a distance is judged
_MOST, _STEPS = 4, 256  # shares beyond are as good as it, and steps between 0 and 1, in which medians are found
_UNITS = 1 << 20  # steps between no weight and the greatest


def find_bleed(
    points: Columns, colors: Tensor, trusts: Tensor, lenses: Sequence[Lens], pictures: Pictures, raster: Raster
) -> int:
    """Pixels from the outline within which background bleeds in, 0 to :data:`FARTHEST`; the same for all views, which
    come from one painter.

    Args:
        points: on the surface, at which views are compared.
        colors, trusts: ``[V, n, 3]`` and ``[V, n]``, what views show there, and how far that is trusted.
        lenses, pictures: of all views; the first three channels are colours.
        raster: the mesh as the views see it.
    """
    away = outline_distance(raster.findices[:, 0] > 0, FARTHEST)
    distances = torch.stack([lens.nearest(points, image) for lens, image in zip(lenses, away, strict=True)])
    outside = (away == 0).to(colors)[..., None]
    shown = pictures.color.view(*away.shape, -1)[..., :3]
    grounds = (shown * outside).sum((1, 2)) / outside.sum((1, 2)).clamp(min=1)
    return _farthest(colors, torch.where(trusts > _TRUST, trusts, 0.0), distances, grounds)


def leave_out(pictures: Pictures, raster: Raster, bleed: int) -> None:
    """Make the pixels next to the outline show nothing, in place."""
    lost = outline_distance(raster.findices[:, 0] > 0, FARTHEST) <= bleed
    pictures.depth.view_as(lost).masked_fill_(lost, NOTHING)
    pictures.color.view(*lost.shape, -1)[..., pictures.channels].masked_fill_(lost, 0.0)
    pictures.rough.logical_or_(lost)


def _farthest(colors: Tensor, trusts: Tensor, distances: Tensor, grounds: Tensor) -> int:
    """From what views ``[V, n, 3]`` show, how well ``[V, n]``, how far from the outline ``[V, n]``, and their
    backgrounds ``[V, 3]``."""
    inner = trusts * (distances > FARTHEST)
    total, count = (colors * inner[..., None]).sum(0), inner.sum(0)
    own = inner[..., None]
    others = (total - colors * own) / (count - inner).clamp(min=1e-9)[..., None]
    weight = torch.minimum(trusts, count - inner)
    toward = grounds[:, None] - others
    contrast = toward.square().sum(-1)
    share = ((colors - others) * toward).sum(-1) / contrast.clamp(min=1e-9)
    weight = torch.where((contrast > _CONTRAST**2) & (weight > _TRUST), weight, 0.0)
    *near, (usual, _) = _medians(share, weight, distances.clamp(max=FARTHEST + 1)).tolist()
    bleed = 0
    for pixels, (median, count) in enumerate(near, 1):
        if count >= _ENOUGH:
            if median - usual < _SHARE:
                break
            bleed = pixels
    return bleed


def _medians(share: Tensor, weight: Tensor, distances: Tensor) -> Tensor:
    """``[FARTHEST + 1, 2]``: weighted median and count of shares from 1 pixel on.

    Counted in steps, which is many times as fast as sorting, and in whole numbers, which add up alike in any order.
    """
    step = ((share.clamp(-_MOST, _MOST) + _MOST) * _STEPS).to(torch.int64).clamp_(0, 2 * _MOST * _STEPS)
    place = (distances.to(torch.int64) * (2 * _MOST * _STEPS + 1) + step).view(-1)
    counted = torch.zeros(2, (FARTHEST + 2) * (2 * _MOST * _STEPS + 1), dtype=torch.int64, device=share.device)
    whole = (weight * _UNITS).round().to(torch.int64)
    counted.index_add_(1, place, torch.stack((whole, (weight > 0).to(torch.int64))).view(2, -1))
    weights, counts = counted.view(2, FARTHEST + 2, -1)[:, 1:]
    reached = weights.cumsum(1)
    middle = (reached * 2 < reached[:, -1:]).sum(1).to(share.dtype) / _STEPS - _MOST
    return torch.stack((middle, counts.sum(1).to(share.dtype)), dim=1)


def outline_distance(shown: Tensor, most: int) -> Tensor:
    """``[V, H, W]`` float32: pixels to the nearest that ``shown [V, H, W]`` bool leaves out, 0 for that, and up to one
    more than ``most``."""
    near = (~shown).to(torch.float32)
    found = 1 - near
    for _ in range(most):
        near = max_pool2d(near, 3, 1, 1)
        found += 1 - near
    return found
