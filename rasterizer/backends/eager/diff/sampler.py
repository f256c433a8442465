"""What a pixel of a texture image is: a weighted sum of a few texels, and how it changes with them.

Which texels and what weights follows from where the pixel lies on the texture (:mod:`.texels`, :mod:`.cube`) and how
far it reaches over it (:mod:`.detail`). All gradients but that of the texels follow from the product of each of these
texels with the upstream gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract.types import Boundary, Filter
from ....runtime.memory import default_budget
from ....runtime.policy import device_policy
from ....runtime.threads import share_rows
from . import cube, cube_edges, detail, texels
from .cube import Meeting
from .detail import Blend, Footprint
from .texels import Place, Table, Taps

FEW_CHANNELS = 8
"""Up to this many channels are summed up one by one: operators are slow where the innermost side is short."""


class Points(NamedTuple):
    """Pixels on their texture.

    Attributes:
        part: which pixels.
        meeting: with cube maps.
        footprint: where the level depends on it.
        blend: with mipmap filters.
        place: of the levels they read.
        taps: the texels they read.
    """

    part: slice
    meeting: Meeting | None
    footprint: Footprint | None
    blend: Blend | None
    place: Place
    taps: Taps

    def without_unusable(self, values: Tensor) -> Tensor:
        """``[P, C]`` with zeros where a direction has no place on the cube."""
        return values if self.meeting is None else values.masked_fill(~self.meeting.usable[:, None], 0.0)


class Slopes(NamedTuple):
    """Gradients of pixels: ``uv [P, 2 or 3]``, ``uv_da [P, 4 or 6]`` and ``bias [P]``; None where there is none."""

    uv: Tensor
    uv_da: Tensor | None
    bias: Tensor | None


class Sampler:
    """A texture and the pixels that look it up, of arguments of :class:`rasterizer.backends.diff_interface.Texture`.

    Attributes:
        table: the texture.
        taps: texels that each pixel reads.
        pixels: of all images.
    """

    def __init__(
        self,
        levels: list[Tensor],
        uv: Tensor,
        uv_da: Tensor | None,
        bias: Tensor | None,
        filter_mode: Filter,
        boundary_mode: Boundary,
    ) -> None:
        mipmapped = len(levels) > 1 and filter_mode.startswith("linear-mipmap")
        self.table = Table(levels if mipmapped else levels[:1], boundary_mode)
        self.taps = 1 if filter_mode == "nearest" else 8 if filter_mode == "linear-mipmap-linear" and mipmapped else 4
        self._uv = uv.view(-1, uv.shape[-1])
        self._da = uv_da.view(-1, uv_da.shape[-1]) if uv_da is not None and mipmapped else None
        self._bias = bias.view(-1) if bias is not None and mipmapped else None
        self._mipmapped = mipmapped
        self._boundary = boundary_mode
        self._image = uv.shape[1] * uv.shape[2]
        self.pixels = len(self._uv)

    def share(self, work: Callable[[slice], object], pixels: slice) -> None:
        """``work`` on some of the pixels, chunk by chunk; on a CPU side by side."""
        device = self._uv.device
        each = 256 + self.taps * (
            (100 if self._boundary == "cube" else 40) + 8 * self.table.channels
        )  # bytes, measured
        chunk = max(256, min(device_policy(device).chunk, default_budget(device) // each))

        def shifted(part: slice) -> object:
            return work(slice(pixels.start + part.start, pixels.start + part.stop))

        share_rows(shifted, pixels.stop - pixels.start, device, weight=2 * self.taps, chunk=chunk)

    def points(self, part: slice) -> Points:
        """Place pixels on the texture."""
        uv, meeting, footprint, blend = self._uv[part], None, None, None
        if self._boundary == "cube":
            meeting = cube.meet(uv)
            s, t = meeting.s, meeting.t
        else:
            s, t = uv.unbind(-1)
        if self._mipmapped:
            footprint = self._footprint(part, meeting)
            blend = self._blend(part, footprint)
        image = None
        if self.table.batch > 1:
            image = torch.arange(part.start, part.stop, device=uv.device).div_(self._image, rounding_mode="floor")
        place = self.table.at(None if blend is None else blend.level, image)
        if meeting is not None:
            taps = cube_edges.around(meeting, place) if self.taps > 1 else cube_edges.nearest(meeting, place)
        else:
            flat = texels.around if self.taps > 1 else texels.nearest
            taps = flat(s, t, place, self._boundary, self.table.outside)
        return Points(part, meeting, footprint, blend, place, taps)

    def _footprint(self, part: slice, meeting: Meeting | None) -> Footprint | None:
        if self._da is None:
            return None
        if meeting is not None:
            return cube.footprint(meeting, self._da[part])
        s_x, s_y, t_x, t_y = self._da[part].unbind(-1)
        return s_x, s_y, t_x, t_y

    def _blend(self, part: slice, footprint: Footprint | None) -> Blend:
        height, width = self.table.sizes[0]
        level = None if self._bias is None else self._bias[part]
        if footprint is not None:
            reached = detail.level_of(footprint, width, height)
            level = reached if level is None else reached.add_(level)
        assert level is not None
        return detail.blend(level, len(self.table.sizes) - 1, between=self.taps == 8)

    def slopes(self, points: Points, rows: Tensor, d_out: Tensor) -> Slopes:
        """Gradients of pixels from that of their values ``[P, C]``; ``rows`` are those of the table."""
        taps, place, share = points.taps, points.place, None if points.blend is None else points.blend.share
        product = _sum_of_channels(_look_up(points, rows).mul_(d_out)).view(taps.index.shape)
        if taps.missing is not None:
            third = product.masked_fill(taps.missing, 0.0).sum(0).div_(3.0)
            product = torch.where(taps.missing, third, product)
        assert taps.between is not None
        across, down = (part.nan_to_num(0.0) for part in taps.between)
        low, high = product[1] - product[0], product[3] - product[2]
        low_row, high_row = torch.addcmul(product[0], across, low), torch.addcmul(product[2], across, high)
        by_t = high_row - low_row
        value = torch.addcmul(low_row, down, by_t)
        by_s = torch.lerp(low, high, down).mul_(place.width)
        by_t.mul_(place.height)
        if share is not None:
            by_s, by_t = by_s.mul_(share), by_t.mul_(share)
        by_s, by_t = by_s.sum(0), by_t.sum(0)
        return self._chain(points, by_s, by_t, value[1] - value[0] if len(value) > 1 else None)

    def _chain(self, points: Points, by_s: Tensor, by_t: Tensor, by_level: Tensor | None) -> Slopes:
        """From gradients of the point on a face and of the level to those of what they come from."""
        meeting, footprint = points.meeting, points.footprint
        d_uv = torch.stack((by_s, by_t), -1) if meeting is None else cube.point_backward(meeting, by_s, by_t)
        if footprint is None or by_level is None:
            return Slopes(d_uv, None, by_level)
        height, width = self.table.sizes[0]
        d_footprint = detail.level_backward(footprint, width, height, by_level)
        if meeting is None:
            return Slopes(d_uv, torch.stack(d_footprint, -1), by_level)
        assert self._da is not None
        d_uv += cube.turn_backward(meeting, self._da[points.part], d_footprint)
        return Slopes(d_uv, cube.footprint_backward(meeting, d_footprint), by_level)


def sample(points: Points, rows: Tensor) -> Tensor:
    """``[P, C]`` values of pixels; ``rows`` are those of the table."""
    found, weights = _look_up(points, rows), weights_of(points)
    return points.without_unusable(found[0] if weights is None else found.mul_(weights[..., None]).sum(0))


def _look_up(points: Points, rows: Tensor) -> Tensor:
    """``[K, P, C]`` texels."""
    index = points.taps.index
    return rows.index_select(0, index.view(-1)).view(-1, index.shape[-1], rows.shape[1])


def _sum_of_channels(values: Tensor) -> Tensor:
    """``[..., C]`` to ``[...]``."""
    if values.shape[-1] > FEW_CHANNELS:
        return values.sum(-1)
    first, *others = values.unbind(-1)
    total = first.clone()
    for other in others:
        total += other
    return total


def weights_of(points: Points) -> Tensor | None:
    """``[K, P]`` what each texel counts for; None if there is one."""
    taps, blend = points.taps, points.blend
    if taps.between is None:
        return None
    across, down = taps.between
    columns, rows = torch.stack((1.0 - across, across)), torch.stack((1.0 - down, down))
    if blend is not None and blend.share is not None:
        rows.mul_(blend.share)
    weights = texels.pairs(columns, rows, torch.mul)
    if taps.missing is not None:
        third = torch.where(taps.missing, weights, 0.0).sum(0).div_(3.0)
        weights = torch.where(taps.missing, 0.0, weights + third)
    return weights.view(-1, weights.shape[-1])
