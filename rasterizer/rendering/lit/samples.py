"""Where the samples of a pixel lie."""

from __future__ import annotations

import math


def sample_places(count: int) -> list[tuple[float, float]]:
    """Where samples lie around a pixel's centre, in pixels to the right and down; their mean is the centre.

    Hammersley's points, spread by the inverse of the tent's distribution: filter importance sampling (Ernst et al.,
    "Filter Importance Sampling", 2006).
    """
    places = [(_tent((k + 0.5) / count), _tent(_radical_inverse(k) + 0.5 / count)) for k in range(count)]
    right, down = (sum(axis) / count for axis in zip(*places, strict=True))
    return [(x - right, y - down) for x, y in places]


def _tent(share: float) -> float:
    share = min(share, 1.0)
    return math.sqrt(2 * share) - 1 if share < 0.5 else 1 - math.sqrt(2 * (1 - share))


def _radical_inverse(number: int) -> float:
    """The bits of a number mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    value, step = 0.0, 0.5
    while number:
        value, number, step = value + step * (number & 1), number >> 1, step / 2
    return value
