"""Pictures made ready to bake: where they show a surface, and how far each pixel is from an edge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ...rendering.raster import Raster
from .breaks import find_breaks
from .choice import with_kernels
from .view import Lens, Pictures


def prepare_pictures(
    raster: Raster,
    lenses: Sequence[Lens],
    images: Tensor,
    masks: Tensor | None,
    border: int,
    report: Callable[[float], None],
) -> Pictures:
    """What :meth:`Lens.look` looks at.

    Args:
        raster: the mesh as the views see it, one layer.
        lenses: of the views.
        images: ``[V, H, W, C]`` float32.
        masks: ``[V, H, W]``, by which the weight of each pixel is multiplied, or None.
        border: pixels over which weights fade out towards edges; 0 takes 1/256 of the image's longer side.
        report: takes the share done.
    """
    views, height, width, channels = images.shape
    border = border or max(1, round(max(height, width) / 256))
    # On a GPU, looking up rows of a multiple of 16 bytes takes twenty times as long as it should.
    wide = channels + 1 if (channels + 1) % 4 or not images.is_cuda else channels + 2
    color = images.new_zeros((views, height, width, wide))
    color[..., :channels] = images
    asked = (raster, lenses, masks, border)
    found = with_kernels(
        images.device,
        lambda kernels: kernels.find_breaks(*asked) if kernels.suit(raster.findices.numel(), views) else None,
    )
    found = find_breaks(*asked, report) if found is None else found
    report(1.0)
    color[..., channels] = found.fading
    return Pictures(color.view(-1, wide), found.depth.view(-1), found.rough, channels)
