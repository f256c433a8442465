"""Matching the colours of views that were exposed differently: one gain a view and channel.

Gains that make overlapping views agree, as Brown and Lowe, "Automatic Panoramic Image Stitching using Invariant
Features", 2007, find them for panoramas; but from medians, which a highlight or a misplaced feature does not move, and
with the spread about the median as the measure of what an overlap is worth: views that overlap only at grazing angles
differ for other reasons than exposure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from .view import selects

LEAST, MOST = 0.7, 1.4
"""Gains stay between these."""

_DARK, _BRIGHT = 0.03, 0.98  # colours between which a ratio says something
_TRUST = 1e-4  # a texel must be seen at least so well by both views
_ENOUGH = 0.0003  # share of the texels that two views must share for their ratio to count an eighth
_SPREAD = 0.005  # deviation of log ratios that is as good as none
_UNITS = 1 << 20  # steps between no weight and the greatest
_PRIOR = 0.05  # deviation of a gain from 1 that is likely without any evidence
_TOGETHER = 1 << 23  # ratios that devices which do better at once are given at once
_TINT = 0.03  # deviation of a channel's gain from the other channels' that is likely, likewise


def find_gains(colors: Tensor, trust: Tensor, weights: Sequence[float]) -> Tensor:
    """Gains ``[V, C]`` to multiply views by.

    Args:
        colors: ``[V, n, C]`` of texels in each view, display-referred, 0..1.
        trust: ``[V, n]``, 0 where a view does not show a texel.
        weights: of the views.
    """
    views, count, channels = colors.shape
    if not count:
        return colors.new_ones(views, channels)
    logs = colors.clamp(min=1e-6).log()
    usable = (colors > _DARK) & (colors < _BRIGHT)
    most = max(max(weights), 1e-9)
    rows, pairs = [], torch.tensor(list(combinations(range(views), 2)), dtype=torch.int64).view(-1, 2)
    together = 1 if selects(colors.device) else max(1, _TOGETHER // (count * channels))
    for one, other in (some.t().to(colors.device) for some in pairs.split(together) if len(some)):
        both = torch.minimum(trust[one], trust[other])
        weight = torch.where(usable[one] & usable[other] & (both > _TRUST)[..., None], both[..., None], 0.0)
        weight = weight.transpose(1, 2).flatten(0, 1)
        ratio = (logs[one] - logs[other]).transpose(1, 2).flatten(0, 1)
        middle = weighted_median(ratio, weight)
        spread = weighted_median((ratio - middle[:, None]).abs(), weight)
        share = weight.sum(1) / count
        # Cubed, since a handful of texels next to each other has no spread and still says nothing.
        certainty = (share / (share + _ENOUGH)) ** 3 / (spread.square() + _SPREAD**2)
        rows.append(torch.stack((middle, certainty)).view(2, -1, channels).transpose(0, 1))
    found = torch.cat(rows).cpu().double() if rows else torch.zeros(0, 2, channels, dtype=torch.float64)
    return _solve(found, [weight / most + 0.2 for weight in weights]).exp().to(colors)


def _solve(found: Tensor, strength: Sequence[float]) -> Tensor:
    """``[V, C]`` logarithms of gains, by least squares; a channel of which little is known follows the others.

    Args:
        found: ``[pairs, 2, C]`` float64 median of the log ratio and its certainty, in the order of ``combinations``.
        strength: of each view, how much it wants to stay as it is.
    """
    views, channels = len(strength), found.shape[2]
    each, mean = torch.eye(channels, dtype=torch.float64), torch.full((channels, channels), 1 / channels).double()
    matrix = torch.zeros(views, channels, views, channels, dtype=torch.float64)
    right = torch.zeros(views, channels, dtype=torch.float64)
    for view, wish in enumerate(strength):
        matrix[view, :, view] += mean * (wish / _PRIOR**2) + (each - mean) * (wish / _TINT**2)
    for (one, other), (middle, certainty) in zip(combinations(range(views), 2), found, strict=True):
        known = torch.diag(certainty)
        matrix[one, :, one] += known
        matrix[other, :, other] += known
        matrix[one, :, other] -= known
        matrix[other, :, one] -= known
        right[one] -= certainty * middle
        right[other] += certainty * middle
    size = views * channels
    logs = torch.linalg.solve(matrix.view(size, size), right.view(size)).view(views, channels)
    return logs.clamp(math.log(LEAST), math.log(MOST))


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """``[k]``: of each row of ``values [k, n]`` the one at which half of the ``weights [k, n]`` is reached; 0 where
    there are none."""
    ordered, order = values.sort(dim=1)
    # Whole numbers, whose sums are the same on all devices in any order.
    whole = (weights / weights.amax(1, keepdim=True).clamp(min=1e-30) * _UNITS).round().to(torch.int64)
    reached = whole.gather(1, order).cumsum(1)
    total = reached[:, -1:]
    place = (reached * 2 < total).sum(1, keepdim=True).clamp(max=values.shape[1] - 1)
    return torch.where(total[:, 0] > 0, ordered.gather(1, place)[:, 0], 0.0)
