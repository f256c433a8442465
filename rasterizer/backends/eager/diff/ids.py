"""Ids of triangles out of an image's last channel, in which clients may have written anything."""

from __future__ import annotations

import torch
from torch import Tensor

_EXACT = 1 << 24  # above it not every integer is a float32
_OFFSET = 0x4A800000  # what the bits of such a float are above the id


def decode_ids(ids: Tensor) -> Tensor:
    """The integers that float ids stand for.

    Args:
        ids: ``[...]`` float32.

    Returns:
        ``[...]`` int32, at most 0 for the background. What no rasterizer writes, such as NaN, gives some integer or
        other.
    """
    bits = ids.contiguous().view(torch.int32)
    return torch.where(ids <= _EXACT, ids.to(torch.int32), bits - _OFFSET)


def triangles_shown(ids: Tensor, triangles: int) -> Tensor:
    """Numbers of triangles, from 1, or 0 where ids name none of those there are.

    Args:
        ids: ``[...]`` float32.
        triangles: how many there are, ``T``.

    Returns:
        ``[...]`` int32, 0 to ``T``.
    """
    # Ids of fewer triangles are floats that are integers, and whatever is larger is none of them.
    numbers = ids.to(torch.int32) if triangles < _EXACT else decode_ids(ids)
    numbers = numbers.clamp_(0, triangles + 1)
    return numbers.mul_(numbers <= triangles)
