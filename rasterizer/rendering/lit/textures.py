"""Textures as they are looked up: over mip levels, so that a turning mesh does not shimmer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.rule import constant


@dataclass(frozen=True)
class Pyramid:
    """A picture and its levels, each half the size of the one before, as rows of one table.

    A look-up here makes no copy of the levels, as that of :mod:`rasterizer.ops.diff` does without a kernel: pixels
    come in many small chunks, and textures may be larger than all else.

    Attributes:
        table: ``[T, C]`` float32 texels, level after level, row by row.
        sizes: height and width of each level.
    """

    table: Tensor
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, picture: Tensor, levels: int = 16) -> Pyramid:
        """Of a picture ``[H, W, C]`` of any size, with at most so many levels, down to a single texel."""
        height, width, channels = picture.shape
        sizes = [(height, width)]
        while len(sizes) < levels and max(sizes[-1]) > 1:
            sizes.append((max(1, sizes[-1][0] // 2), max(1, sizes[-1][1] // 2)))
        made = cls(picture.new_empty(sum(h * w for h, w in sizes), channels), tuple(sizes))
        made.level(0).copy_(picture)
        for number in range(1, len(sizes)):
            made.level(number).copy_(_halved(made.level(number - 1)))
        return made

    @classmethod
    def joined(cls, levels: Sequence[Tensor]) -> Pyramid:
        """Of levels ``[H, W, C]`` made elsewhere."""
        sizes = tuple((level.shape[0], level.shape[1]) for level in levels)
        return cls(torch.cat([level.reshape(-1, level.shape[2]) for level in levels]), sizes)

    def level(self, number: int) -> Tensor:
        """``[H, W, C]`` one of the levels, as a view."""
        height, width = self.sizes[number]
        start = self._first(number)
        return self.table[start : start + height * width].view(height, width, -1)

    def to(self, device: torch.device | str) -> Pyramid:
        """The same on another device."""
        return Pyramid(self.table.to(device), self.sizes)

    def at(self, uv: Tensor, level: Tensor | None = None, footprint: Tensor | None = None) -> Tensor:
        """``[C, P]`` values at ``uv [2, P]``, which repeat, from four texels of each of two levels.

        Args:
            uv: 0..1 over the picture, v = 0 at its top; texel j of W lies at (j + 0.5) / W.
            level: ``[P]``, None for that of the picture; with a footprint, what is added to the level it asks for.
            footprint: ``[4, P]``: du/dX, du/dY, dv/dX, dv/dY, X and Y in pixels of the rendered picture.
        """
        if level is None or len(self.sizes) == 1:
            index, weight = self._around(uv, torch.zeros_like(uv[:1], dtype=torch.int64))
        else:
            if footprint is not None:
                level = level + self._level_of(footprint)
            level = level.nan_to_num(0.0).clamp(0.0, len(self.sizes) - 1)
            low = level.floor()
            coarse = level - low
            numbers = torch.stack((low, level.ceil())).to(torch.int64)
            index, weight = self._around(uv, numbers)
            weight = weight * torch.stack((1.0 - coarse, coarse))
        index, weight = index.flatten(0, 1), weight.flatten(0, 1)  # [K, P]
        texels = self.table.index_select(0, index.view(-1)).t().reshape(-1, *index.shape)
        return (texels * weight).sum(1)

    def _around(self, uv: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """``[4, L, P]`` rows of the table and weights of the texels around points at levels ``[L, P]`` int64."""
        firsts = [self._first(number) for number in range(len(self.sizes))]
        height, width, first = (
            constant(tuple(values), uv.device, torch.int64)[level]
            for values in (*zip(*self.sizes, strict=True), firsts)
        )
        low, high, between = [], [], []
        for place, size in zip(uv, (width, height), strict=True):
            wrapped = (place - place.floor()).nan_to_num(0.0).clamp(0.0, 1.0)
            scaled = wrapped * size - 0.5
            whole = scaled.floor()
            texel = whole.to(torch.int64)
            low.append(torch.where(texel < 0, size - 1, texel))
            high.append(torch.where(texel + 1 >= size, 0, texel + 1))
            between.append(scaled - whole)
        (left, top), (right, bottom), (x, y) = low, high, between
        upper, lower = first + top * width, first + bottom * width
        index = torch.stack((upper + left, upper + right, lower + left, lower + right))
        weight = torch.stack(((1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y))
        return index.clamp_(0, len(self.table) - 1), weight

    def _level_of(self, footprint: Tensor) -> Tensor:
        """``[P]`` the level whose texels are as wide as the longer half-axis of the ellipse a pixel's circle becomes.

        Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, 3.4.
        """
        height, width = self.sizes[0]
        s_x, s_y, t_x, t_y = footprint
        s_x, s_y, t_x, t_y = s_x * width, s_y * width, t_x * height, t_y * height
        across, down, cross = s_x * s_x + t_x * t_x, s_y * s_y + t_y * t_y, s_x * s_y + t_x * t_y
        longest = (across + down) / 2 + torch.sqrt((across - down) ** 2 / 4 + cross * cross)
        return 0.5 * torch.log2(longest)

    def _first(self, number: int) -> int:
        return sum(height * width for height, width in self.sizes[:number])


def _halved(level: Tensor) -> Tensor:
    """The mean of every 2 x 2 texels; an odd side is first brought to the even length below it."""
    height, width, _ = level.shape
    planes = level.movedim(-1, 0)[None]
    even = height - height % 2 or 1, width - width % 2 or 1
    if even != (height, width):
        planes = torch.nn.functional.interpolate(planes, even, mode="bilinear", align_corners=False)
    planes = torch.nn.functional.avg_pool2d(planes, (min(2, height), min(2, width)))
    return planes[0].movedim(0, -1)
