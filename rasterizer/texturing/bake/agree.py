"""Views that do not agree brought closer to each other before they are blended: in colour, then in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...pictures.stored import as_numbers
from ...rendering.raster import Raster
from ...runtime.progress import stages
from ..texels import Layout, Texels
from .align import find_shifts
from .bleed import find_bleed, leave_out
from .flow import bend
from .level import LEAST, MOST, find_gains
from .scene import Scene
from .vectors import Columns, columns, unit
from .view import Lens, Pictures

COLORS = 3
"""Channels that are colours; those after them, alpha too, are data, which takes no gain but moves along. Pictures of
fewer channels take no gain."""

_EVERY = 4  # texels, along rows and columns, of which one is looked at to match colours
_EVEN = 0.002  # gains of a view that are all no farther from 1 are left out: half a step of 8 bits
_STILL = 0.1  # pixels: a view whose features all move less stays as it is, to the bit
_SEEN = 0.05  # pixels from which on a shift is told
_REFUSED = 0.5  # pixels from which on it is told that a shift was not followed


@dataclass(frozen=True)
class Agreement:
    """How views were changed.

    Attributes:
        gains: ``[V, 3]`` factors of their colours; all 1 where colours were not matched.
        flow: ``[V, 2, h, w]`` (x, y), by which features of each were moved, in pixels of the pictures that were baked;
            at a size of its own, corner pixels on corner pixels. None where views were not aligned.
        size: ``(height, width)`` of these pictures.
        refused: ``[V]`` pixels of the farthest shift of a view that was left where it is, since moving it made it no
            more alike to the others; else 0.
        bleed: pixels next to the outlines that were left out, because background bleeds into them.
    """

    gains: Tensor
    flow: Tensor | None
    size: tuple[int, int]
    refused: Tensor
    bleed: int = 0

    @property
    def shifts(self) -> Tensor:
        """``[V]`` pixels by which the farthest feature of each view was moved."""
        return torch.zeros(len(self.gains)) if self.flow is None else self.flow.norm(dim=1).amax((1, 2)).cpu()

    def apply(self, images: Tensor) -> Tensor:
        """``[V, H, W, C]`` images as they agree: the same where nothing is to change.

        Colours that lie within 0..1 stay there. Images of another size than those that were baked move likewise.
        """
        if images.ndim != 4 or len(images) != len(self.gains):
            raise ValueError(
                f"images: found {list(images.shape)}, expected [V, H, W, C] with the {len(self.gains)} views that agree"
            )
        return torch.stack([self.change(view, image) for view, image in enumerate(images)])

    def change(self, view: int, image: Tensor) -> Tensor:
        """``[H, W, C]`` image of one view as it agrees."""
        height, width, channels = image.shape
        gain = self.gains[view].tolist()
        if channels >= COLORS and any(factor != 1 for factor in gain):
            colors = image[..., :COLORS]
            even = torch.minimum(colors * image.new_tensor(gain), colors.clamp(min=1))
            image = torch.cat((even, image[..., COLORS:]), dim=-1)
        if self.flow is None:
            return image
        flow = self.flow[view, None].to(image)
        flow = interpolate(flow, (height, width), mode="bilinear", align_corners=True)[0]
        scale = [max(now - 1, 1) / max(then - 1, 1) for now, then in ((width, self.size[1]), (height, self.size[0]))]
        return bend(image, flow * flow.new_tensor(scale)[:, None, None])

    def __str__(self) -> str:
        """What was done to each view, for people."""
        lines = [f"background bleeds in: {self.bleed} px next to outlines left out"] if self.bleed else []
        told = zip(self.gains.tolist(), self.shifts.tolist(), self.refused.tolist(), strict=True)
        for number, (gain, shift, refused) in enumerate(told):
            names = ("red", "green", "blue")
            parts = [
                f"{100 * (g - 1):+.0f} % {name}" for g, name in zip(gain, names, strict=True) if abs(g - 1) >= 0.005
            ]
            parts += [f"up to {shift:.1f} px"] if shift >= _SEEN else []
            parts += ["could not be aligned, features left where they are"] if refused >= _REFUSED else []
            lines.append(f"view {number + 1}: {', '.join(parts) if parts else 'unchanged'}")
        return "\n".join(lines)


def agree(
    layout: Layout,
    normals: Tensor,
    views: Sequence[tuple[Lens, float]],
    images: Tensor,
    pictures: Pictures,
    raster: Raster,
    masks: Tensor | None,
    match_colors: bool,
    rounds: int,
    limit: float,
    exponent: float,
    report: Callable[[float], None],
) -> Agreement:
    """How views are to be changed; ``pictures`` are changed in place.

    Args:
        layout: of the texture.
        normals: ``[N, 3]`` of the mesh's vertices.
        views: lens and weight of each.
        images: ``[V, H, W, C]`` of all views, of any dtype of :data:`rasterizer.pictures.stored.STORED`.
        pictures: the same made ready, and joined.
        raster: the mesh as the views see it.
        masks: ``[V, H, W]``, by which the weight of each pixel is multiplied, or None.
        match_colors: whether to match colours.
        rounds: of alignment.
        limit, exponent: as for :meth:`Lens.look`.
        report: takes the share done.
    """
    count, _, height, width = raster.findices.shape
    shown = pictures.color.view(count, height, width, -1)[..., : pictures.channels]
    agreement = Agreement(torch.ones(count, COLORS), None, (height, width), torch.zeros(count))

    def match(report: Callable[[float], None], seen: tuple[Tensor, Tensor] | None = None) -> None:
        nonlocal agreement
        if matching:
            seen = seen or samples.look(views, pictures, limit, exponent)
            found = find_gains(*seen, [weight for _, weight in views]).cpu() * agreement.gains
            even = ((found - 1).abs() < _EVEN).all(1, keepdim=True)
            agreement = replace(agreement, gains=torch.where(even, 1.0, found.clamp(LEAST, MOST)))
            _show(images, agreement, shown)
        report(1.0)

    steps = stages(report, "colours", "places", "colours")
    matching = match_colors and count > 1 and pictures.channels >= COLORS
    seen = None
    if matching:
        samples = _Samples.of(layout, normals)
        seen = samples.look(views, pictures, limit, exponent)
        bleed = find_bleed(samples.points, *seen, [lens for lens, _ in views], pictures, raster)
        if bleed:  # first of all, since it would mislead the gains
            leave_out(pictures, raster, bleed)
            agreement, seen = replace(agreement, bleed=bleed), None
    match(next(steps), seen)
    if rounds and count > 1:
        scene = Scene.of(raster.mesh, raster.cameras, shown, masks, limit, exponent)
        flow, failed = find_shifts(scene, rounds, next(steps))
        flow, refused = _in_pixels(flow, failed, (height, width))
        agreement = replace(agreement, flow=flow, refused=refused)
        _show(images, agreement, shown)
        match(next(steps))  # once more: features that do not meet hide what exposure does
    report(1.0)
    return agreement


def _show(images: Tensor, agreement: Agreement, shown: Tensor) -> None:
    """Images as they agree, into ``shown``."""
    for view, image in enumerate(images):
        shown[view].copy_(agreement.change(view, as_numbers(image)))


def _in_pixels(flow: Tensor, failed: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The flow in pixels of pictures of another size, 0 for views that failed; and ``[V]``, how long these were."""
    scale = [max(then - 1, 1) / max(now - 1, 1) for then, now in ((size[1], flow.shape[3]), (size[0], flow.shape[2]))]
    flow = flow * flow.new_tensor(scale)[:, None, None]
    longest = torch.nan_to_num(flow.norm(dim=1).amax((1, 2)), posinf=0.0)
    still = failed | (longest < _STILL)
    return torch.where(still[:, None, None, None], 0.0, flow), torch.where(failed, longest, 0.0).cpu()


@dataclass(frozen=True)
class _Samples:
    """Some texels, at which views are compared."""

    texels: Texels
    points: Columns
    normals: Columns

    @classmethod
    def of(cls, layout: Layout, normals: Tensor) -> _Samples:
        """``normals [N, 3]`` are those of the mesh's vertices."""
        texels = layout.some(_EVERY)
        mesh = texels.mesh
        points, smooth = (columns(texels.interpolate(values)) for values in (mesh.vertices, normals))
        return cls(texels, points, unit(smooth))

    def look(
        self, views: Sequence[tuple[Lens, float]], pictures: Pictures, limit: float, exponent: float
    ) -> tuple[Tensor, Tensor]:
        """Colours ``[V, n, 3]`` and trust ``[V, n]``, 0 where a view does not show a texel."""
        found = pictures.color.new_zeros(len(views), len(self.texels), COLORS)
        trusts = found.new_zeros(found.shape[:2])
        for number, (lens, _) in enumerate(views):
            color, trust, index = lens.look(self.points, self.normals, self.texels.face, pictures, limit, exponent)
            part = slice(None) if index is None else index
            found[number, part], trusts[number, part] = color[:, :COLORS], trust
        return found, trusts
