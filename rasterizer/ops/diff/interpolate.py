"""Interpolation over images of :func:`.rasterize.rasterize`, with screen-space derivatives, differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..library import applied, empty, none, once, operator, traced
from .steps import step, step_back

Gradients = tuple["Tensor | None", "Tensor | None", "Tensor | None"]


def interpolate(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """As :class:`rasterizer.backends.diff_interface.Interpolate`, differentiable in the floating-point tensors."""
    if traced(attr, rast, tri, rast_db):
        return _operator(attr, rast, tri, rast_db, every, chosen)
    if torch.is_grad_enabled() and (
        attr.requires_grad or rast.requires_grad or (rast_db is not None and rast_db.requires_grad)
    ):
        return _apply(attr, rast, tri, rast_db, every, chosen)
    return _run(attr, rast, tri, rast_db, every, chosen)


def _run(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: Sequence[int]
) -> tuple[Tensor, Tensor]:
    return step("interpolate", rast.device)(attr, rast, tri, rast_db, every, tuple(chosen))


def _backward(
    saved: tuple[Tensor, Tensor, Tensor, Tensor | None],
    every: bool,
    chosen: Sequence[int],
    d_out: Tensor | None,
    d_da: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> Gradients:
    if d_out is not None:
        d_out = d_out.contiguous()
    elif d_da is None:
        return None, None, None
    if d_da is not None:
        d_da = d_da.contiguous()
    return step_back("interpolate_backward", saved[1].device)(*saved, every, tuple(chosen), d_out, d_da, wanted)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        attr: Tensor,
        rast: Tensor,
        tri: Tensor,
        rast_db: Tensor | None,
        every: bool,
        chosen: tuple[int, ...],
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(attr, rast, tri, rast_db)
        ctx.which = every, chosen
        ctx.set_materialize_grads(False)
        return _run(attr, rast, tri, rast_db, every, chosen)

    @staticmethod
    @once
    def backward(ctx: Any, d_out: Tensor | None, d_da: Tensor | None) -> tuple[Tensor | None, ...]:
        for_attr, for_image, _, for_db, _, _ = ctx.needs_input_grad
        every, chosen = ctx.which
        wanted = for_attr, for_image, for_db
        d_attr, d_image, d_db = _backward(ctx.saved_tensors, every, chosen, d_out, d_da, wanted)
        return d_attr, d_image, None, d_db, None, None


_apply = applied(_Interpolate)


def _shapes(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: Sequence[int]
) -> tuple[Tensor, Tensor]:
    attributes = attr.shape[-1]
    derivatives = attributes if every else len(chosen)
    return rast.new_empty(*rast.shape[:3], attributes), rast.new_empty(*rast.shape[:3], 2 * derivatives)


def _run_backward(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    every: bool,
    chosen: Sequence[int],
    d_out: Tensor | None,
    d_da: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    one, two, three = wanted
    found = _backward((attr, rast, tri, rast_db), every, chosen, d_out, d_da, (one, two, three))
    first, second, third = (empty(rast) if gradient is None else gradient for gradient in found)
    return first, second, third


def _shapes_of_backward(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    every: Any,
    chosen: Any,
    d_out: Any,
    d_da: Any,
    wanted: Any,
) -> tuple[Tensor, ...]:
    inputs = attr, rast, rast_db
    return tuple(
        torch.empty_like(value) if asked and value is not None else empty(rast)
        for value, asked in zip(inputs, wanted, strict=True)
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.which = inputs[4:]
    ctx.set_materialize_grads(False)


def _operator_backward(ctx: Any, d_out: Tensor | None, d_da: Tensor | None) -> tuple[Tensor | None, ...]:
    if d_out is None and d_da is None:
        return (None,) * 6
    wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.needs_input_grad[3]]
    found = _operator_of_backward(*ctx.saved_tensors, *ctx.which, d_out, d_da, wanted)
    d_attr, d_image, d_db = (none(gradient) for gradient in found)
    return d_attr, d_image, None, d_db, None, None


_operator_of_backward = operator(
    "diff_interpolate_backward(Tensor attr, Tensor rast, Tensor tri, Tensor? rast_db, bool every, int[] chosen, "
    "Tensor? d_out, Tensor? d_da, bool[3] wanted) -> (Tensor, Tensor, Tensor)",
    _run_backward,
    _shapes_of_backward,
)
_operator = operator(
    "diff_interpolate(Tensor attr, Tensor rast, Tensor tri, Tensor? rast_db, bool every, int[] chosen) "
    "-> (Tensor, Tensor)",
    _run,
    _shapes,
    _operator_backward,
    _remember,
)
