"""Depth-peeled layers of the three axis views, as one list of surface samples and one table over all pixels.

View 0 looks along z, view 1 along x, view 2 along y; see :func:`image_axes` for how positions lie in its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = torch.iinfo(torch.int64).max
"""A visit that does not take place."""

FIRST, NEAREST, LAST = -1, 0, 1
"""Which layer of a neighbouring pixel is a cell's neighbour: the first, the one nearest in depth, or the last."""


@dataclass(frozen=True)
class Views:
    """Layers of the three axis views, on one device; heights, widths and numbers of layers may differ.

    Attributes:
        positions: three ``[L_v, H_v, W_v, 4]`` float32, x, y, z in -1..1 and a validity, 0 = empty.
        normals: three ``[L_v, H_v, W_v, 3]`` float32.
        feats: three ``[L_v, H_v, W_v, C]`` float32, or None.
    """

    positions: Sequence[Tensor]
    normals: Sequence[Tensor]
    feats: Sequence[Tensor] | None = None

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each view."""
        return tuple((view.shape[1], view.shape[2]) for view in self.positions)

    def to(self, device: torch.device) -> Views:
        """The same as detached float32 on another device."""

        def there(views: Sequence[Tensor]) -> list[Tensor]:
            return [view.detach().to(device, torch.float32) for view in views]

        return Views(there(self.positions), there(self.normals), None if self.feats is None else there(self.feats))


@dataclass(frozen=True)
class Samples:
    """Valid pixels of all layers, in the order view, layer, row, column.

    Pixels are numbered through all views, row by row: there are P of them. L is the largest number of layers.

    Attributes:
        positions, normals: ``[n, 3]`` float32.
        feats: ``[n, C]``, or None.
        depth_axis: ``[n]`` int64, the axis that the sample's view looks along.
        slot: ``[n]`` int64, ``layer * P + pixel``.
        visit: ``[n]`` int64, ``pixel * L + layer`` where every layer before is valid too, else ``NEVER``.
        at: ``[L * P + 1]`` int64, the sample at each slot, n where there is none.
        count: ``[P]`` int64, how many layers are valid before the first that is not.
        last: ``[P]`` int64, the last valid layer before the first that is not, looking from layer 1 on; -1 if none.
        sizes: height and width of the views.
        bases: ``[3]`` the first pixel of each view.
    """

    positions: Tensor
    normals: Tensor
    feats: Tensor | None
    depth_axis: Tensor
    slot: Tensor
    visit: Tensor
    at: Tensor
    count: Tensor
    last: Tensor
    sizes: tuple[tuple[int, int], ...]
    bases: tuple[int, int, int]

    @property
    def pixels(self) -> int:
        """P."""
        return len(self.count)

    @property
    def layers(self) -> int:
        """L."""
        return (len(self.at) - 1) // max(self.pixels, 1)

    @property
    def slots(self) -> int:
        """``L * P``."""
        return len(self.at) - 1


def collect(views: Views) -> Samples:
    """Gather the valid pixels of three views."""
    positions, normals, feats = views.positions, views.normals, views.feats
    device, sizes = positions[0].device, views.sizes
    areas = [height * width for height, width in sizes]
    bases = (0, areas[0], areas[0] + areas[1])
    starts = [0, positions[0][..., 0].numel(), positions[0][..., 0].numel() + positions[1][..., 0].numel()]
    pixels, layers = sum(areas), max(len(view) for view in positions)

    points = torch.cat([view.reshape(-1, 4) for view in positions])
    drawn = points[:, 3] != 0
    index = drawn.nonzero().squeeze(1)  # in all views' pixels, view by view and layer by layer
    view = (index >= starts[1]).to(torch.int64) + (index >= starts[2])
    start, area, base = per_view(tuple(zip(starts, (max(size, 1) for size in areas), bases, strict=True)), view)
    local = index - start
    layer = torch.div(local, area, rounding_mode="floor")
    pixel = local - layer * area + base
    slot = layer * pixels + pixel

    valid = torch.zeros((layers, pixels), dtype=torch.bool, device=device)
    valid.view(-1).index_fill_(0, slot, True)
    following = valid[1:].to(torch.uint8).cumprod(0, dtype=torch.uint8).sum(0)
    surface = valid[0] if layers else torch.zeros(pixels, dtype=torch.bool, device=device)
    count = (following + 1) * surface
    last = following.masked_fill(~(surface | (following > 0)), -1)
    at = torch.full((layers * pixels + 1,), len(slot), dtype=torch.int64, device=device)
    at.scatter_(0, slot, torch.arange(len(slot), device=device))
    hidden = layer >= count.index_select(0, pixel)

    def chosen(views: Sequence[Tensor]) -> Tensor:
        return torch.cat([view.reshape(-1, view.shape[-1]) for view in views]).index_select(0, index)

    return Samples(
        positions=points.index_select(0, index)[:, :3],
        normals=chosen(normals),
        feats=None if feats is None else chosen(feats),
        depth_axis=torch.remainder(view + 2, 3),
        slot=slot,
        visit=(pixel * layers + layer).masked_fill_(hidden, NEVER),
        at=at,
        count=count,
        last=last,
        sizes=sizes,
        bases=bases,
    )


def per_view(values: Sequence[Sequence[int]], view: Tensor) -> tuple[Tensor, ...]:
    """For ``view [N]``, the numbers that ``values`` has for it, one tensor ``[N]`` int64 each."""
    table = torch.tensor(values, dtype=torch.int64).to(view.device, non_blocking=True)
    return tuple(table[:, column].index_select(0, view) for column in range(table.shape[1]))


def image_axes(points: Tensor, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column and depth coordinate of ``[N, 3]`` points, each in the view ``[N]`` given for it; -1 to 1."""
    x, y, z = points.unbind(-1)
    side, top = view == 1, view == 2
    return torch.where(top, -z, y), torch.where(side, z, x), torch.where(side, x, torch.where(top, y, z))


def pixel_of(points: Tensor, view: Tensor, height: Tensor | int, width: Tensor | int) -> tuple[Tensor, Tensor, Tensor]:
    """Row and column (int64, toward zero) of points in images of the size given for each, and their depth."""
    row, column, depth = image_axes(points, view)
    return (
        (row * 0.5).to(torch.float64).add_(0.5).mul_(height).to(torch.int64),
        (column * 0.5).to(torch.float64).add_(0.5).mul_(width).to(torch.int64),
        depth,
    )
