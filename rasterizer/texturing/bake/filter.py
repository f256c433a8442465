"""Colours of texels by cubic filters as wide as the texels are in the picture.

Where a texel is smaller than a pixel, the four by four pixels around it are weighed by the kernel of Keys, "Cubic
Convolution Interpolation for Digital Image Processing", 1981. Where it spans several, the kernel is stretched along the
texel's footprint; where it spans several both ways, on a picture of half, a quarter .. the size. Its negative lobes
make up for what bilinear look-ups in the texture will blur: a box as wide as the texel would dim fine waves, and a
point would tear hard edges into saws.

Only where all of these pixels show one surface without a break, which a map of distances to the next break tells;
closer to it kernels get shorter, and next to it there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ...meshes.mesh import Mesh
from .cubic import balanced_four, keys
from .footprint import Footprints, footprints, texel_steps
from .view import LEVELS, Lens, Pictures, selects, weigh_rows

WIDTH = 0.75
"""Pixels between the kernel's zeros for each pixel that a texel spans."""

BROAD = 2**0.5
"""Pixels between zeros that a kernel across should have from which on a smaller picture suits better."""

LEAST = 1
"""Pixels without a break around the four nearest that a kernel needs: four by four."""

MARGIN = 2
"""Pixels beyond a kernel's last zero that it may reach where it has a shear."""

WHOLE = 2.0**20
"""Weights are such parts of one: their sums, and with them colours of 0 and 1, are exact."""

RADII = (1, 2, 3, 4, 6, 8, 10, 12, 14, 18, 22, 28, 36, 44, 56, 72)
"""Distances to a break that are told apart; each at most twice the one before, and one."""

_LONGEST = 6.0  # pixels between the kernel's zeros at most
_NEARER = 1.5  # times as large as at its centre, a perspective view's face may be seen
_TAPS = (4, 6, 8, 12, 16, 24)
_AT_ONCE = 1 << 18  # pixels that a CPU weighs at once

FIXED_AT_ONCE = 1 << 22
"""Pixels that other devices weigh at once."""

_FIXED_BYTES = 36  # of a pixel that is weighed, and 8 for each channel


@dataclass(frozen=True)
class Levels:
    """All views' pictures, and the same averaged over squares of 2, 4 .. pixels a side, one after the other.

    Attributes:
        color: ``[R, C]``.
        first, size, width: ``[L]`` int64 of each level: its first row, rows a view, and rows a line.
    """

    color: Tensor
    first: Tensor
    size: Tensor
    width: Tensor


@dataclass(frozen=True)
class Filter:
    """How one view's colours are filtered.

    Attributes:
        pictures: at all sizes.
        view: its number.
        prints: footprints of each face's texels.
        calm: ``[V * H * W]`` uint8, pixels on all sides of each without a break.
        lowest, highest: ``[C]``, the range of the pictures.
        taps: pixels along the longest kernel.
        perspective: whether footprints depend on depth.
    """

    pictures: Levels
    view: int
    prints: Footprints
    calm: Tensor
    lowest: Tensor
    highest: Tensor
    taps: int
    perspective: bool

    def sample_into(self, total: Tensor, face: Tensor, spot: Tensor, places: Tensor) -> None:
        """As :class:`.view.Sampler` says."""
        channels = len(self.lowest)
        room = self.calm.index_select(0, places.view(-1)).view_as(places).amin(0).to(spot).mul_(spot[3])
        scale, shear, level = self._shape(face, spot[2], room)
        down = self.prints.rows.index_select(0, face).to(scale)
        shape = torch.stack((spot[0], spot[1], scale, shear, down, level))
        fits = room >= LEAST
        if not selects(total.device):
            together = FIXED_AT_ONCE // (4 * self.taps)
            for start in range(0, len(total), together):
                part = slice(start, start + together)
                found = self._filter(shape[:, part], self.taps)
                total[part, :channels] = torch.where(fits[part, None], found, total[part, :channels])
            return
        need = 2 * torch.ceil(2 * scale)
        for fewer, taps in pairwise((0, *_TAPS)):
            some = (fits & (need <= taps) & (need > fewer)).nonzero().squeeze(1)
            for rows in some.split(_AT_ONCE // (4 * taps)):
                total[rows, :channels] = self._filter(shape.index_select(1, rows), taps)

    def _shape(self, face: Tensor, depth: Tensor, room: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[n]`` each: pixels between the kernel's zeros, shear and level."""
        along, across, shear, usual = (
            values.index_select(0, face)
            for values in (self.prints.along, self.prints.across, self.prints.shear, self.prints.depth)
        )
        size = usual * (WIDTH / depth.clamp(min=1e-9)) if self.perspective else WIDTH
        along, across = along * size, across * size
        level = torch.zeros_like(along)
        for number in range(len(self.pictures.first) - 1):
            level += (across > BROAD * 2**number) & (room >= 2 * MARGIN * 2**number)
        step = torch.exp2(level)
        most = (room / step - MARGIN).mul_(0.5).clamp_(1, self.taps / 4)
        scale = torch.minimum((along / step).clamp_(min=1), most)
        # A kernel that is not stretched has no direction.
        return scale, shear * ((scale - 1) * 2).clamp_(max=1), level

    def _filter(self, shape: Tensor, taps: int) -> Tensor:
        """``[n, C]`` colours from ``taps`` by 4 pixels."""
        level, step = shape[5].to(torch.int64), torch.exp2(shape[5])
        size, width = self.pictures.size[level], self.pictures.width[level]
        first = self.pictures.first[level].addcmul(size, torch.full_like(size, self.view))
        x, y = ((value + 0.5) / step - 0.5 for value in shape[:2])
        down = shape[4] > 0
        middle, side = torch.where(down, y, x), torch.where(down, x, y)
        along, across = torch.where(down, width, 1), torch.where(down, 1, width)
        start = middle.floor() - (taps // 2 - 1)
        off = start[:, None] + torch.arange(taps, dtype=x.dtype, device=x.device) - middle[:, None]
        weights = _balanced(keys(off / shape[2][:, None]), off).mul_(WHOLE)
        four = torch.arange(-1, 3, device=x.device) * across[:, None]
        beside = torch.addcmul(side[:, None], off, shape[3][:, None])
        whole = beside.floor()
        pixels = (off + middle[:, None]).round_().to(torch.int64).mul_(along[:, None])
        pixels.add_(whole.to(torch.int64).mul_(across[:, None])).add_(first[:, None])
        last = (first + size - 1)[:, None, None]
        places = torch.minimum((pixels[..., None] + four[:, None]).clamp_(min=0), last)
        both = balanced_four(beside.sub_(whole)).mul_(weights[..., None]).round_().flatten(1)
        total = weigh_rows(self.pictures.color, places.flatten(1), both)
        colors = total[:, : len(self.lowest)] / both.sum(1)[:, None]
        return torch.minimum(torch.maximum(colors, self.lowest), self.highest)


def _balanced(weights: Tensor, off: Tensor) -> Tensor:
    """Weights ``[n, k]`` of pixels that lie ``off [n, k]`` from the middle, changed to sum to one and to have their
    centre there, so that constants and ramps stay what they are: by the two pixels next to the middle."""
    weights = weights / weights.sum(1, keepdim=True)
    astray = (weights * off).sum(1)
    middle = weights.shape[1] // 2
    weights[:, middle - 1] += astray
    weights[:, middle] -= astray
    return weights


@dataclass(frozen=True)
class Extent:
    """What the filters of a bake need.

    Attributes:
        taps: pixels along the longest kernel.
        levels: height and width of each size of a picture, the largest first.
        radii: distances to a break that are to be told apart, ascending.
    """

    taps: int
    levels: list[tuple[int, int]]
    radii: tuple[int, ...]

    @classmethod
    def of(cls, along: float, across: float, lenses: Sequence[Lens]) -> Extent:
        """For texels that span so many pixels at most."""
        height, width = lenses[0].height, lenses[0].width
        longest, broadest = WIDTH * along, WIDTH * across
        if any(lens.perspective for lens in lenses):
            longest *= _NEARER
        scale = min(max(longest, 1.0), _LONGEST)
        levels = [(height, width)]
        while broadest > BROAD * 2 ** (len(levels) - 1) and min(height, width) >= 8 and len(levels) < LEVELS:
            height, width = height // 2, width // 2
            levels.append((height, width))
        most = (2 * scale + MARGIN) * 2 ** (len(levels) - 1)
        enough = next((count for count, radius in enumerate(RADII, 1) if radius >= most), len(RADII))
        return cls(next(count for count in _TAPS if count >= 4 * scale), levels, RADII[:enough])


def filters(mesh: Mesh, size: tuple[int, int], lenses: Sequence[Lens], pictures: Pictures) -> list[Filter]:
    """For each view.

    Args:
        mesh: with UVs.
        size: ``(height, width)`` of its texture.
        lenses: of the views.
        pictures: of all views, joined.
    """
    steps = texel_steps(mesh, size)
    prints = [footprints(lens, steps) for lens in lenses]
    largest = torch.stack([torch.stack((one.along.amax(), one.across.amax())) for one in prints]).amax(0)
    along, across = largest.tolist()
    extent = Extent.of(along, across, lenses)
    levels = _levels(pictures, extent.levels)
    calm = calm_around(pictures.rough, extent.radii)
    color = pictures.color[:, : pictures.channels]
    lowest, highest = color.amin(0), color.amax(0)
    return [
        Filter(levels, number, one, calm.view(-1), lowest, highest, extent.taps, lens.perspective)
        for number, (one, lens) in enumerate(zip(prints, lenses, strict=True))
    ]


def _levels(pictures: Pictures, sizes: Sequence[tuple[int, int]]) -> Levels:
    """The pictures at heights and widths that halve."""
    views, above, filled = len(pictures.rough), pictures.color, len(pictures.color)
    table = pictures.color if pictures.table is None else pictures.table
    for (height, width), (rows, columns) in pairwise(sizes):
        color = above.view(views, height, width, -1)[:, : 2 * rows, : 2 * columns]
        color = color.reshape(views, rows, 2, columns, 2, -1).mean((2, 4)).view(views * rows * columns, -1)
        if filled + len(color) > len(table):  # made without room for smaller ones
            table = torch.cat((table[:filled], color))
        above = table[filled : filled + len(color)].copy_(color)
        filled += len(color)
    device = table.device
    size, line = (torch.tensor(values, device=device) for values in zip(*((h * w, w) for h, w in sizes), strict=True))
    return Levels(table[:filled], size.cumsum(0).sub_(size).mul_(views), size, line)


def calm_around(rough: Tensor, radii: Sequence[int]) -> Tensor:
    """``[V, H, W]`` uint8: the largest of ``radii``, the first ones of :data:`RADII`, within which there is neither a
    break on any side nor the border of the picture; 0 where there is none."""
    near = rough.clone()
    calm = torch.zeros_like(rough, dtype=torch.uint8)
    for before, radius in pairwise((0, *radii)):
        near = _dilated(near, radius - before)
        calm.masked_fill_(~near, radius)
    return calm


def _dilated(near: Tensor, step: int) -> Tensor:
    """What is at most ``step`` pixels away, along rows and columns, if what is nearer by half is known already."""
    for axis in (1, 2):
        length = near.shape[axis]
        wide = near.clone()
        kept = max(length - step, 0)
        wide.narrow(axis, length - kept, kept).logical_or_(near.narrow(axis, 0, kept))
        wide.narrow(axis, 0, kept).logical_or_(near.narrow(axis, length - kept, kept))
        wide.narrow(axis, 0, min(step, length)).fill_(True)
        wide.narrow(axis, max(length - step, 0), min(step, length)).fill_(True)
        near = wide
    return near


def filter_bytes(channels: int, device: torch.device) -> int:
    """What filtering takes on a device, or on a thread of a CPU."""
    return (_AT_ONCE if selects(device) else FIXED_AT_ONCE) * (_FIXED_BYTES + 8 * channels)
