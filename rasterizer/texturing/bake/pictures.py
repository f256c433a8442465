"""Pictures made ready to bake: where they show a surface, and how far each pixel is from an edge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ...rendering.face_ids import FaceIds
from .breaks import find_breaks
from .choice import with_kernels
from .view import Lens, Pictures


def prepare_pictures(
    shown: FaceIds,
    lenses: Sequence[Lens],
    images: Tensor,
    masks: Tensor | None,
    border: int,
    report: Callable[[float], None],
) -> Pictures:
    """What :meth:`Lens.look` looks at.

    Args:
        shown: the mesh as the views see it.
        lenses: of the views.
        images: ``[V, H, W, C]``, of any dtype of :data:`rasterizer.pictures.stored.STORED`.
        masks: ``[V, H, W]``, by which the weight of each pixel is multiplied, or None.
        border: pixels over which weights fade out towards edges; 0 takes 1/256 of the image's longer side.
        report: takes the share done.
    """
    views, height, width, channels = images.shape
    border = border or max(1, round(max(height, width) / 256))
    asked = (shown, lenses, masks, border)
    found = with_kernels(
        images.device,
        lambda kernels: kernels.find_breaks(*asked) if kernels.suit(shown.findices.numel(), views) else None,
    )
    found = find_breaks(*asked, report) if found is None else found
    report(1.0)
    color = images.reshape(views * height * width, channels)
    return Pictures(color, found.depth.view(-1), found.rough, channels, fading=found.fading.view(-1))
