"""Sums of rows by index: how gradients come back from pixels to vertices and texels."""

from __future__ import annotations

import torch
from torch import Tensor

from ....runtime.policy import device_policy

_MOST_COLUMNS = 8  # measured on two cores: up to here a pass a channel is faster, by half where indices are in disorder


def add_rows(rows: int, index: Tensor, values: Tensor) -> Tensor:
    """Sum up the values of each row.

    On a CPU bitwise repeatable always; on a GPU where ``torch.use_deterministic_algorithms`` is on, as there
    ``index_add_`` then sorts instead of adding as threads come.

    Args:
        rows: how many there are.
        index: ``[N]`` int64, 0 to ``rows - 1`` each: they are not checked.
        values: ``[N, C]`` float; on a CPU it may as well be the transpose of a contiguous ``[C, N]``.

    Returns:
        ``[rows, C]``, 0 where no index points.
    """
    channels = values.shape[1]
    columns = device_policy(index.device).layout == "columns"
    if columns and 0 < channels <= _MOST_COLUMNS and 4 * len(index) >= rows:
        sums = [values.new_zeros(rows).scatter_add_(0, index, column) for column in values.unbind(1)]
        return torch.stack(sums, 1)
    return values.new_zeros((rows, channels)).index_add_(0, index, values)
