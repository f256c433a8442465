"""What pixels show of a texture, as a sparse matrix: each pixel is a weighted sum of texels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


@dataclass(frozen=True)
class Rows:
    """A sparse matrix by rows.

    Attributes:
        starts: ``[R + 1]`` int32, where in ``columns`` and ``weights`` each row begins, and the end.
        columns: ``[N]`` int32.
        weights: ``[N]`` float32.
    """

    starts: Tensor
    columns: Tensor
    weights: Tensor

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.starts) - 1

    def times(self, values: Tensor) -> Tensor:
        """``[R, C]`` from values ``[columns, C]``; each row is summed in its order, so results repeat bit by bit."""
        return embedding_bag(
            self.columns, values, self.starts, mode="sum", per_sample_weights=self.weights, include_last_offset=True
        )

    def transposed(self) -> tuple[Tensor, Rows]:
        """The columns that are used, ``[K]`` int64 ascending, and the transposed matrix, with a row for each of them
        only."""
        counts = self.starts.diff()
        rows = torch.arange(len(self), dtype=torch.int32, device=counts.device)
        rows = rows.repeat_interleave(counts, output_size=len(self.columns))
        columns, order = torch.sort(self.columns, stable=True)
        first = torch.ones_like(columns, dtype=torch.bool)
        torch.ne(columns[1:], columns[:-1], out=first[1:])
        starts = _run_starts(first)
        used = columns.index_select(0, starts[:-1]).long()
        return used, Rows(starts, rows.index_select(0, order), self.weights.index_select(0, order))

    @staticmethod
    def joined(parts: list[Rows]) -> Rows:
        """The rows of all parts, one part after the other."""
        columns, weights = (torch.cat([getattr(part, name) for part in parts]) for name in ("columns", "weights"))
        counts = torch.cat([part.starts.diff() for part in parts])
        return Rows(_starts(counts), columns, weights)


def _starts(counts: Tensor) -> Tensor:
    return torch.cat((counts.new_zeros(1), counts.cumsum(0, dtype=counts.dtype)))


def _run_starts(first: Tensor) -> Tensor:
    """Where runs begin, ``[runs + 1]`` int32 with the end, by flags ``[N]`` of their first elements."""
    starts = first.nonzero().squeeze(1)
    return torch.cat((starts, starts.new_full((1,), len(first)))).int()


def merged(texels: Tensor, weights: Tensor) -> Rows:
    """The matrix with a row for each of ``weights [R, K]`` at ``texels [R, K]`` int32, equal texels taken together."""
    texels, order = torch.sort(texels, dim=1)
    first = torch.ones_like(texels, dtype=torch.bool)
    torch.ne(texels[:, 1:], texels[:, :-1], out=first[:, 1:])
    runs = _run_starts(first.view(-1))
    every = torch.arange(texels.numel(), dtype=torch.int32, device=texels.device)
    sums = embedding_bag(every, weights.gather(1, order).view(-1, 1), runs, mode="sum", include_last_offset=True)
    kept = texels.view(-1).index_select(0, runs[:-1])
    return Rows(_starts(first.sum(1, dtype=torch.int32)), kept, sums[:, 0])


@dataclass(frozen=True)
class Sampling:
    """What the counted pixels of one view show of the texture.

    Attributes:
        forward: a row for each pixel, a column for each unknown texel.
        used: ``[K]`` int64, the texels that pixels show.
        backward: a row for each of them, a column for each pixel.
    """

    forward: Rows
    used: Tensor
    backward: Rows

    @classmethod
    def of(cls, forward: Rows) -> Sampling:
        """With its transpose."""
        return cls(forward, *forward.transposed())

    def render(self, texels: Tensor) -> Tensor:
        """``[P, C]`` pixels of texels ``[T, C]``."""
        return self.forward.times(texels)

    def add_to(self, total: Tensor, pixels: Tensor) -> None:
        """Add the transpose of :meth:`render`, of pixels ``[P, C]``, to ``total [T, C]``."""
        # No texel comes twice, so that the order of additions is always the same.
        total.index_copy_(0, self.used, self.backward.times(pixels).add_(total.index_select(0, self.used)))
