"""Gradient of a texture's levels, gathered from many pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from ....runtime.memory import default_budget
from ....runtime.policy import device_policy
from .sampler import FEW_CHANNELS, Points, Sampler, weights_of
from .scatter import RowSums

_CHUNKS = 4
"""So many are kept at once: enough to share between threads, and little memory to touch for the first time."""


class TexelGradient:
    """What pixels add to texels, kept until there is no more room, and then summed up."""

    def __init__(self, sampler: Sampler, device: torch.device) -> None:
        self._table, self._taps = sampler.table, sampler.taps
        channels = self._table.channels
        room = default_budget(device) // (4 * self._taps * (8 + 4 * channels))
        self.pixels = max(1, min(sampler.pixels, room, _CHUNKS * device_policy(device).chunk))
        count = self.pixels * self._taps
        self._index = torch.empty(count, dtype=torch.int64, device=device)
        self._by_channel = channels <= FEW_CHANNELS
        shape = (channels, count) if self._by_channel else (count, channels)
        self._values = torch.empty(shape, dtype=torch.float32, device=device)
        self._sums = RowSums(self._table.count, channels, sampler.pixels * self._taps, device)

    def keep(self, points: Points, d_out: Tensor, first: int) -> None:
        """What pixels add, given ``d_out [P, C]``; ``first`` is how many come before them since the last sum."""
        index, weights = points.taps.index.view(-1), weights_of(points)
        place = slice(first * self._taps, first * self._taps + len(index))
        self._index[place] = index
        weights = torch.ones_like(d_out[:, 0])[None] if weights is None else weights
        if self._by_channel:
            values = self._values[:, place].unflatten(1, weights.shape)
            torch.mul(weights, d_out.t().contiguous()[:, None], out=values)
        else:
            torch.mul(weights[..., None], d_out, out=self._values[place].unflatten(0, weights.shape))

    def sum_up(self, pixels: int) -> None:
        """Count in what has been kept of so many pixels."""
        used = slice(0, pixels * self._taps)
        values = self._values.t() if self._by_channel else self._values
        self._sums.add(self._index[used], values[used])

    def by_level(self) -> list[Tensor]:
        """Gradient of each level, in memory of its own."""
        total, start = self._sums.result(), 0
        found: list[Tensor] = []
        for level in self._table.levels:
            stop = start + level[..., 0].numel()
            # Level 0, the largest, keeps the common memory; the others are copied out of it.
            part = total[start:stop].clone() if start else total[:stop]
            found.append(part.view(level.shape))
            start = stop
        return found
