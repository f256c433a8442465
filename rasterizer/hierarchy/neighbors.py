"""The 3 x 3 neighbourhood of cells, read off the views' images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..device import device_policy
from .layers import NEVER, Samples, image_axes

FIRST, NEAREST, LAST = -1, 0, 1
"""Which layer of a neighbouring pixel is the neighbour: the first, the one nearest in depth, or the last."""

_FAR = 1e10


@dataclass(frozen=True)
class LevelImages:
    """What the views show at one level.

    Attributes:
        samples: the pixels.
        cells: ``[n + 1]`` int64, the cell of each sample, and -1 for none.
        depths: ``[L * P]`` float32, the depth of the cell's centre in each slot; infinite where no layer can be seen.
        stride: pixels between neighbours.
    """

    samples: Samples
    cells: Tensor
    depths: Tensor
    stride: int

    @classmethod
    def of(cls, samples: Samples, cells: Tensor, centres: Tensor, stride: int) -> LevelImages:
        """From the cell of each sample, and the cells' centres ``[N, 3]``."""
        own = centres.reshape(-1).index_select(0, cells * 3 + samples.depth_axis)
        own = torch.where(samples.visit < NEVER, own, torch.inf)
        depths = torch.full((len(samples.at) - 1,), torch.inf, device=own.device)
        depths[samples.slot] = own
        return cls(samples, torch.cat((cells, cells.new_full((1,), -1))), depths, stride)


def pixel_of(points: Tensor, view: Tensor, size: tuple[Tensor | int, Tensor | int]) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column (int64, toward zero) of points in images of ``size`` (height, width), and their depth."""
    row, column, depth = image_axes(points, view)
    height, width = size
    return (
        (row * 0.5).to(torch.float64).add_(0.5).mul_(height).to(torch.int64),
        (column * 0.5).to(torch.float64).add_(0.5).mul_(width).to(torch.int64),
        depth,
    )


def first_visits(images: LevelImages, count: int) -> Tensor:
    """``[N]`` int64: the first visit of each cell, going through views, rows, columns, layers; ``NEVER`` if none."""
    first = torch.full((count,), NEVER, dtype=torch.int64, device=images.cells.device)
    return first.scatter_reduce_(0, images.cells[:-1], images.samples.visit, "amin")


def layer_rule(first: Tensor, dims: Tensor, samples: Samples) -> Tensor:
    """``[N]`` int64 FIRST, NEAREST or LAST: how a cell first seen at ``first`` finds its neighbours."""
    layers = max(samples.layers, 1)
    seen = first < NEVER
    visit = torch.where(seen, first, 0)
    pixel = torch.div(visit, layers, rounding_mode="floor")
    layer = visit - pixel * layers
    view = (pixel >= samples.bases[1]).to(torch.int64) + (pixel >= samples.bases[2])
    bottom = layer == samples.count.index_select(0, pixel) - 1 if samples.pixels else seen
    rule = torch.where(layer == 0, FIRST, torch.where(bottom, LAST, NEAREST))
    return torch.where(seen & (view == dims), rule, NEAREST)


def corner_flags(images: LevelImages, points: Tensor, dims: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """``[N]`` int64 flags each: whether a cell's pixel lies in an even or in an odd corner of its 2 x 2 block."""
    even = torch.zeros_like(dims, dtype=torch.bool)
    odd = even.clone()
    samples, stride = images.samples, images.stride
    block = 2 * stride
    for size in sorted(set(samples.sizes)):
        if len(set(samples.sizes)) == 1:
            seen = first < NEVER
        else:  # only cells seen in a view of this size get its flags
            pixel = samples.slot % samples.pixels
            inside = torch.zeros_like(pixel, dtype=torch.bool)
            for base, other in zip(samples.bases, samples.sizes, strict=True):
                if other == size:
                    inside |= (pixel >= base) & (pixel < base + size[0] * size[1])
            inside &= samples.visit < NEVER
            seen = torch.zeros_like(even).index_fill_(0, images.cells[:-1][inside], True)
        row, column, _ = pixel_of(points, dims, size)
        upper, left = torch.fmod(row, block) < stride, torch.fmod(column, block) < stride
        even |= seen & upper & ~left
        odd |= seen & ~upper & left
    return even.to(torch.int64), odd.to(torch.int64)


def neighborhoods(
    images: LevelImages, points: Tensor, dims: Tensor, rules: Tensor, own: Tensor, touched: Tensor | None = None
) -> Tensor:
    """``[N, 9]`` int64 cells around each point, rows descending and columns ascending, -1 where there is none.

    Args:
        images: the views at this level.
        points: ``[N, 3]`` float32, where to look from.
        dims: ``[N]`` the view to look in.
        rules: ``[N]`` how to choose among the layers of a pixel.
        own: ``[N]`` the cell itself, which is the middle of its neighbourhood.
        touched: ``[P]`` bool, set where the last layer of a pixel was looked up.
    """
    step = max(device_policy(points.device).chunk // 9, 1)
    rows = []
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        rows.append(_neighborhoods(images, points[part], dims[part], rules[part], own[part], touched))
    return torch.cat(rows) if rows else torch.empty((0, 9), dtype=torch.int64, device=points.device)


def _neighborhoods(
    images: LevelImages, points: Tensor, dims: Tensor, rules: Tensor, own: Tensor, touched: Tensor | None
) -> Tensor:
    samples, stride = images.samples, images.stride
    table = torch.tensor([(*size, base) for size, base in zip(samples.sizes, samples.bases, strict=True)])
    height, width, base = table.to(points.device).index_select(0, dims).unbind(1)
    row, column, depth = pixel_of(points, dims, (height, width))
    shift = torch.arange(9, device=points.device)
    rows = row[:, None] + (1 - torch.div(shift, 3, rounding_mode="floor")) * stride
    columns = column[:, None] + (shift % 3 - 1) * stride
    inside = (rows >= 0) & (rows < height[:, None]) & (columns >= 0) & (columns < width[:, None])
    pixel = torch.where(inside, base[:, None] + rows * width[:, None] + columns, 0)

    best = torch.full_like(pixel, _FAR, dtype=torch.float32)
    layer = torch.full_like(pixel, -1)
    for number in range(samples.layers):
        apart = (
            images.depths.index_select(0, (pixel + number * samples.pixels).view(-1)).view_as(best) - depth[:, None]
        ).abs_()
        nearer = apart < best
        best = torch.where(nearer, apart, best)
        layer.masked_fill_(nearer, number)
    rule = rules[:, None]
    last = samples.last.index_select(0, pixel.view(-1)).view_as(pixel)
    layer = torch.where(rule == FIRST, 0, torch.where(rule == LAST, last, layer))
    if touched is not None:
        touched.index_fill_(0, pixel[(rule == LAST) & inside & (shift != 4)], True)
    slot = torch.where(inside & (layer >= 0), layer * samples.pixels + pixel, len(samples.at) - 1)
    sample = samples.at.index_select(0, slot.view(-1))
    found = images.cells.index_select(0, sample).view_as(pixel)
    found[:, 4] = own
    return found
