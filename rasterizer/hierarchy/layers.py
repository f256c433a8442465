"""Depth-peeled layers of the three axis views, as one list of surface samples and one table over all pixels.

View 0 looks along z, view 1 along x, view 2 along y; see :func:`image_axes` for how positions lie in its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = torch.iinfo(torch.int64).max


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


def collect(positions: Sequence[Tensor], normals: Sequence[Tensor], feats: Sequence[Tensor] | None) -> Samples:
    """Gather the valid pixels of three views: ``[L_v, H_v, W_v, 4]``, ``[.., 3]`` and ``[.., C]`` float32 each."""
    device = positions[0].device
    sizes = tuple((view.shape[1], view.shape[2]) for view in positions)
    areas = [height * width for height, width in sizes]
    bases = (0, areas[0], areas[0] + areas[1])
    pixels, layers = sum(areas), max(len(view) for view in positions)
    valid = torch.zeros((layers, pixels), dtype=torch.bool, device=device)
    parts: list[tuple[Tensor, ...]] = []
    for number, view in enumerate(positions):
        drawn = view[..., 3].reshape(len(view), -1) != 0
        valid[: len(view), bases[number] : bases[number] + areas[number]] = drawn
        index = drawn.view(-1).nonzero().squeeze(1)
        layer = torch.div(index, max(areas[number], 1), rounding_mode="floor")
        pixel = index - layer * areas[number] + bases[number]
        axis = torch.full_like(index, (number + 2) % 3)
        rows = [view.reshape(-1, 4).index_select(0, index)[:, :3], normals[number].reshape(-1, 3)[index]]
        if feats is not None:
            rows.append(feats[number].reshape(-1, feats[number].shape[-1])[index])
        parts.append((layer, pixel, axis, *rows))
    layer, pixel, axis, points, directions, *features = (torch.cat(part) for part in zip(*parts, strict=True))

    following = valid[1:].to(torch.uint8).cumprod(0, dtype=torch.uint8).sum(0)
    surface = valid[0] if layers else torch.zeros(pixels, dtype=torch.bool, device=device)
    count = torch.where(surface, following + 1, 0)
    last = torch.where(surface | (following > 0), following, -1)
    slot = layer * pixels + pixel
    at = torch.full((layers * pixels + 1,), len(slot), dtype=torch.int64, device=device)
    at[slot] = torch.arange(len(slot), device=device)
    visit = torch.where(layer < count.index_select(0, pixel), pixel * layers + layer, NEVER)
    return Samples(
        points, directions, features[0] if features else None, axis, slot, visit, at, count, last, sizes, bases
    )


def image_axes(points: Tensor, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column and depth coordinate of ``[N, 3]`` points, each in the view ``[N]`` given for it; -1 to 1."""
    x, y, z = points.unbind(-1)
    side, top = view == 1, view == 2
    return torch.where(top, -z, y), torch.where(side, z, x), torch.where(side, x, torch.where(top, y, z))
