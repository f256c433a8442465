"""Rows that are added up by index: how gradients come back from what was looked up."""

from __future__ import annotations

import torch
from torch import Tensor


def add_rows(rows: int, index: Tensor, values: Tensor) -> Tensor:
    """``[rows, C]``: the sum of ``values [N, C]`` at each row of ``index [N]``, int64 and within ``0..rows - 1``."""
    total = torch.zeros((rows, values.shape[1]), dtype=values.dtype, device=values.device)
    return total.index_add_(0, index, values)
