"""Single views for backends that know batches only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from torch import Tensor

from ..contract.types import RasterInfo, RasterOptions

Rasterize = Callable[[Tensor, Tensor, RasterOptions], tuple[Tensor, Tensor, RasterInfo]]


def takes_single_views(rasterize: Rasterize) -> Rasterize:
    """Let what takes ``pos [B, N, 4]`` take ``[N, 4]`` too, with results that have no batch dimension either."""

    @wraps(rasterize)
    def of_either(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
        if pos.ndim == 3:
            return rasterize(pos, tri, options)
        findices, barycentric, info = rasterize(pos.unsqueeze(0), tri, options)
        return findices.squeeze(0), barycentric.squeeze(0), info

    return of_either
