"""Vertices on the screen of a tile: where they are snapped to, how deep they are, and which planes they lie beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract.diff_rule import DEPTH_SCALE, SUBPIXELS, Tile, to_tile
from .exact import vertex_depth

PLANES = 0x3F
"""Bits of the planes a vertex lies beyond, in the order of the rule."""

NOT_FINITE = 0x40
"""Bit of a vertex with a coordinate that is not finite."""

NOWHERE = 0x80
"""Bit of a vertex that is not finite on the screen: at the eye, or next to it."""

BYTES_PER_VERTEX = 100
"""Peak working memory of one vertex."""


class Snapped(NamedTuple):
    """Points on the screen.

    Attributes:
        x, y: ``[...]`` int32, 16ths of a pixel from the image's corner, 0 to its size.
        depth: ``[...]`` float32, a whole number.
        finite: ``[...]`` bool; the others have any values where this is False.
    """

    x: Tensor
    y: Tensor
    depth: Tensor
    finite: Tensor


class Screen(NamedTuple):
    """All vertices: ``x, y, depth`` as in :class:`Snapped`, and ``code`` uint8, the bits above; ``[K]`` each."""

    x: Tensor
    y: Tensor
    depth: Tensor
    code: Tensor


def on_tile(x: Tensor, y: Tensor, w: Tensor, size: tuple[int, int], tile: Tile) -> tuple[Tensor, Tensor]:
    """Clip coordinates of a tile of an image of ``size``."""
    for_x, for_y = to_tile(size[1], tile.left, tile.width), to_tile(size[0], tile.top, tile.height)
    if for_x != (1.0, 0.0):
        x = x * for_x[0] + w * for_x[1]
    if for_y != (1.0, 0.0):
        y = y * for_y[0] + w * for_y[1]
    return x, y


def snap(x: Tensor, y: Tensor, z: Tensor, w: Tensor, tile: Tile) -> Snapped:
    """Points on the screen from clip coordinates of the tile, ``[...]`` float32 each."""
    reciprocal = torch.reciprocal(w)
    across, down = x * reciprocal, y * reciprocal
    # 0, or NaN where one of them is not finite.
    nothing = (across - across) + (down - down) + z * DEPTH_SCALE * reciprocal * 0.0
    places: list[Tensor] = []
    for place, pixels in ((across, tile.width), (down, tile.height)):
        half = float(SUBPIXELS // 2 * pixels)
        steps = torch.nan_to_num(place * half, 0.0).round_().clamp_(-half, half)
        places.append((steps + half).to(torch.int32))
    return Snapped(places[0], places[1], vertex_depth(z, reciprocal), nothing == 0.0)


def locate(columns: Sequence[Tensor], size: tuple[int, int], tile: Tile, chunk: int) -> Screen:
    """All vertices on the screen of a tile.

    Args:
        columns: x, y, z, w ``[K]`` in clip space.
        size: of the image.
        tile: of it.
        chunk: most vertices at once.
    """
    count, device = len(columns[0]), columns[0].device
    screen = Screen(
        torch.empty(count, dtype=torch.int32, device=device),
        torch.empty(count, dtype=torch.int32, device=device),
        torch.empty(count, dtype=torch.float32, device=device),
        torch.empty(count, dtype=torch.uint8, device=device),
    )
    for start in range(0, count, chunk):
        some = slice(start, start + chunk)
        x, y, z, w = (column[some] for column in columns)
        x, y = on_tile(x, y, w, size, tile)
        found = snap(x, y, z, w, tile)
        for to, values in zip(screen, (found.x, found.y, found.depth, _code(x, y, z, w, found.finite)), strict=True):
            to[some] = values
    return screen


def _code(x: Tensor, y: Tensor, z: Tensor, w: Tensor, on_screen: Tensor) -> Tensor:
    """``[K]`` uint8."""
    code = on_screen.logical_not().to(torch.uint8) << 7
    code |= ((x - x) + (y - y) + (z - z) + (w - w) != 0.0).to(torch.uint8) << 6
    minus = -w
    for place, axis in enumerate((x, y, z)):
        code |= (axis < minus).to(torch.uint8) << 2 * place
        code |= (axis > w).to(torch.uint8) << 2 * place + 1
    return code
