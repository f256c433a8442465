"""The mean colour of each texel over the views that see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..texels import Layout
from . import operators
from .agree import Agreement
from .choice import with_kernels
from .view import Lens, Pictures


@dataclass(frozen=True)
class Baked:
    """A texture made from views.

    Attributes:
        texture: ``[H, W, C]`` float32, 0 where nothing was painted.
        painted: ``[H, W]`` bool.
        confidence: ``[H, W]`` float32, 0..1: how squarely, and how far from an edge, the best view sees the texel.
        covered: ``[H, W]`` bool, texels of the UV layout.
        heaviest: ``[H, W]`` int16, the view that weighs most in each texel; -1 where nothing was painted.
        agreement: how the views were changed before; None where they were not asked to agree.
        images: ``[V, H, W, C]``, the pictures as they agree; None where they were not asked to.
    """

    texture: Tensor
    painted: Tensor
    confidence: Tensor
    covered: Tensor
    heaviest: Tensor
    agreement: Agreement | None = None
    images: Tensor | None = None


def blend_views(
    layout: Layout,
    normals: Tensor,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    exponent: float,
    limit: float,
    sharp: bool,
    report: Callable[[float], None],
) -> Baked:
    """The mean colour of each texel over the views that see it, by trust and weight.

    Args:
        layout: of the texture: where to look.
        normals: ``[N, 3]`` of the mesh's vertices.
        views: lens and weight of each.
        pictures: of all views.
        exponent: of the cosine between surface and view.
        limit: cosine from which on a view counts.
        sharp: near the view that weighs most: weights to the fourth power.
        report: takes the share done.
    """
    asked = (layout, normals, views, pictures, exponent, limit, sharp)
    images = with_kernels(
        pictures.depth.device,
        lambda kernels: (
            kernels.blend(*asked)
            if kernels.suit(len(pictures.depth), len(views), pictures.channels, layout.size[0] * layout.size[1])
            else None
        ),
    )
    images = operators.blend(*asked, report) if images is None else images
    report(1.0)
    return Baked(*images)
