"""Texture sampling and its gradients, chunk by chunk of pixels; :mod:`.sampler` says what a pixel is."""

from __future__ import annotations

import torch
from torch import Tensor

from ....contract.types import Boundary, Filter
from ....runtime.threads import on_own_threads
from ...diff_interface import TextureWants
from .mipmaps import mipmaps, mipmaps_backward
from .sampler import Sampler, sample
from .texel_gradient import TexelGradient

__all__ = [
    "mipmapped",
    "mipmapped_backward",
    "mipmaps",
    "mipmaps_backward",
    "texture",
    "texture_backward",
]


@on_own_threads
def texture(
    levels: list[Tensor],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> Tensor:
    """See :class:`rasterizer.backends.diff_interface.Texture`."""
    sampler = Sampler(levels, uv, uv_da, bias, filter_mode, boundary_mode)
    rows = sampler.table.rows()
    out = uv.new_empty((sampler.pixels, sampler.table.channels))

    def work(part: slice) -> None:
        out[part] = sample(sampler.points(part), rows)

    sampler.share(work, slice(0, sampler.pixels))
    return out.view(*uv.shape[:-1], -1)


@on_own_threads
def texture_backward(
    levels: list[Tensor],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
    d_out: Tensor,
    wanted: TextureWants,
) -> tuple[list[Tensor] | None, Tensor | None, Tensor | None, Tensor | None]:
    """See :class:`rasterizer.backends.diff_interface.TextureBackward`."""
    sampler = Sampler(levels, uv, uv_da, bias, filter_mode, boundary_mode)
    upstream = d_out.view(-1, d_out.shape[-1])
    texels = TexelGradient(sampler, uv.device) if wanted.levels else None
    gradients = d_uv, d_da, d_bias = (
        torch.zeros_like(uv) if wanted.uv else None,
        torch.zeros_like(uv_da) if wanted.uv_da and uv_da is not None else None,
        torch.zeros_like(bias) if wanted.bias and bias is not None else None,
    )
    rows = sampler.table.rows() if any(gradient is not None for gradient in gradients) else None
    together = sampler.pixels if texels is None else texels.pixels

    def work(part: slice) -> None:
        points = sampler.points(part)
        d_part = points.without_unusable(upstream[part])
        if texels is not None:
            texels.keep(points, d_part, part.start % together)
        if rows is not None:
            for gradient, slope in zip(gradients, sampler.slopes(points, rows, d_part), strict=True):
                if gradient is not None and slope is not None:
                    gradient.view(-1, *slope.shape[1:])[part] = slope

    for start in range(0, sampler.pixels, together):
        stop = min(start + together, sampler.pixels)
        sampler.share(work, slice(start, stop))
        if texels is not None:
            texels.sum_up(stop - start)
    return None if texels is None else texels.by_level(), d_uv, d_da, d_bias


def mipmapped(
    tex: Tensor,
    count: int,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> tuple[Tensor, object]:
    """See :class:`rasterizer.backends.diff_interface.Mipmapped`; the work is levels 1 to ``count``."""
    made = mipmaps(tex, count)
    return texture([tex, *made], uv, uv_da, bias, filter_mode, boundary_mode), made


def mipmapped_backward(
    tex: Tensor,
    count: int,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
    work: object,
    d_out: Tensor,
    wanted: TextureWants,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """See :class:`rasterizer.backends.diff_interface.MipmappedBackward`."""
    made = work if isinstance(work, list) else mipmaps(tex, count)
    arguments = uv, uv_da, bias, filter_mode, boundary_mode, d_out, wanted
    d_levels, d_uv, d_da, d_bias = texture_backward([tex, *made], *arguments)
    return None if d_levels is None else mipmaps_backward(d_levels), d_uv, d_da, d_bias
