"""Colours spread in the plane of the texture: over gaps, and out into the gutters between charts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...runtime.progress import shares
from ...runtime.threads import on_own_threads, share_rows

_RINGS = 8  # texels around the known ones that take the mean of their neighbours, before coarser averages take over


@on_own_threads
def spread(texture: Tensor, known: Tensor, on_progress: Callable[[float], None] | None = None) -> Tensor:
    """Fill every texel that is not known from those that are.

    The first rings around known texels take the mean of their known neighbours, so that colours continue across the
    border under bilinear filtering; farther out, averages over ever larger squares (those of a mipmap) follow, so that
    no level of a mipmap sees an empty texel.

    Args:
        texture: ``[H, W, C]`` float32.
        known: ``[H, W]`` bool.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Returns:
        ``[H, W, C]``; all zeros if nothing is known.
    """
    image = (texture * known[..., None]).permute(2, 0, 1)[None]
    weight = known.to(texture.dtype)[None, None]
    for report in shares(on_progress or (lambda share: None), _RINGS):
        image, weight = _ring(image, weight, report)
    filled = _pyramid(image, weight)
    result = torch.where(weight > 0, image, filled)[0].permute(1, 2, 0)
    return torch.where(known[..., None], texture, result)


def _ring(image: Tensor, weight: Tensor, report: Callable[[float], None]) -> tuple[Tensor, Tensor]:
    """Unknown texels next to known ones take the mean of the known among their eight neighbours."""
    height, width = weight.shape[2:]
    colors, known = torch.empty_like(image), torch.empty_like(weight)

    def grow(rows: slice) -> None:
        first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
        some, its_weight = image[:, :, first:last], weight[:, :, first:last]
        near = torch.nn.functional.avg_pool2d(its_weight, 3, stride=1, padding=1)
        mean = torch.nn.functional.avg_pool2d(some, 3, stride=1, padding=1) / near.clamp(min=1e-6)
        grown = (near > 0.05).to(weight.dtype)  # one of nine is 0.11
        inner = slice(rows.start - first, rows.stop - first)
        colors[:, :, rows] = torch.where(its_weight > 0, some, mean * grown)[:, :, inner]
        known[:, :, rows] = grown[:, :, inner]

    share_rows(grow, height, weight.device, weight=4 * width, report=report)
    return colors, known


def _pyramid(image: Tensor, weight: Tensor) -> Tensor:
    """Known texels as they are, the others the average of the smallest square around them that has a known one.

    The method is pull-push (Gortler, Grzeszczuk, Szeliski and Cohen, The Lumigraph, SIGGRAPH 1996).
    """
    height, width = image.shape[2:]
    if height == 1 and width == 1:
        return image
    pad = (0, width % 2, 0, height % 2)
    padded, known = torch.nn.functional.pad(image * weight, pad), torch.nn.functional.pad(weight, pad)
    share = torch.nn.functional.avg_pool2d(known, 2)
    coarse = torch.nn.functional.avg_pool2d(padded, 2) / share.clamp(min=1e-6)
    above = _pyramid(coarse, (share > 0).to(weight.dtype))
    back = torch.nn.functional.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(weight > 0, image, back[..., :height, :width])
