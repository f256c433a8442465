"""The light that there is without an environment: a photographer's studio that moves with the camera."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .environment import HEIGHT, Environment, directions, prefilter

_DOME = (0.18, 0.42, 0.75)  # radiance below, at the horizon and above
_BOXES = (
    # azimuth from the camera to its right, elevation, half of width and height in degrees, radiance
    (-42.0, 42.0, 30.0, 24.0, 5.0),  # key
    (58.0, 12.0, 22.0, 38.0, 1.6),  # fill
    (-150.0, 20.0, 14.0, 45.0, 5.0),  # rims
    (140.0, 25.0, 16.0, 45.0, 4.0),
    (0.0, 88.0, 40.0, 40.0, 1.5),  # from above
)
_SOFT = 6.0  # degrees over which a box ends
_COARSE = 64  # texels that suffice for a mean
_FACING = 0.9  # what a white matt surface that faces the camera reflects


_made: list[Environment] = []


def studio(on_progress: Callable[[float], None] | None = None) -> Environment:
    """The studio on the CPU, in the camera's axes: right, up, and toward the camera, in the place of X, Y and Z.

    It is made once, which takes a second or two; ``on_progress`` is called with the share done, 0..1, and may stop it.
    """
    if not _made:
        _made.append(_make(on_progress))
    return _made[0]


def _make(on_progress: Callable[[float], None] | None) -> Environment:
    around = directions(_COARSE)
    cosine = around[2].clamp(min=0.0) * torch.sqrt(1.0 - around[1] ** 2)
    facing = (_radiance(around)[0] * cosine).sum() / cosine.sum()
    light = _radiance(directions(HEIGHT)).reshape(HEIGHT, 2 * HEIGHT, 1) * (_FACING / facing)
    return prefilter(light.expand(-1, -1, 3), on_progress)


def _radiance(direction: Tensor) -> Tensor:
    """``[1, P]`` from directions ``[3, P]`` in the camera's axes."""
    x, y, z = direction
    below, level, above = _DOME
    light = level + (above - level) * y.clamp(min=0.0) + (level - below) * y.clamp(max=0.0)
    for azimuth, elevation, wide, high, strength in _BOXES:
        a, e = math.radians(azimuth), math.radians(elevation)
        ahead = math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)
        right = math.cos(a), 0.0, -math.sin(a)
        up = -math.sin(e) * math.sin(a), math.cos(e), -math.sin(e) * math.cos(a)
        forward, side, height = (x * axis[0] + y * axis[1] + z * axis[2] for axis in (ahead, right, up))
        across = torch.rad2deg(torch.atan2(side, forward)).abs()
        along = torch.rad2deg(torch.atan2(height, torch.hypot(forward, side))).abs()
        inside = ((wide - across) / _SOFT).clamp(0.0, 1.0) * ((high - along) / _SOFT).clamp(0.0, 1.0)
        light = light + strength * inside
    return light[None]
