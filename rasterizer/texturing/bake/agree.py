"""Views that do not agree brought closer to each other before they are blended: in colour, then in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ...rendering.raster import Raster
from ...runtime.progress import shares
from ..texels import Texels
from .align import Sight, align_views
from .flow import warp
from .level import find_gains
from .view import Lens, Pictures

COLORS = 3
"""Channels that are colours; those after them are data, which takes no gain but moves along."""

_EVERY = 4  # texels, along rows and columns, of which one is looked at to match colours
_SIDE = 1024  # texels a side at most in which views are aligned: flow is smooth


@dataclass(frozen=True)
class Agreement:
    """How views were changed.

    Attributes:
        gains: ``[V, 3]`` factors of their colours; all 1 where colours were not matched.
        shifts: ``[V]`` pixels by which the farthest feature of each was moved; 0 where they were not aligned.
    """

    gains: Tensor
    shifts: Tensor

    def __str__(self) -> str:
        """What was done to each view, for people."""
        lines = []
        for number, (gain, shift) in enumerate(zip(self.gains.tolist(), self.shifts.tolist(), strict=True)):
            names = ("red", "green", "blue")
            parts = [
                f"{100 * (g - 1):+.0f} % {name}" for g, name in zip(gain, names, strict=True) if abs(g - 1) >= 0.005
            ]
            parts += [f"up to {shift:.1f} px"] if shift >= 0.05 else []
            lines.append(f"view {number + 1}: {', '.join(parts) if parts else 'unchanged'}")
        return "\n".join(lines)


def agree(
    texels: Texels,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    raster: Raster,
    match_colors: bool,
    rounds: int,
    limit: float,
    exponent: float,
    report: Callable[[float], None],
) -> tuple[Pictures, Agreement]:
    """Pictures that agree better, and how they were changed.

    Args:
        texels: of the texture.
        views: lens and weight of each.
        pictures: of all views; not changed.
        raster: the mesh as the views see it.
        match_colors: whether to match colours.
        rounds: of alignment.
        limit, exponent: as for :meth:`Lens.look`.
        report: takes the share done.
    """
    count, _, height, width = raster.findices.shape
    color = pictures.color.view(count, height, width, -1).clone()
    colors = min(COLORS, pictures.channels)
    gains, shifts = color.new_ones(count, colors), color.new_zeros(count)
    steps = shares(report, 1 + 4 * bool(rounds))
    if match_colors and count > 1:
        gains = _gains(texels, views, pictures, colors, limit, exponent)
        color[..., :colors] *= gains[:, None, None]
    next(steps)(1.0)
    pictures = replace(pictures, color=color.view(-1, color.shape[-1]))
    if rounds and count > 1:
        sight = Sight.of(_coarse(texels), limit, exponent)
        uv = raster.interpolate(texels.mesh.require_uvs())[:, 0]
        flow = align_views(sight, views, pictures, uv, rounds, next(steps))
        moved = warp(color[..., : pictures.channels].permute(0, 3, 1, 2), flow)
        color[..., : pictures.channels] = moved.permute(0, 2, 3, 1)
        shifts = flow.norm(dim=1).amax((1, 2))
    report(1.0)
    return pictures, Agreement(gains.cpu(), shifts.cpu())


def _coarse(texels: Texels) -> Texels:
    side = max(texels.size)
    if side <= _SIDE:
        return texels
    height, width = (max(1, round(length * _SIDE / side)) for length in texels.size)
    return Texels.of(texels.mesh, (height, width))


def _gains(
    texels: Texels,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    colors: int,
    limit: float,
    exponent: float,
) -> Tensor:
    width = texels.size[1]
    some = (texels.index // width % _EVERY == 0) & (texels.index % width % _EVERY == 0)
    sight = Sight.of(texels[some.nonzero().squeeze(1)], limit, exponent)
    found = pictures.color.new_zeros(len(views), len(sight.texels), colors)
    trusts = found.new_zeros(found.shape[:2])
    for number, (lens, _) in enumerate(views):
        color, trust, index = sight.look(lens, pictures)
        part = slice(None) if index is None else index
        found[number, part], trusts[number, part] = color[:, :colors], trust
    return find_gains(found, trusts, [weight for _, weight in views])
