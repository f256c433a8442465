"""Rasterization by :mod:`rasterizer.contract.diff_rule`, differentiable in the vertices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..library import applied, once, operator, traced
from .steps import step, step_back

Drawn = tuple[Tensor, Tensor, "Tensor | None"]


def rasterize(
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None = None,
    behind: Tensor | None = None,
    keep_depth: bool = False,
    grad_db: bool = True,
) -> Drawn:
    """As :class:`rasterizer.backends.diff_interface.Rasterize`, with ``rast`` and ``rast_db`` differentiable in
    ``pos``; the latter's gradient counts with ``grad_db`` alone."""
    if traced(pos, tri):
        rast, db, depth = _operator(pos, tri, *resolution, ranges, behind, keep_depth, grad_db)
        return rast, db, depth if keep_depth else None
    if pos.requires_grad and torch.is_grad_enabled():
        return _apply(pos, tri, resolution, ranges, behind, keep_depth, grad_db)
    return step("rasterize", pos.device)(pos, tri, resolution, ranges, behind, keep_depth)


def _backward(pos: Tensor, tri: Tensor, rast: Tensor, d_rast: Tensor | None, d_db: Tensor | None) -> Tensor:
    if d_rast is not None:
        d_rast = d_rast.contiguous()
    elif d_db is None:
        return torch.zeros_like(pos)
    if d_db is not None:
        d_db = d_db.contiguous()
    return step_back("rasterize_backward", pos.device)(pos, tri, rast, d_rast, d_db)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pos: Tensor,
        tri: Tensor,
        resolution: tuple[int, int],
        ranges: Tensor | None,
        behind: Tensor | None,
        keep_depth: bool,
        grad_db: bool,
    ) -> Drawn:
        rast, db, depth = step("rasterize", pos.device)(pos, tri, resolution, ranges, behind, keep_depth)
        ctx.save_for_backward(pos, tri, rast)
        ctx.grad_db = grad_db
        ctx.set_materialize_grads(False)
        if depth is not None:
            ctx.mark_non_differentiable(depth)
        return rast, db, depth

    @staticmethod
    @once
    def backward(ctx: Any, d_rast: Tensor | None, d_db: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        pos, tri, rast = ctx.saved_tensors
        return _backward(pos, tri, rast, d_rast, d_db if ctx.grad_db else None), *(None,) * 6


_apply = applied(_Rasterize)


def _run(
    pos: Tensor,
    tri: Tensor,
    height: int,
    width: int,
    ranges: Tensor | None,
    behind: Tensor | None,
    keep_depth: bool,
    grad_db: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    rast, db, depth = step("rasterize", pos.device)(pos, tri, (height, width), ranges, behind, keep_depth)
    return rast, db, torch.empty(0, dtype=torch.int32, device=pos.device) if depth is None else depth


def _shapes(
    pos: Tensor,
    tri: Tensor,
    height: int,
    width: int,
    ranges: Tensor | None,
    behind: Tensor | None,
    keep_depth: bool,
    grad_db: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    images = pos.shape[0] if ranges is None else ranges.shape[0]
    rast = pos.new_empty(images, height, width, 4)
    depth = pos.new_empty((images, height, width) if keep_depth else (0,), dtype=torch.int32)
    return rast, torch.empty_like(rast), depth


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], output[0])
    ctx.grad_db = inputs[7]
    ctx.set_materialize_grads(False)


def _operator_backward(ctx: Any, d_rast: Tensor | None, d_db: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    pos, tri, rast = ctx.saved_tensors
    d_db = d_db if ctx.grad_db else None
    return _operator_of_backward(pos, tri, rast, d_rast, d_db), *(None,) * 7


_operator_of_backward = operator(
    "diff_rasterize_backward(Tensor pos, Tensor tri, Tensor rast, Tensor? d_rast, Tensor? d_db) -> Tensor",
    _backward,
    lambda pos, tri, rast, d_rast, d_db: torch.empty_like(pos),
)
_operator = operator(
    "diff_rasterize(Tensor pos, Tensor tri, SymInt height, SymInt width, Tensor? ranges, Tensor? behind, "
    "bool keep_depth, bool grad_db) -> (Tensor, Tensor, Tensor)",
    _run,
    _shapes,
    _operator_backward,
    _remember,
)
