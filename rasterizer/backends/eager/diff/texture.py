"""Texture sampling, chunk by chunk of pixels, and its gradients.

A pixel's value is a weighted sum of a few texels: rows of a table (:mod:`.texels`). Which rows and what weights follows
from where it lies (:mod:`.texels`, :mod:`.cube`) and how far it reaches (:mod:`.detail`). All gradients follow from the
products ``<d_out, texel>`` of these texels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...diff_interface import Boundary, Filter, TextureWants
from .mipmaps import mipmaps, mipmaps_backward
from .sampler import Sampler, TexelGradient

__all__ = ["mipmaps", "mipmaps_backward", "texture", "texture_backward"]


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
    out = uv.new_empty((sampler.pixels, levels[0].shape[-1]))
    for part in sampler.parts():
        out[part] = sampler.sample(part)
    return out.view(*uv.shape[:-1], -1)


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
    upstream = d_out.reshape(sampler.pixels, -1)
    texels = TexelGradient(sampler) if wanted.levels else None
    gradients = [
        torch.zeros_like(value) if value is not None and want else None
        for value, want in zip((uv, uv_da, bias), wanted[1:], strict=True)
    ]
    for part in sampler.parts():
        points = sampler.points(part)
        d_part = points.without_unusable(upstream[part])
        if texels is not None:
            texels.add(points, d_part)
        if any(gradient is not None for gradient in gradients):
            for gradient, value in zip(gradients, sampler.slopes(points, d_part), strict=True):
                if gradient is not None and value is not None:
                    gradient.view(sampler.pixels, *value.shape[1:])[part] = value
    return (None if texels is None else texels.by_level(), *gradients)
