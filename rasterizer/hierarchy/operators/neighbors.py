"""What the views show of cells: when they are first seen, where in their block they lie, and who is next to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...runtime.policy import device_policy
from ..surface_samples import FIRST, LAST, NEAREST, NEVER, Samples, per_view, pixel_of

_FAR = 1e10
_LOOKED_UP = 1 << 23  # neighbours at once at most


@dataclass(frozen=True)
class Cells:
    """Cells of several levels, in any order.

    Attributes:
        points: ``[N, 3]`` float32, a point of each.
        dims: ``[N]`` int64, the view that each faces most.
        levels: ``[N]`` int64, the level of each.
    """

    points: Tensor
    dims: Tensor
    levels: Tensor


@dataclass(frozen=True)
class Images:
    """Which cell each sample shows, for several levels.

    Attributes:
        samples: the pixels.
        cells: ``[levels, n + 1]`` int64, the number of the cell at its level; -1 in the last column.
        depths: ``[levels, L * P]`` float32, the depth of the cell's centre in each slot; infinite where no layer is.
        first_level: the level of the tables' first row.
    """

    samples: Samples
    cells: Tensor
    depths: Tensor
    first_level: int

    @classmethod
    def of(cls, samples: Samples, cells: Tensor, centres: Sequence[Tensor], first_level: int) -> Images:
        """From the cell of each sample ``[levels, n]``, and the centres of each level's cells ``[N, 3]``."""
        levels, count = cells.shape
        points = torch.cat(list(centres)).view(-1)
        offsets = [3 * sum(len(level) for level in centres[:number]) for number in range(levels)]
        places = torch.tensor(offsets).to(cells.device, non_blocking=True)[:, None] + samples.depth_axis
        own = points.index_select(0, (cells * 3).add_(places).view(-1)).view(levels, count)
        own.masked_fill_(samples.visit == NEVER, torch.inf)
        depths = torch.full((levels, samples.slots), torch.inf, dtype=torch.float32, device=cells.device)
        depths.scatter_(1, samples.slot.expand(levels, -1), own)
        return cls(samples, torch.nn.functional.pad(cells, (0, 1), value=-1), depths, first_level)


def layer_rules(first: Tensor, dims: Tensor, samples: Samples) -> Tensor:
    """``[N]`` int64 FIRST, NEAREST or LAST: how a cell first seen at ``first`` finds its neighbours."""
    seen = first < NEVER
    visit = first * seen
    pixel = torch.div(visit, samples.layers, rounding_mode="floor")
    layer = visit - pixel * samples.layers
    view = (pixel >= samples.bases[1]).to(torch.int64) + (pixel >= samples.bases[2])
    top = layer == 0
    bottom = (layer == samples.count.index_select(0, pixel) - 1) & ~top
    return (bottom.to(torch.int64) - top.to(torch.int64)) * (seen & (view == dims))


def corner_flags(cells: Cells, seen: Tensor, size: tuple[int, int]) -> Tensor:
    """``[2, N]`` bool: whether a cell that is ``seen`` lies in an even, and in an odd corner of its 2 x 2 block."""
    row, column, _ = pixel_of(cells.points, cells.dims, *size)
    stride = torch.ones_like(cells.levels) << cells.levels
    block = stride * 2
    upper, left = torch.fmod(row, block) < stride, torch.fmod(column, block) < stride
    return torch.stack((upper & ~left, left & ~upper)) & seen


def neighborhoods(images: Images, cells: Cells, rules: Tensor, own: Tensor, touched: Tensor | None = None) -> Tensor:
    """``[N, 9]`` int64 cells around each, rows descending and columns ascending, -1 where there is none.

    Args:
        images: the views at the levels of the cells.
        cells: where to look from.
        rules: ``[N]`` how to choose among the layers of a pixel.
        own: ``[N]`` the number of the cell itself, which is the middle of its neighbourhood.
        touched: ``[P]`` bool, set where the last layer of a pixel was looked up.
    """
    step = max(min(device_policy(own.device).chunk, _LOOKED_UP) // 9, 1)
    rows = []
    for start in range(0, len(own), step):
        part = slice(start, start + step)
        some = Cells(cells.points[part], cells.dims[part], cells.levels[part])
        rows.append(_neighborhoods(images, some, rules[part], own[part], touched))
    return torch.cat(rows) if len(rows) != 1 else rows[0]


def _neighborhoods(images: Images, cells: Cells, rules: Tensor, own: Tensor, touched: Tensor | None) -> Tensor:
    samples = images.samples
    sizes = [(*size, base) for size, base in zip(samples.sizes, samples.bases, strict=True)]
    height, width, base = per_view(sizes, cells.dims)
    row, column, depth = pixel_of(cells.points, cells.dims, height, width)
    stride = (torch.ones_like(cells.levels) << cells.levels)[:, None]
    shift = torch.arange(9, device=own.device)
    rows = row[:, None] + (1 - torch.div(shift, 3, rounding_mode="floor")) * stride
    columns = column[:, None] + (shift % 3 - 1) * stride
    outside = (rows < 0) | (rows >= height[:, None]) | (columns < 0) | (columns >= width[:, None])
    pixel = (base[:, None] + rows * width[:, None] + columns).masked_fill_(outside, 0)

    level = (cells.levels - images.first_level)[:, None]
    slots = pixel + level * samples.slots
    if own.device.type == "cpu":  # where counting costs nothing, look only where it matters
        some = (rules == NEAREST).nonzero().squeeze(1)
        layer = torch.zeros_like(pixel)
        nearest = _nearest_layer(images, slots.index_select(0, some), depth.index_select(0, some))
        layer.index_copy_(0, some, nearest)
    else:
        layer = _nearest_layer(images, slots, depth)
    rule = rules[:, None]
    last = samples.last.index_select(0, pixel.view(-1)).view_as(pixel)
    layer = torch.where(rule == LAST, last, layer).masked_fill_(rule == FIRST, 0)
    if touched is not None:
        touched.index_fill_(0, pixel[(rule == LAST) & ~outside & (shift != 4)], True)
    slot = (layer * samples.pixels + pixel).masked_fill_(outside | (layer < 0), samples.slots)
    sample = samples.at.index_select(0, slot.view(-1)).view_as(slot) + level * images.cells.shape[1]
    found = images.cells.view(-1).index_select(0, sample.view(-1)).view_as(pixel)
    found[:, 4] = own
    return found


def _nearest_layer(images: Images, slots: Tensor, depth: Tensor) -> Tensor:
    """``[N, 9]`` the layer nearest to ``depth [N]`` at each pixel, the first of equals; -1 if it has none.

    ``slots [N, 9]`` are those of layer 0.
    """
    depths, slots = images.depths.view(-1), slots.reshape(-1).clone()
    best = torch.full((len(depth), 9), _FAR, dtype=depth.dtype, device=depth.device)
    layer = torch.full_like(best, -1, dtype=torch.int64)
    for number in range(images.samples.layers):
        apart = depths.index_select(0, slots).view_as(best).sub_(depth[:, None]).abs_()
        layer.masked_fill_(apart < best, number)
        best = torch.minimum(best, apart)
        slots += images.samples.pixels
    return layer
