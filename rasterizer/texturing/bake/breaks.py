"""Where what pictures show breaks off, and how far each pixel is from an edge; by PyTorch's operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...rendering.face_ids import FaceIds
from ...runtime.policy import device_policy
from ...runtime.threads import share_rows
from .vectors import as_columns
from .view import Lens

BREAK = 8.0
"""Pixels that depth must jump, beyond what slopes make, for a pixel to hold the colour of two surfaces."""

_AT_ONCE = 1 << 23  # pixels of views that are worked on together, where that saves launches

NOTHING = 1e30
"""Depth of pixels that show no surface, or two."""


class Breaks(NamedTuple):
    """Where what pictures show breaks off, ``[V, H, W]`` each.

    Attributes:
        depth: :data:`NOTHING` where no surface, or two, are shown.
        rough: bool, as in :class:`.view.Pictures`.
        fading: float32, small on an edge, 1 from the border's width away from any; times the mask.
    """

    depth: Tensor
    rough: Tensor
    fading: Tensor


def find_breaks(
    shown: FaceIds, lenses: Sequence[Lens], masks: Tensor | None, border: int, report: Callable[[float], None]
) -> Breaks:
    """By PyTorch's operators.

    Args:
        shown, masks, border, report: as for :func:`prepare_pictures`.
        lenses: of the views.
    """
    findices = shown.prepare().findices
    views, height, width = findices.shape
    groups = _alike(lenses, views_at_once(findices.device, height * width))
    depth, fading = (torch.empty(findices.shape, dtype=torch.float32, device=findices.device) for _ in range(2))
    rough = torch.empty_like(depth, dtype=torch.bool)

    def fade(part: slice) -> None:
        for some in groups[part]:
            there = shown.distance(some).masked_fill_(findices[some] == 0, NOTHING)
            edges, bent = _edges(there, findices[some], lenses[some])
            depth[some] = there.masked_fill_(edges, NOTHING)
            rough[some] = bent.logical_or_(_corners(bent)).logical_or_(there >= NOTHING)
            _fade(edges, border, fading[some])
            if masks is not None:
                rough[some] |= masks[some] == 0
                fading[some] *= masks[some].to(fading)

    share_rows(fade, len(groups), depth.device, weight=height * width, report=report)
    return Breaks(depth, rough, fading)


def views_at_once(device: torch.device, pixels: int) -> int:
    """Of so many pixels each: one on each thread of a CPU."""
    return max(1, _AT_ONCE // max(pixels, 1)) if device_policy(device).views_together else 1


def _alike(lenses: Sequence[Lens], most: int) -> list[slice]:
    """Runs of at most so many views that differ in where they look from only."""
    found: list[slice] = []
    last: tuple[object, ...] | None = None
    for number, lens in enumerate(lenses):
        key = lens.pixels, lens.perspective, lens.near
        if key == last and number - found[-1].start < most:
            found[-1] = slice(found[-1].start, number + 1)
        else:
            found.append(slice(number, number + 1))
        last = key
    return found


def _edges(depth: Tensor, findices: Tensor, lenses: Sequence[Lens]) -> tuple[Tensor, Tensor]:
    """``[V, H, W]`` bool each: pixels next to one that shows another surface, far before or behind theirs, or none; and
    pixels next to one whose depth cannot be told from the slopes of the two as closely as :meth:`Lens.look` wants.

    The lenses are alike.
    """
    shown = torch.where(depth < NOTHING, depth, 1.0)
    slope_x, slope_y = _slopes(shown, findices, lenses)
    edges, rough = (torch.zeros_like(depth, dtype=torch.bool) for _ in range(2))
    for axis, slope in ((2, slope_x), (1, slope_y)):
        length = depth.shape[axis] - 1
        step = depth.narrow(axis, 1, length) - depth.narrow(axis, 0, length)
        one, other = slope.narrow(axis, 0, length), slope.narrow(axis, 1, length)
        # Continuous if the step is what either of the two faces makes it, give or take how they bend.
        excess = torch.minimum((step - one).abs_(), (step - other).abs_())
        excess.sub_((one.abs() + other.abs()).mul_(0.5)).div_(lenses[0].reach(shown.narrow(axis, 0, length)))
        for found, slack in ((edges, BREAK), (rough, 1.0)):
            broken = ~(excess <= slack)
            found.narrow(axis, 0, length).logical_or_(broken)
            found.narrow(axis, 1, length).logical_or_(broken)
    return edges, rough


def _corners(rough: Tensor) -> Tensor:
    """``[V, H, W]`` bool: pixels with a rough one both beside and above or below, which touch a corner of what breaks
    off there."""
    beside, above = torch.zeros_like(rough), torch.zeros_like(rough)
    for found, axis in ((beside, 2), (above, 1)):
        length = rough.shape[axis] - 1
        found.narrow(axis, 1, length).logical_or_(rough.narrow(axis, 0, length))
        found.narrow(axis, 0, length).logical_or_(rough.narrow(axis, 1, length))
    return beside.logical_and_(above)


def _slopes(depth: Tensor, findices: Tensor, lenses: Sequence[Lens]) -> tuple[Tensor, Tensor]:
    """How depth changes from each pixel to the next on the plane of its face: along rows, and down, ``[V, H, W]`` each.

    The lenses are alike.
    """
    lens, faces = lenses[0], lenses[0].normals[0].shape[0]
    first = torch.arange(len(lenses), device=depth.device)[:, None, None] * faces
    face = (findices.long() - 1).clamp_(min=0).add_(first).view(-1)
    normal = as_columns(
        torch.cat(values).index_select(0, face) for values in zip(*(each.normals for each in lenses), strict=True)
    )
    rows, columns = (torch.arange(n, dtype=depth.dtype, device=depth.device) for n in (lens.height, lens.width))
    up = (rows - (lens.height - 1) / 2)[:, None] * (-1 / lens.pixels)
    right = (columns - (lens.width - 1) / 2)[None] * (1 / lens.pixels)
    spread = depth if lens.perspective else torch.ones_like(depth)
    place = as_columns(value.reshape(-1) for value in (spread * right, spread * up, -depth))
    slope_x, slope_y = lens.slopes(place, normal)
    return slope_x.view_as(depth), slope_y.view_as(depth)


def _fade(edges: Tensor, border: int, out: Tensor) -> None:
    """Into ``out [V, H, W]`` float32: small on an edge, 1 from ``border`` pixels away from any."""
    near, steps = edges, edges.to(torch.int16)
    for _ in range(border):
        wide = near.clone()
        wide[..., 1:] |= near[..., :-1]
        wide[..., :-1] |= near[..., 1:]
        near = wide.clone()
        near[:, 1:] |= wide[:, :-1]
        near[:, :-1] |= wide[:, 1:]
        steps += near
    # An edge pixel is counted border + 1 times, a pixel k away border + 1 - k times.
    out.copy_(steps).div_(border + 1.5).neg_().add_(1)
