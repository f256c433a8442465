"""Texels blended by PyTorch's operators, on any device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...runtime.policy import device_policy
from ...runtime.threads import share_rows
from ..texels import Texels
from .filter import filters
from .vectors import columns, unit
from .view import Lens, Pictures

CHUNK = 1 << 22
"""Texels at once at most: some 300 bytes each."""

PAINTED = 1e-8
"""Weight of the heaviest view above which a texel has a colour."""


def blend(
    texels: Texels,
    normals: Tensor,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    exponent: float,
    limit: float,
    sharp: bool,
    report: Callable[[float], None],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What :func:`.blend.blend_views` wants: the images of :class:`Baked`, in its order."""
    mesh = texels.mesh
    colors = pictures.color.new_zeros((len(texels), pictures.channels))
    weights, best, most = (colors.new_zeros(len(texels)) for _ in range(3))
    sharpened = filters(texels, [lens for lens, _ in views], pictures)
    heaviest = torch.full_like(weights, -1, dtype=torch.int16)

    def look(part: slice) -> None:
        some = texels[part]
        points = columns(some.interpolate(mesh.vertices))
        smooth = unit(columns(some.interpolate(normals)))
        for number, (lens, view_weight) in enumerate(views):
            color, trust, index = lens.look(points, smooth, some.face, pictures, limit, exponent, sharpened[number])
            weight = trust * view_weight
            here = [values[part] for values in (heaviest, most, best, colors, weights)]
            mine = here if index is None else [values.index_select(0, index) for values in here]
            mine[0].masked_fill_(weight > mine[1], number)
            mine[1].clamp_(min=weight)
            mine[2].clamp_(min=trust)
            if sharp:
                weight = weight.square().square()
            mine[3].addcmul_(color, weight[:, None])
            mine[4].add_(weight)
            if index is not None:
                for values, changed in zip(here, mine, strict=True):
                    values.index_copy_(0, index, changed)

    chunk = min(device_policy(colors.device).chunk, CHUNK)
    share_rows(look, len(texels), colors.device, weight=len(views), chunk=chunk, report=report)
    painted = most > PAINTED
    # Rounding must not leave the range of the pictures: what is a constant stays one.
    lowest, highest = sharpened[0].lowest, sharpened[0].highest
    colors = (colors / torch.where(painted, weights, 1.0)[:, None]).clamp_(lowest, highest) * painted[:, None]
    covered = texels.image(torch.ones_like(painted))
    views_painted = texels.image(torch.where(painted, heaviest + 1, 0).to(torch.int16)) - 1
    return texels.image(colors), texels.image(painted), texels.image(best * painted), covered, views_painted
