"""Rasterizing by Vulkan, for tensors on any device: what is not on the host travels through it."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ...contract.types import RasterInfo, RasterOptions
from ..eager import rasterize as eager
from . import session

reason_against = session.reason_against
reason_to_pass_over = partial(session.reason_to_pass_over, "rasterize")


def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """As :func:`rasterizer.backends.eager.rasterize.rasterize`; falls back to it when the card fails."""

    def draw(card: session.Card) -> tuple[Tensor, Tensor, RasterInfo]:
        findices, barycentric, info = card.rasterizer.draw(pos, tri, options)
        if pos.ndim == 2:
            findices, barycentric = findices[0], barycentric[0]
        return findices.to(pos.device), barycentric.to(pos.device), info

    return session.attempt(draw, lambda: eager.rasterize(pos, tri, options))
