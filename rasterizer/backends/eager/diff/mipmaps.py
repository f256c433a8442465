"""Pyramids of a texture: each level the average of 2 x 2 texels of the one below, and the transpose of that.

A side of length 1 stays, and only the other is halved. Faces of a cube map are averaged by themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mipmaps(tex: Tensor, levels: int) -> list[Tensor]:
    """See :class:`rasterizer.backends.diff_interface.Mipmaps`."""
    pyramid = [tex]
    for _ in range(levels):
        pyramid.append(_halve(pyramid[-1]))
    return pyramid[1:]


def mipmaps_backward(gradients: list[Tensor]) -> Tensor:
    """See :class:`rasterizer.backends.diff_interface.MipmapsBackward`."""
    for finer, coarser in zip(reversed(gradients[:-1]), reversed(gradients[1:]), strict=True):
        _spread(coarser, finer)
    return gradients[0]


def _halve(tex: Tensor) -> Tensor:
    """Rows first, then columns: sums over whole rows run along memory."""
    *_, height, width, channels = tex.shape
    share = 1.0
    if height > 1:
        rows = tex.unflatten(-3, (height // 2, 2))
        tex, share = rows[..., 0, :, :] + rows[..., 1, :, :], 0.5 * share
    if width > 1:
        # Both texels of a pair are one row of 2 C numbers: operators are slow where the innermost side is short.
        pairs = tex.reshape(*tex.shape[:-2], width // 2, 2 * channels)
        tex, share = pairs[..., :channels] + pairs[..., channels:], 0.5 * share
    return tex.mul_(share)


def _spread(coarser: Tensor, finer: Tensor) -> None:
    """Add the gradient of a level to that of the level below."""
    *_, height, width, channels = finer.shape
    share = (0.5 if height > 1 else 1.0) * (0.5 if width > 1 else 1.0)
    part = coarser * share
    if width > 1:
        part, finer = torch.cat((part, part), -1), finer.view(*finer.shape[:-2], width // 2, 2 * channels)
    if height > 1:
        part, finer = part.unsqueeze(-3), finer.unflatten(-3, (height // 2, 2))
    finer.add_(part)
