"""Rasterizing vertices that are stored as integers by Vulkan: what is sent to the card are their floats."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ...contract.quantized import to_clip
from ...contract.types import RasterInfo, RasterOptions
from ..eager import quantized as eager
from . import session

reason_against = session.reason_against
reason_to_pass_over = partial(session.reason_to_pass_over, "rasterize")


def rasterize_quantized(
    positions: Tensor, matrices: Tensor, tri: Tensor, options: RasterOptions
) -> tuple[Tensor, Tensor, RasterInfo]:
    """As :func:`rasterizer.backends.eager.quantized.rasterize_quantized`; falls back to it when the card fails."""

    def draw(card: session.Card) -> tuple[Tensor, Tensor, RasterInfo]:
        findices, barycentric, info = card.rasterizer.draw(to_clip(positions, matrices), tri, options)
        return findices.to(positions.device), barycentric.to(positions.device), info

    return session.attempt(draw, lambda: eager.rasterize_quantized(positions, matrices, tri, options))
