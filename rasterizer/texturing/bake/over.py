"""Baking onto a texture that is there: a part of it painted anew, the rest kept to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ...cameras.camera import Camera
from ...contract.checks import as_tensor
from ...meshes.mesh import Mesh
from ...pictures.stored import as_numbers
from ...runtime.threads import on_own_threads
from ..fill.plane import spread
from .blend import Baked
from .checks import check_pictures
from .views import bake_views

_GUTTER = 8
"""Texels around what is painted anew in which the gutters are made anew, too."""


@on_own_threads
def bake_over(
    mesh: Mesh,
    images: Tensor,
    cameras: Sequence[Camera],
    base: Tensor,
    paint: Tensor | None = None,
    *,
    masks: Tensor | None = None,
    on_progress: Callable[[float], None] | None = None,
    **options: Any,
) -> Baked:
    """:func:`bake_views` onto the texture ``base``, where views show the surface and ``paint`` and ``masks`` allow it.

    Texels of the layout that are not painted keep their bits. Gutters within 8 texels of those that are continue their
    charts; others keep their bits.

    Args:
        mesh, images, cameras: as for :func:`bake_views`.
        base: ``[H, W, C]`` float32 with the channels of ``images``.
        paint: ``[H, W]`` float32 0..1, how far a texel may change, in between old and new are blended; None is 1.
        masks: as for :func:`bake_views`; here, where a view's mask is in between, old and new are blended, too.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.
        options: others of :func:`bake_views`, but for ``texture_size``, which is that of ``base``.

    Returns:
        What was baked: ``texture`` is whole, ``painted`` is where it was changed, ``confidence`` is lowered as old
        colours are blended in.

    Raises:
        ValueError: as for :func:`bake_views`, or ``base`` or ``paint`` does not fit.
    """
    images, masks = check_pictures(images, masks, len(cameras))
    channels = images.shape[3]
    base = as_tensor(base, "base")
    if base.ndim != 3 or base.shape[2] != channels or not base.is_floating_point() or not base.numel():
        raise ValueError(
            f"base: found {list(base.shape)} {base.dtype} for images {list(images.shape)}, expected a floating-point "
            f"texture [H, W, {channels}], with the channels of the images"
        )
    size = base.shape[0], base.shape[1]
    if paint is not None and as_tensor(paint, "paint").shape != size:
        raise ValueError(f"paint: found {list(paint.shape)}, expected {list(size)}, as the texture")
    if masks is not None:  # one more channel is what the masks are on the texture
        images = as_numbers(images)
        images = torch.cat((images, masks.to(images)[..., None]), dim=3)
    report = on_progress or (lambda share: None)
    options["on_progress"] = lambda share: report(0.9 * share)
    baked = bake_views(mesh, images, cameras, size, masks=masks, **options)
    amount = baked.painted.to(torch.float32)
    if masks is not None:
        amount = amount * baked.texture[..., channels].clamp(0, 1)
    if paint is not None:
        amount = amount * paint.to(amount).clamp(0, 1)
    texture, painted = _blended(baked, base.to(baked.texture), amount, lambda share: report(0.9 + 0.1 * share))
    return replace(
        baked,
        texture=texture,
        painted=painted,
        confidence=baked.confidence * amount,
        heaviest=torch.where(painted, baked.heaviest, -1),
        images=None if baked.images is None else baked.images[..., :channels],
    )


def _blended(baked: Baked, base: Tensor, amount: Tensor, report: Callable[[float], None]) -> tuple[Tensor, Tensor]:
    """The whole texture, and where it was painted anew."""
    new, share = baked.texture[..., : base.shape[2]], amount[..., None]
    painted = amount > 0
    mixed = torch.where(share < 1, base + (new - base) * share, new)
    texture = torch.where(painted[..., None], mixed, base)
    side = 2 * _GUTTER + 1
    near = max_pool2d(painted.to(torch.float32)[None, None], (side, 1), stride=1, padding=(_GUTTER, 0))
    near = max_pool2d(near, (1, side), stride=1, padding=(0, _GUTTER))[0, 0]
    gutter = (near > 0) & ~baked.covered
    return torch.where(gutter[..., None], spread(texture, baked.covered, report), texture), painted
