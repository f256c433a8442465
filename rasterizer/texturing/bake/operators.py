"""Texels blended by PyTorch's operators, on any device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...runtime.policy import device_policy
from ...runtime.threads import share_rows
from ..texels import Layout, Texels
from .filter import Filter, filters
from .vectors import columns, unit
from .view import Lens, Pictures

CHUNK = 1 << 22
"""Texels at once at most: some 300 bytes each."""

PAINTED = 1e-8
"""Weight of the heaviest view above which a texel has a colour."""


def blend(
    layout: Layout,
    normals: Tensor,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    exponent: float,
    limit: float,
    sharp: bool,
    report: Callable[[float], None],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What :func:`.blend.blend_views` wants: the images of :class:`Baked`, in its order.

    Some texels at a time, of which nothing is kept but the results, written to their place.
    """
    pictures, mesh, (height, width) = pictures.joined(), layout.mesh, layout.size
    chunk = min(device_policy(normals.device).chunk, CHUNK)
    cuts = layout.bounds(chunk)  # before there is a texture: it takes memory of its own
    sharpened = filters(mesh, layout.size, [lens for lens, _ in views], pictures)
    texture = pictures.color.new_zeros((height, width, pictures.channels))
    confidence = texture.new_zeros((height, width))
    painted, covered = (torch.zeros_like(confidence, dtype=torch.bool) for _ in range(2))
    heaviest = torch.full_like(confidence, -1, dtype=torch.int16)
    images = [image.view(height * width, -1) for image in (texture, painted, confidence, covered, heaviest)]

    def look(part: slice) -> None:
        texels = layout.between(cuts[part.start], cuts[part.stop])
        if not len(texels):
            return
        points = columns(texels.interpolate(mesh.vertices))
        smooth = unit(columns(texels.interpolate(normals)))
        blending = _Blending(texels, pictures.channels)
        for number, (lens, weight) in enumerate(views):
            seen = lens.look(points, smooth, texels.face, pictures, limit, exponent, sharpened[number])
            blending.add(number, weight, sharp, *seen)
        for image, values in zip(images, blending.results(sharpened[0]), strict=True):
            image.index_copy_(0, texels.index, values.view(len(texels), -1))

    share_rows(look, len(cuts) - 1, texture.device, weight=chunk * len(views), chunk=1, report=report)
    return texture, painted, confidence, covered, heaviest


class _Blending:
    """Texels while view by view is added."""

    def __init__(self, texels: Texels, channels: int) -> None:
        self.colors = texels.weights.new_zeros((len(texels), channels))
        self.weights, self.best, self.most = (self.colors.new_zeros(len(texels)) for _ in range(3))
        self.heaviest = torch.full_like(self.weights, -1, dtype=torch.int16)

    def add(self, number: int, weight: float, sharp: bool, color: Tensor, trust: Tensor, index: Tensor | None) -> None:
        """What :meth:`Lens.look` saw in a view of so much weight."""
        trusts = trust * weight
        every = [self.heaviest, self.most, self.best, self.colors, self.weights]
        mine = every if index is None else [values.index_select(0, index) for values in every]
        mine[0].masked_fill_(trusts > mine[1], number)
        mine[1].clamp_(min=trusts)
        mine[2].clamp_(min=trust)
        if sharp:
            trusts = trusts.square().square()
        mine[3].addcmul_(color, trusts[:, None])
        mine[4].add_(trusts)
        if index is not None:
            for values, changed in zip(every, mine, strict=True):
                values.index_copy_(0, index, changed)

    def results(self, filtered: Filter) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of the texels what :func:`blend` returns."""
        painted = self.most > PAINTED
        # Rounding must not leave the range of the pictures: what is a constant stays one.
        colors = self.colors.div_(torch.where(painted, self.weights, 1.0)[:, None])
        colors = colors.clamp_(filtered.lowest, filtered.highest).mul_(painted[:, None])
        heaviest = torch.where(painted, self.heaviest, -1).to(torch.int16)
        return colors, painted, self.best * painted, torch.ones_like(painted), heaviest
