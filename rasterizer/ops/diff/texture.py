"""Texture sampling, differentiable in texels, coordinates, their derivatives and the bias of the level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...backends.diff_interface import TextureWants
from ...contract.types import Boundary, Filter
from ..library import applied, empty, none, once, operator, traced
from .steps import step, step_back


def construct_mipmaps(tex: Tensor, levels: int) -> list[Tensor]:
    """Levels 1 to ``levels`` of a texture, through which no gradient flows."""
    if traced(tex):
        return _mipmaps_operator(tex.detach(), levels)
    return step("mipmaps", tex.device)(tex.detach(), levels) if levels else []


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    mips: Sequence[Tensor],
    pull: bool,
    levels: int,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> Tensor:
    """Sample a texture.

    Args:
        tex, uv, uv_da, bias, filter_mode, boundary_mode: as in :class:`rasterizer.backends.diff_interface.Texture`.
        mips: levels 1 to n; or none.
        pull: the ``mips`` were made of ``tex``, which gets their gradients; else each has its own.
        levels: with no ``mips``, how many are made of ``tex``, which gets their gradients.
    """
    how = pull or not mips, levels, filter_mode, boundary_mode
    if traced(tex, uv, uv_da, bias, *mips):
        return _operator(tex, uv, uv_da, bias, mips, *how)
    own = levels > 0 and not mips
    inputs = tex, uv, uv_da, bias, *mips
    if torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in inputs):
        if own:
            return _apply_mipmapped(tex, uv, uv_da, bias, levels, filter_mode, boundary_mode)
        return _apply(tex, uv, uv_da, bias, how, *mips)
    if own:
        return step("mipmapped", uv.device)(tex, levels, uv, uv_da, bias, filter_mode, boundary_mode)[0]
    return _sample(tex, uv, uv_da, bias, mips, filter_mode, boundary_mode)


def _made(tex: Tensor, mips: Sequence[Tensor], levels: int) -> Sequence[Tensor]:
    return mips if mips or not levels else step("mipmaps", tex.device)(tex, levels)


def _sample(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    mips: Sequence[Tensor],
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> Tensor:
    return step("texture", uv.device)([tex, *mips], uv, uv_da, bias, filter_mode, boundary_mode)


def _backward(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    mips: Sequence[Tensor],
    how: tuple[bool, int, Filter, Boundary],
    d_out: Tensor,
    needed: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, list[Tensor | None]]:
    """Gradients of the five inputs; ``needed`` says of which, the ``mips`` one by one."""
    pull, _, filter_mode, boundary_mode = how
    by_level = filter_mode == "linear-mipmap-linear" and len(mips) > 0
    wanted = TextureWants(
        levels=needed[0] or any(needed[4:]),
        uv=needed[1] and filter_mode != "nearest",
        uv_da=needed[2] and by_level and uv_da is not None,
        bias=needed[3] and by_level and bias is not None,
    )
    if not any(wanted):
        return None, None, None, None, [None] * len(mips)
    run = step_back("texture_backward", uv.device)
    d_levels, d_uv, d_da, d_bias = run([tex, *mips], uv, uv_da, bias, filter_mode, boundary_mode, d_out, wanted)
    if d_levels is None:
        return None, d_uv, d_da, d_bias, [None] * len(mips)
    if not pull:
        own = [gradient if need else None for gradient, need in zip(d_levels[1:], needed[4:], strict=True)]
        return d_levels[0] if needed[0] else None, d_uv, d_da, d_bias, own
    d_tex = step_back("mipmaps_backward", tex.device)(d_levels) if len(d_levels) > 1 else d_levels[0]
    return d_tex, d_uv, d_da, d_bias, [None] * len(mips)


class _Texture(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        tex: Tensor,
        uv: Tensor,
        uv_da: Tensor | None,
        bias: Tensor | None,
        how: tuple[bool, int, Filter, Boundary],
        *mips: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(tex, uv, uv_da, bias, *mips)
        ctx.how = how
        ctx.set_materialize_grads(False)
        return _sample(tex, uv, uv_da, bias, mips, *how[2:])

    @staticmethod
    @once
    def backward(ctx: Any, d_out: Tensor | None) -> tuple[Tensor | None, ...]:
        tex, uv, uv_da, bias, *mips = ctx.saved_tensors
        if d_out is None:
            return (None,) * (5 + len(mips))
        needed = *ctx.needs_input_grad[:4], *ctx.needs_input_grad[5:]
        *first, d_mips = _backward(tex, uv, uv_da, bias, mips, ctx.how, d_out.contiguous(), needed)
        return *first, None, *d_mips


_apply = applied(_Texture)


class _Mipmapped(torch.autograd.Function):
    """With levels made of the texture."""

    @staticmethod
    def forward(
        ctx: Any,
        tex: Tensor,
        uv: Tensor,
        uv_da: Tensor | None,
        bias: Tensor | None,
        levels: int,
        filter_mode: Filter,
        boundary_mode: Boundary,
    ) -> Tensor:
        ctx.how = levels, filter_mode, boundary_mode
        out, ctx.work = step("mipmapped", uv.device)(tex, levels, uv, uv_da, bias, filter_mode, boundary_mode)
        ctx.save_for_backward(tex, uv, uv_da, bias)
        ctx.set_materialize_grads(False)
        return out

    @staticmethod
    @once
    def backward(ctx: Any, d_out: Tensor | None) -> tuple[Tensor | None, ...]:
        if d_out is None:
            return (None,) * 7
        tex, uv, uv_da, bias = ctx.saved_tensors
        levels, filter_mode, boundary_mode = ctx.how
        for_tex, for_uv, for_da, for_bias, *_ = ctx.needs_input_grad
        blend = filter_mode == "linear-mipmap-linear"
        wanted = TextureWants(for_tex, for_uv, for_da and blend, for_bias and blend)
        run = step_back("mipmapped_backward", uv.device)
        found = run(tex, levels, uv, uv_da, bias, filter_mode, boundary_mode, ctx.work, d_out.contiguous(), wanted)
        return *found, None, None, None


_apply_mipmapped = applied(_Mipmapped)


def _run(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    mips: Sequence[Tensor],
    pull: bool,
    levels: int,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> Tensor:
    return _sample(tex, uv, uv_da, bias, _made(tex, mips, levels), filter_mode, boundary_mode)


def _run_backward(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    mips: Sequence[Tensor],
    pull: bool,
    levels: int,
    filter_mode: Filter,
    boundary_mode: Boundary,
    d_out: Tensor,
    needed: Sequence[bool],
) -> list[Tensor]:
    made = _made(tex, mips, levels)
    how = pull, levels, filter_mode, boundary_mode
    needed = (*needed[:4], *(needed[4:] or [False] * len(made)))
    *first, d_mips = _backward(tex, uv, uv_da, bias, made, how, d_out.contiguous(), needed)
    return [empty(uv) if gradient is None else gradient for gradient in (*first, *d_mips[: len(mips)])]


def _shapes_of_backward(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    mips: Sequence[Tensor],
    pull: bool,
    levels: int,
    filter_mode: Filter,
    boundary_mode: Boundary,
    d_out: Tensor,
    needed: Sequence[bool],
) -> list[Tensor]:
    by_level = filter_mode == "linear-mipmap-linear" and bool(mips or levels)
    has = [True, filter_mode != "nearest", by_level, by_level, *[not pull] * len(mips)]
    inputs = tex, uv, uv_da, bias, *mips
    return [
        torch.empty_like(value) if value is not None and need and there else empty(uv)
        for value, need, there in zip(inputs, needed, has, strict=True)
    ]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tex, uv, uv_da, bias, mips, *how = inputs
    ctx.save_for_backward(tex, uv, uv_da, bias, *mips)
    ctx.how = how


def _operator_backward(ctx: Any, d_out: Tensor) -> tuple[Any, ...]:
    tex, uv, uv_da, bias, *mips = ctx.saved_tensors
    needs = ctx.needs_input_grad
    needed = [*needs[:4], *needs[4]] if mips else list(needs[:4])
    found = _operator_of_backward(tex, uv, uv_da, bias, mips, *ctx.how, d_out, needed)
    d_tex, d_uv, d_da, d_bias, *d_mips = (none(gradient) for gradient in found)
    return d_tex, d_uv, d_da, d_bias, d_mips, None, None, None, None


_INPUTS = (
    "Tensor tex, Tensor uv, Tensor? uv_da, Tensor? bias, Tensor[] mips, bool pull, int levels, "
    "str filter_mode, str boundary_mode"
)
_mipmaps_operator = operator(
    "diff_mipmaps(Tensor tex, int levels) -> Tensor[]",
    lambda tex, levels: [level.clone() for level in _made(tex, (), levels)],  # which may share memory
    lambda tex, levels: _shapes_of_mipmaps(tex, levels),
)
_operator_of_backward = operator(
    f"diff_texture_backward({_INPUTS}, Tensor d_out, bool[] needed) -> Tensor[]", _run_backward, _shapes_of_backward
)
_operator = operator(
    f"diff_texture({_INPUTS}) -> Tensor",
    _run,
    lambda tex, uv, *rest: uv.new_empty(*uv.shape[:3], tex.shape[-1]),
    _operator_backward,
    _remember,
)


def _shapes_of_mipmaps(tex: Tensor, levels: int) -> list[Tensor]:
    *front, height, width, channels = tex.shape
    sizes = ((max(1, height >> level), max(1, width >> level)) for level in range(1, levels + 1))
    return [tex.new_empty(*front, *size, channels) for size in sizes]
