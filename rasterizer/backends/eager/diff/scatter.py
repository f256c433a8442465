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
        values: ``[N, C]`` float32; on a CPU it may as well be the transpose of a contiguous ``[C, N]``.

    Returns:
        ``[rows, C]``, 0 where no index points.
    """
    sums = RowSums(rows, values.shape[1], len(index), index.device)
    sums.add(index, values)
    return sums.result()


class RowSums:
    """What :func:`add_rows` gives, built up piece by piece: as if the pieces had come in one, one after the other."""

    def __init__(self, rows: int, channels: int, expected: int, device: torch.device) -> None:
        """``rows`` and ``channels`` of the sums, and about how many values will come, on which the way depends."""
        columns = device_policy(device).layout == "columns"
        self._by_channel = columns and 0 < channels <= _MOST_COLUMNS and 4 * expected >= rows
        shape = (channels, rows) if self._by_channel else (rows, channels)
        self._sums = torch.zeros(shape, dtype=torch.float32, device=device)

    def add(self, index: Tensor, values: Tensor) -> None:
        """Count in ``values [N, C]``; arguments as of :func:`add_rows`."""
        if self._by_channel:
            for channel, column in zip(self._sums, values.unbind(1), strict=True):
                channel.scatter_add_(0, index, column)
        else:
            self._sums.index_add_(0, index, values)

    def result(self) -> Tensor:
        """``[rows, C]``; nothing may be added after it."""
        if not self._by_channel:
            return self._sums
        found = self._sums.new_empty(self._sums.shape[::-1])
        for column, channel in zip(found.unbind(1), self._sums, strict=True):
            column.copy_(channel)  # a fifth of the time that transposing takes
        return found
