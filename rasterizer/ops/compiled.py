"""``rasterize`` and ``interpolate`` as operators of PyTorch's registry, which ``torch.compile`` and ``torch.export``
leave whole.

Imported when a program that calls them is compiled, by the modules of these functions; so it finds them in
:data:`.library.FUNCTIONS` in turn.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..contract.types import Fragments
from .library import FUNCTIONS, empty, none, operator


def rasterize(
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    depth_prior: Tensor | None,
    occlusion_truncation: float,
    mode: str,
    tile_size: int,
    batch_size: int,
    backend: str,
) -> Fragments:
    """As :func:`rasterizer.rasterize`; arguments are checked when the program runs, and no account is given."""
    height, width = resolution
    options = depth_prior, occlusion_truncation, mode, tile_size, batch_size, backend
    barycentric, findices = _rasterize_operator(pos, tri, height, width, *options)
    return Fragments(findices, barycentric)


def interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
    """As :func:`rasterizer.interpolate`."""
    return _interpolate_operator(col, findices, barycentric, tri)


def _run_rasterize(
    pos: Tensor,
    tri: Tensor,
    height: int,
    width: int,
    depth_prior: Tensor | None,
    occlusion_truncation: float,
    mode: str,
    tile_size: int,
    batch_size: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    findices, barycentric = FUNCTIONS["rasterize"](
        pos.detach(),
        tri,
        (height, width),
        depth_prior=depth_prior,
        occlusion_truncation=occlusion_truncation,
        mode=mode,
        tile_size=tile_size,
        batch_size=batch_size,
        backend=backend,
    )
    return barycentric, findices  # floats first, as PyTorch's own check of operators wants them


def _shapes_of_rasterize(pos: Tensor, tri: Tensor, height: int, width: int, *options: Any) -> tuple[Tensor, Tensor]:
    shape = *pos.shape[:-2], height, width
    barycentric = pos.new_empty((*shape, 3), dtype=torch.float32)
    return barycentric, pos.new_empty(shape, dtype=torch.int32)


def _remember_rasterize(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], output[1])


def _backward_of_rasterize(ctx: Any, d_barycentric: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    return _barycentrics_backward(*ctx.saved_tensors, d_barycentric), *(None,) * 9


def _run_barycentrics_backward(pos: Tensor, tri: Tensor, findices: Tensor, d_barycentric: Tensor) -> Tensor:
    with torch.enable_grad():
        vertices = pos.detach().requires_grad_()
        weights = FUNCTIONS["barycentrics"](vertices, tri, findices)
        return torch.autograd.grad(weights, vertices, d_barycentric)[0].clone()


def _run_interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
    return FUNCTIONS["interpolate"](col.detach(), findices, barycentric.detach(), tri)


def _run_interpolate_backward(
    col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor, d_out: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        inputs = [value.detach().requires_grad_(asked) for value, asked in zip((col, barycentric), wanted, strict=True)]
        out = FUNCTIONS["interpolate"](inputs[0], findices, inputs[1], tri)
        asked = [value for value in inputs if value.requires_grad]
        found = iter(torch.autograd.grad(out, asked, d_out, materialize_grads=True))
    d_col, d_barycentric = (next(found).clone() if value.requires_grad else empty(out) for value in inputs)
    return d_col, d_barycentric


def _shapes_of_interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
    batch = findices.shape if findices.ndim == 3 or col.ndim == 2 else (1, *findices.shape)
    return col.new_empty(*batch, col.shape[-1])


def _remember_interpolate(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_of_interpolate(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[2]]
    d_col, d_barycentric = (none(gradient) for gradient in _interpolate_backward(*ctx.saved_tensors, d_out, wanted))
    return d_col, None, d_barycentric, None


_barycentrics_backward = operator(
    "barycentrics_backward(Tensor pos, Tensor tri, Tensor findices, Tensor d_barycentric) -> Tensor",
    _run_barycentrics_backward,
    lambda pos, tri, findices, d_barycentric: pos.new_empty(pos.shape),
)
_rasterize_operator = operator(
    "rasterize(Tensor pos, Tensor tri, SymInt height, SymInt width, Tensor? depth_prior, float occlusion_truncation, "
    "str mode, int tile_size, int batch_size, str backend) -> (Tensor, Tensor)",
    _run_rasterize,
    _shapes_of_rasterize,
    _backward_of_rasterize,
    _remember_rasterize,
)
_interpolate_backward = operator(
    "interpolate_backward(Tensor col, Tensor findices, Tensor barycentric, Tensor tri, Tensor d_out, bool[2] wanted) "
    "-> (Tensor, Tensor)",
    _run_interpolate_backward,
    lambda col, findices, barycentric, tri, d_out, wanted: tuple(
        value.new_empty(value.shape) if asked else empty(d_out)
        for value, asked in zip((col, barycentric), wanted, strict=True)
    ),
)
_interpolate_operator = operator(
    "interpolate(Tensor col, Tensor findices, Tensor barycentric, Tensor tri) -> Tensor",
    _run_interpolate,
    _shapes_of_interpolate,
    _backward_of_interpolate,
    _remember_interpolate,
)
