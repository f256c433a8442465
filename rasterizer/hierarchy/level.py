"""One level of a hierarchy while it is built."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Level:
    """One level; ``neighbors`` come last."""

    resolution: int
    cells: Tensor  # [N, 3] int64 coordinates
    dims: Tensor  # [N] int64, the view that a cell faces most
    points: Tensor | None = None  # [N, 3] float32, from where its neighbours are looked for
    corners: Tensor | None = None  # [2, N] integer flags, even and odd
    rules: Tensor | None = None  # [N] int64
    seen: Tensor | None = None  # [N] bool
    downsample: Tensor | None = None  # [N] int64, into the coarser level
    neighbors: Tensor | None = None  # [N, 9] int64
