"""Ids of triangles out of an image's last channel, in which clients may have written anything."""

from __future__ import annotations

import torch
from torch import Tensor

from ....contract.diff_rule import MOST_PLAIN_ID, decode_ids


def triangles_shown(ids: Tensor, triangles: int) -> Tensor:
    """Numbers of triangles, from 1, or 0 where ids name none of those there are.

    Args:
        ids: ``[...]`` float32.
        triangles: how many there are, ``T``.

    Returns:
        ``[...]`` int32, 0 to ``T``.
    """
    # Ids of fewer triangles are floats that are integers, and whatever is larger is none of them.
    numbers = ids.to(torch.int32) if triangles < MOST_PLAIN_ID else decode_ids(ids)
    numbers = numbers.clamp_(0, triangles + 1)
    return numbers.mul_(numbers <= triangles)
