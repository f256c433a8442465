"""Antialiasing of silhouettes, differentiable in colours and vertices; and the topology that it looks edges up in."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

from ..library import applied, empty, none, once, operator, traced
from .steps import step, step_back

_UNKNOWN = 2**31 - 1  # vertices, where only the triangles are known

_known: dict[int, tuple[weakref.ref[Tensor], int, Tensor]] = {}
"""By ``id`` of a triangle list: the list, its version, its topology. It is found once for as long as the list lives."""


def topology(tri: Tensor) -> Tensor:
    """``[T, 3]`` int32: the vertex opposite each edge in the other triangle at it, or -1; see
    :class:`rasterizer.backends.diff_interface.Topology`."""
    if traced(tri):
        return _topology_operator(tri)
    if tri.is_inference() or (tri.is_cuda and torch.cuda.is_current_stream_capturing()):
        return _find_topology(tri)
    key = id(tri)
    found = _known.get(key)
    if found is not None and found[0]() is tri and found[1] == tri._version:
        return found[2]
    result = _find_topology(tri)
    _known[key] = weakref.ref(tri, lambda gone: _known.pop(key, None)), tri._version, result
    return result


def _find_topology(tri: Tensor) -> Tensor:
    return step("topology", tri.device)(tri, _UNKNOWN)


_topology_operator = operator("diff_topology(Tensor tri) -> Tensor", _find_topology, torch.empty_like)


def antialias(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor, boost: float = 1.0) -> Tensor:
    """As :class:`rasterizer.backends.diff_interface.Antialias`; the gradient of ``pos`` is multiplied by ``boost``."""
    if traced(color, rast, pos, tri):
        return _operator(color, rast, pos, tri, topology, boost)
    if torch.is_grad_enabled() and (color.requires_grad or pos.requires_grad or rast.requires_grad):
        return _apply(color, rast, pos, tri, topology, boost)
    return step("antialias", color.device)(color, rast, pos, tri, topology)[0]


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor, boost: float
    ) -> Tensor:
        out, work = step("antialias", color.device)(color, rast, pos, tri, topology)
        ctx.save_for_backward(color, rast, pos, tri, topology, work)
        ctx.boost = boost
        ctx.set_materialize_grads(False)
        return out

    @staticmethod
    @once
    def backward(ctx: Any, d_out: Tensor | None) -> tuple[Tensor | None, ...]:
        if d_out is None:
            return (None,) * 6
        for_color, _, for_pos, _, _, _ = ctx.needs_input_grad
        run = step_back("antialias_backward", d_out.device)
        d_color, d_pos = run(*ctx.saved_tensors, d_out.contiguous(), (for_color, for_pos))
        if d_pos is not None and ctx.boost != 1.0:
            d_pos = d_pos * ctx.boost
        return d_color, None, d_pos, None, None, None


_apply = applied(_Antialias)


def _run(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor, boost: float) -> Tensor:
    return step("antialias", color.device)(color, rast, pos, tri, topology)[0]


def _run_backward(
    color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor, d_out: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    # The backward step finds the work again: its size depends on values, which tracing cannot know.
    run = step_back("antialias_backward", color.device)
    d_color, d_pos = run(color, rast, pos, tri, topology, None, d_out.contiguous(), (wanted[0], wanted[1]))
    return empty(color) if d_color is None else d_color, empty(color) if d_pos is None else d_pos


def _shapes_of_backward(
    color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor, d_out: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    d_color, d_pos = (
        torch.empty_like(value) if asked else empty(color) for value, asked in zip((color, pos), wanted, strict=True)
    )
    return d_color, d_pos


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.boost = inputs[5]


def _operator_backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[2]]
    d_color, d_pos = (none(gradient) for gradient in _operator_of_backward(*ctx.saved_tensors, d_out, wanted))
    return d_color, None, None if d_pos is None else d_pos * ctx.boost, None, None, None


_operator_of_backward = operator(
    "diff_antialias_backward(Tensor color, Tensor rast, Tensor pos, Tensor tri, Tensor topology, Tensor d_out, "
    "bool[2] wanted) -> (Tensor, Tensor)",
    _run_backward,
    _shapes_of_backward,
)
_operator = operator(
    "diff_antialias(Tensor color, Tensor rast, Tensor pos, Tensor tri, Tensor topology, float boost) -> Tensor",
    _run,
    lambda color, *rest: torch.empty_like(color),
    _operator_backward,
    _remember,
)
