"""Look-ups in a texture over areas of it, as large as what is to be coloured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rendering.lit.textures import Pyramid as Levels
from .bake.view import weigh_rows

_MOST_ALONG = 16
"""Look-ups along the longer side of an area; one that is longer still is read from a coarser level."""


@dataclass(frozen=True)
class Pyramid:
    """A texture and its means over squares of 2, 4, 8, ... texels.

    Attributes:
        rows: ``[R, C]`` float32, the texels of all levels, one level after the other.
        starts, heights, widths: ``[L]`` int64, where in ``rows`` each level begins, and its size.
    """

    rows: Tensor
    starts: Tensor
    heights: Tensor
    widths: Tensor

    @classmethod
    def of(cls, image: Tensor) -> Pyramid:
        """The levels of ``image [H, W, C]``, down to one texel."""
        levels = Levels.of(image)
        sizes = torch.tensor(levels.sizes, device=image.device)
        counts = sizes[:, 0] * sizes[:, 1]
        return cls(levels.table, counts.cumsum(0) - counts, sizes[:, 0], sizes[:, 1])

    def look(self, uv: Tensor, level: Tensor) -> Tensor:
        """``[n, C]`` cubic samples at ``uv [n, 2]`` in ``level [n]``; the texture repeats."""
        height, width = self.heights.index_select(0, level), self.widths.index_select(0, level)
        around = torch.arange(-1, 3, device=uv.device)
        places, weights = [], []
        for at, side in ((uv[:, 1], height), (uv[:, 0], width)):
            place = at * side - 0.5
            first = place.floor()
            places.append((first.long()[:, None] + around) % side[:, None])
            weights.append(_cubic(place - first))
        texels = self.starts.index_select(0, level)[:, None, None] + places[0][..., None] * width[:, None, None]
        texels = texels + places[1][:, None]
        return weigh_rows(self.rows, texels.flatten(1), (weights[0][..., None] * weights[1][:, None]).flatten(1))


@dataclass(frozen=True)
class Areas:
    """Parallelograms in a texture, ``F`` kinds of them, and how each is read.

    Between texels colours are interpolated, over areas of more than a texel they are averaged: by look-ups spread over
    as much of the area as exceeds a texel, in the level where its shorter side is one to two texels.

    Attributes:
        column, row: ``[F, 2]`` float32 UV, the sides that look-ups are spread over.
        level: ``[F]`` int64 of the pyramid.
        across, down: ``[F]`` int64, look-ups along ``column`` and ``row``; powers of two.
    """

    column: Tensor
    row: Tensor
    level: Tensor
    across: Tensor
    down: Tensor

    @classmethod
    def of(cls, column: Tensor, row: Tensor, pyramid: Pyramid) -> Areas:
        """Of sides ``[F, 2]`` in UV."""
        column, row = (torch.nan_to_num(side, 0.0, 0.0, 0.0) for side in (column, row))
        size = torch.stack((pyramid.widths[0], pyramid.heights[0])).to(column.dtype)
        long, wide = ((side * size).norm(dim=1) for side in (column, row))
        least = torch.maximum(torch.minimum(long, wide), torch.maximum(long, wide) / _MOST_ALONG)
        level = least.clamp(min=1).log2().floor().long().clamp(max=len(pyramid.starts) - 1)

        def spread(side: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
            length = length / torch.exp2(level.to(length.dtype))
            beyond = (length.square() - 1).clamp(min=0).sqrt()  # a look-up alone is of a texel
            count = torch.exp2(beyond.clamp(2, _MOST_ALONG).log2().ceil()).long()
            return side * (beyond / length.clamp(min=1))[:, None], torch.where(beyond > 0, count, 1)

        (column, across), (row, down) = spread(column, long), spread(row, wide)
        return cls(column, row, level, across, down)

    def ways(self) -> tuple[Tensor, list[tuple[int, int, int]]]:
        """``[F]`` int64 number of the way to read each; for each way that occurs its number, across and down."""
        bits = int(math.log2(_MOST_ALONG)) + 1
        way = self.across.to(torch.float32).log2().long() * bits + self.down.to(torch.float32).log2().long()
        present = torch.zeros(bits * bits, dtype=torch.int32, device=way.device).index_fill_(0, way, 1).tolist()
        return way, [(w, 1 << w // bits, 1 << w % bits) for w, there in enumerate(present) if there]

    def read(self, pyramid: Pyramid, uv: Tensor, kind: Tensor, across: int, down: int) -> Tensor:
        """``[n, C]`` means over areas around ``uv [n, 2]`` of ``kind [n]``, all to be read ``across`` by ``down``."""
        column, row, level = (values.index_select(0, kind) for values in (self.column, self.row, self.level))
        total: Tensor | None = None
        for i in range(across):
            for j in range(down):
                place = uv.addcmul(column, column.new_tensor((i + 0.5) / across - 0.5))
                found = pyramid.look(place.addcmul(row, row.new_tensor((j + 0.5) / down - 0.5)), level)
                total = found if total is None else total.add_(found)
        assert total is not None
        return total.div_(across * down)


def _cubic(x: Tensor) -> Tensor:
    """``[n, 4]`` weights of the texels at -1, 0, 1 and 2 for places ``[n]`` between 0 and 1: Keys' kernel, a = -1/2.

    With this a (Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981) ramps stay what they are,
    and edges overshoot less than with the bake's kernel, which is to make up for a picture's pixels.
    """
    rest = 1 - x
    return torch.stack(
        (
            -0.5 * x * rest * rest,
            (1.5 * x - 2.5) * x * x + 1,
            (1.5 * rest - 2.5) * rest * rest + 1,
            -0.5 * rest * x * x,
        ),
        dim=1,
    )
