"""Textures as they are looked up: over mip levels, so that a turning mesh does not shimmer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...ops.diff import texture


@dataclass(frozen=True)
class Pyramid:
    """A picture and its levels, each half the size of the one before.

    Attributes:
        levels: ``[1, H, W, 3]`` float32 linear values; the first is the picture.
    """

    levels: tuple[Tensor, ...]

    @classmethod
    def of(cls, picture: Tensor, most: int = 16) -> Pyramid:
        """Of a picture ``[H, W, 3]`` of any size, with up to ``most`` levels after it."""
        levels = [picture[None].contiguous()]
        while len(levels) <= most and max(levels[-1].shape[1:3]) > 1:
            levels.append(_halved(levels[-1]))
        return cls(tuple(levels))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        _, height, width, _ = self.levels[0].shape
        return height, width

    def to(self, device: torch.device | str) -> Pyramid:
        """The same on another device."""
        return Pyramid(tuple(level.to(device) for level in self.levels))

    def at(self, uv: Tensor, level: Tensor, footprint: Tensor | None = None) -> Tensor:
        """``[3, P]`` values at ``uv [2, P]``, which repeat, between two levels.

        Args:
            uv: 0..1 over the picture, v = 0 at its top.
            level: ``[P]``; with a footprint, what is added to the level that it asks for.
            footprint: ``[P, 4]``: du/dX, du/dY, dv/dX, dv/dY, X and Y in pixels of the rendered picture.
        """
        places = uv.t().contiguous()[None, None]
        first, *mips = self.levels
        if mips:
            reach = None if footprint is None else footprint[None, None]
            bias = level[None, None].contiguous()
            found = texture(first, places, reach, bias, mips, True, 0, "linear-mipmap-linear", "wrap")
        else:
            found = texture(first, places, None, None, (), True, 0, "linear", "wrap")
        return found.view(-1, first.shape[-1]).t().contiguous()


def _halved(level: Tensor) -> Tensor:
    """The mean of every 2 x 2 texels; an odd side is first brought to the even length below it."""
    _, height, width, _ = level.shape
    planes = level.movedim(-1, 1)
    even = height - height % 2 or 1, width - width % 2 or 1
    if even != (height, width):
        planes = torch.nn.functional.interpolate(planes, even, mode="bilinear", align_corners=False)
    planes = torch.nn.functional.avg_pool2d(planes, (min(2, height), min(2, width)))
    return planes.movedim(1, -1).contiguous()
