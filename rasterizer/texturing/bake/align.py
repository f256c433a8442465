"""Aligning views whose features do not meet: each picture moves smoothly towards what the others show.

After Zhou and Koltun, "Color Map Optimization for 3D Reconstruction with Consumer Depth Cameras", 2014, who bend
pictures by a grid of control points; here by a dense smooth flow, found anew in each round from pictures as they are
bent so far, and only as far as what is found there looks alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from ..texels import Texels
from .flow import find_flow, likeness, luminance, masked_blur, warp
from .view import Columns, Lens, Pictures, columns, unit

_SIDE = 320  # pixels of the pictures in which flow is found, at most: features move smoothly
_LEAST = 1e-5  # trust from which on a view counts
_ALIKE = 0.6  # correlation from which on a flow is believed
_REST = 0.05  # share of believed pixels in the neighbourhood at which the flow is halved


@dataclass(frozen=True)
class Sight:
    """Texels, where they are and how they face, and what a view must show of them to count.

    ``limit`` and ``exponent`` are those of :meth:`Lens.look`.
    """

    texels: Texels
    points: Columns
    normals: Columns
    limit: float
    exponent: float

    @classmethod
    def of(cls, texels: Texels, limit: float, exponent: float) -> Sight:
        """With places and normals of the texels' own mesh."""
        mesh = texels.mesh
        points = columns(texels.interpolate(mesh.vertices))
        normals = unit(columns(texels.interpolate(mesh.vertex_normals())))
        return cls(texels, points, normals, limit, exponent)

    def look(self, lens: Lens, pictures: Pictures) -> tuple[Tensor, Tensor, Tensor | None]:
        """As :meth:`Lens.look`."""
        return lens.look(self.points, self.normals, self.texels.face, pictures, self.limit, self.exponent)


def align_views(
    sight: Sight,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    uv: Tensor,
    rounds: int,
    report: Callable[[float], None],
) -> Tensor:
    """How far to move each picture, ``[V, 2, H, W]`` (x, y) pixels: what belongs to pixel p lies so far from it.

    Args:
        sight: of the texture's texels.
        views: lens and weight of each.
        pictures: of all views.
        uv: ``[V, H, W, 2]`` of what each pixel shows.
        rounds: how often.
        report: takes the share done.
    """
    count, height, width, _ = uv.shape
    original = pictures.color.view(count, height, width, -1)[..., : pictures.channels].permute(0, 3, 1, 2)
    flow = original.new_zeros(count, 2, height, width)
    moved = original
    for number in range(rounds):
        report(number / rounds)
        others, trust, own = _others(sight, views, pictures, moved, uv)
        step = _towards(moved, others, trust, own)
        most = height / 40
        flow = step + warp(flow, step)
        flow = flow * (most / flow.norm(dim=1, keepdim=True).clamp(min=most))
        moved = warp(original, flow)
    report(1.0)
    return flow


def _others(
    sight: Sight, views: Sequence[tuple[Lens, float]], pictures: Pictures, moved: Tensor, uv: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the other views show at each pixel of each: ``[V, C, H, W]``; how far they are trusted there, and the view
    itself, ``[V, 1, H, W]`` each."""
    count, channels = moved.shape[:2]
    color = pictures.color.clone()
    color[:, :channels] = moved.permute(0, 2, 3, 1).reshape(-1, channels)
    bent = replace(pictures, color=color)
    total = moved.new_zeros(len(sight.texels), channels + 1)
    parts = []
    for lens, weight in views:
        found, trust, index = sight.look(lens, bent)
        premultiplied = torch.cat((found, torch.ones_like(found[:, :1])), dim=1) * (trust * weight)[:, None]
        parts.append((premultiplied, index))
        if index is None:
            total += premultiplied
        else:
            total.index_add_(0, index, premultiplied)
    others, trusts, own = [], [], []
    for number, (premultiplied, index) in enumerate(parts):
        mine = torch.zeros_like(total)
        if index is None:
            mine = premultiplied
        else:
            mine[index] = premultiplied
        both = sight.texels.image(torch.cat((total - mine, mine[:, -1:]), dim=1))
        seen = _look_up(both, uv[number])
        others.append(seen[..., :channels] / seen[..., channels : channels + 1].clamp(min=1e-9))
        trusts.append(seen[..., channels])
        own.append(seen[..., channels + 1])
    return torch.stack(others).permute(0, 3, 1, 2), torch.stack(trusts)[:, None], torch.stack(own)[:, None]


def _look_up(image: Tensor, uv: Tensor) -> Tensor:
    """``[H, W, C]`` bilinear samples of ``image [h, w, C]`` at ``uv [H, W, 2]``; the border repeats."""
    grid = (uv * 2 - 1)[None]
    found = torch.nn.functional.grid_sample(
        image.permute(2, 0, 1)[None], grid, padding_mode="border", align_corners=False
    )
    return found[0].permute(1, 2, 0)


def _towards(moved: Tensor, others: Tensor, trust: Tensor, own: Tensor) -> Tensor:
    """The flow of one round, ``[V, 2, H, W]``."""
    height, width = moved.shape[2:]
    mask = ((trust > _LEAST) & (own > _LEAST)).to(moved)
    mask = 1 - max_pool2d(1 - mask, 3, 1, 1)
    picture, wanted = luminance(moved), luminance(others)
    factor = max(1, round(max(height, width) / _SIDE))
    small = avg_pool2d(mask, factor, ceil_mode=True, count_include_pad=False)
    one, other = (
        avg_pool2d(value * mask, factor, ceil_mode=True, count_include_pad=False) / small.clamp(min=1e-6)
        for value in (picture, wanted)
    )
    flow = find_flow(one, other, small)
    alike = likeness(warp(one, flow), other, small)
    believed = small * ((alike - _ALIKE) / (1 - _ALIKE)).clamp(0, 1)
    sigma = max(height, width) / 32 / factor
    flow = masked_blur(flow, believed, sigma, _REST)
    trust, own = (avg_pool2d(value, factor, ceil_mode=True, count_include_pad=False) for value in (trust, own))
    share = masked_blur(trust / (trust + own).clamp(min=1e-9), small, sigma, 1e-3)
    flow = flow * share * factor
    return interpolate(flow, (height, width), mode="bilinear", align_corners=False)
