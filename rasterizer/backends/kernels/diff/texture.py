"""Texture sampling and its gradients as GPU kernels.

``texture.cu`` and ``texture_backward.cu`` hold the kernels and their design, :mod:`.texture_programs` what they take,
:mod:`.mipmaps` pyramids. Nothing here waits for the device. Each program is compared with PyTorch's operators before
its first use.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ....contract.types import Boundary, Filter
from ....gpu.platforms import Launch
from ....gpu.program import Loaded, Program, SelfTest, current_stream, parameters_of
from ...diff_interface import TextureWants
from ...eager.diff import texture as eager
from . import mipmaps as pyramids
from .launching import aligned
from .mipmaps import MOST_DEEP, MOST_LEVELS, mipmaps, mipmaps_backward, zeros_like_levels
from .texture_check import compare, compare_gradients
from .texture_programs import OWN, THREADS, TILE, Params, backward_program, edge_codes, forward_program

__all__ = [
    "mipmapped",
    "mipmapped_backward",
    "mipmaps",
    "mipmaps_backward",
    "reason_against",
    "texture",
    "texture_backward",
]

Gradients = tuple["list[Tensor] | None", "Tensor | None", "Tensor | None", "Tensor | None"]

_BOUNDARIES: tuple[Boundary, ...] = ("wrap", "clamp", "zero", "cube")


def _forward_test(boundary: Boundary) -> SelfTest:
    return lambda device: compare(_run, boundary, device)


def _backward_test(boundary: Boundary) -> SelfTest:
    return lambda device: compare_gradients(_run_backward, boundary, device)


FORWARD = {boundary: forward_program(boundary, _forward_test(boundary)) for boundary in _BOUNDARIES}
BACKWARD = {boundary: backward_program(boundary, _backward_test(boundary)) for boundary in _BOUNDARIES}


def reason_against(device: torch.device) -> str:
    """Why the kernels cannot be used on ``device``; empty if they can, though those for one boundary mode or the other
    may turn out not to work when they are first needed."""
    return pyramids.PROGRAM.reason_against(device)


def texture(
    levels: list[Tensor],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> Tensor:
    """:class:`~rasterizer.backends.diff_interface.Texture`; falls back to PyTorch's operators for what the kernels do
    not suit, and when a launch fails."""
    arguments = levels, uv, uv_da, bias, filter_mode, boundary_mode
    program = FORWARD[boundary_mode]
    if _unsuited(levels, uv) or not _works(program, uv.device):
        return eager.texture(*arguments)
    return program.attempt(uv.device, _run, eager.texture, *arguments)


def texture_backward(
    levels: list[Tensor],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
    d_out: Tensor,
    wanted: TextureWants,
) -> Gradients:
    """:class:`~rasterizer.backends.diff_interface.TextureBackward`, added up in any order; falls back likewise."""
    arguments = levels, uv, uv_da, bias, filter_mode, boundary_mode, d_out, wanted
    program = BACKWARD[boundary_mode]
    if _unsuited(levels, uv) or not _both_work(program, uv.device):
        return eager.texture_backward(*arguments)
    return program.attempt(uv.device, _run_backward, eager.texture_backward, *arguments)


def mipmapped(
    tex: Tensor,
    count: int,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> tuple[Tensor, object]:
    """:class:`~rasterizer.backends.diff_interface.Mipmapped`; falls back likewise."""
    arguments = tex, count, uv, uv_da, bias, filter_mode, boundary_mode
    program = FORWARD[boundary_mode]
    if _unsuited([tex], uv) or count >= MOST_LEVELS or not _both_work(program, uv.device):
        return eager.mipmapped(*arguments)
    return program.attempt(uv.device, _run_mipmapped, eager.mipmapped, *arguments)


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
    """:class:`~rasterizer.backends.diff_interface.MipmappedBackward`, added up in any order; falls back likewise."""
    arguments = tex, count, uv, uv_da, bias, filter_mode, boundary_mode, work, d_out, wanted
    program = BACKWARD[boundary_mode]
    if _unsuited([tex], uv) or count >= MOST_LEVELS or not _both_work(program, uv.device):
        return eager.mipmapped_backward(*arguments)
    return program.attempt(uv.device, _run_mipmapped_backward, eager.mipmapped_backward, *arguments)


def _both_work(program: Program, device: torch.device) -> bool:
    return _works(pyramids.PROGRAM, device) and _works(program, device)


def _works(program: Program, device: torch.device) -> bool:
    """Whether a program can be used, on GPUs: whoever launches it elsewhere sees to that."""
    return device.type != "cuda" or not program.reason_against(device)


def _unsuited(levels: list[Tensor], uv: Tensor) -> bool:
    """Whether this is beyond the kernels, whose grids have their limits and are not empty."""
    images, height, width, _ = uv.shape
    pixels = height * width * (images if levels[0].shape[0] == 1 else 1)
    return (
        not 0 < pixels < 2**31
        or not levels[0].numel()
        or (levels[0].shape[0] > 1 and images > MOST_DEEP)
        or len(levels) > MOST_LEVELS
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """What follows from the shapes of a call alone.

    Attributes:
        template: of the parameters.
        used: levels that are read.
        out: shape of the result.
        vectors: whether texels are read at once, which must then lie on 16 bytes.
        launch: the launcher.
    """

    template: bytes
    used: int
    out: tuple[int, ...]
    vectors: bool
    launch: Launch

    def usable(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Those that are read, on 16 bytes if they must."""
        used = list(levels[: self.used])
        return [aligned(level) for level in used] if self.vectors else used


@lru_cache(maxsize=64)
def _plan(
    program: Loaded, kind: str, tex: tuple[int, ...], count: int, uv: tuple[int, ...], filter_mode: Filter
) -> _Plan:
    textures, *_, tall, wide, channels = tex
    images, rows, columns, _ = uv
    if textures == 1:
        images, rows = 1, images * rows
    flat = min(rows, columns) < TILE or -(-rows // TILE) > MOST_DEEP
    if flat:
        rows, columns = 1, rows * columns
    mipmapped = filter_mode in ("linear-mipmap-linear", "linear-mipmap-nearest")
    params = Params(
        width=wide,
        height=tall,
        count=count if mipmapped else 1,
        channels=channels,
        columns=columns,
        rows=rows,
        flat=flat,
        blend=filter_mode == "linear-mipmap-linear",
        nearest=filter_mode == "nearest",
        whole=channels % 4 == 0,
        edges=(ctypes.c_uint16 * 24)(*edge_codes()),
    )
    name = "nearest" if kind == "sample" and filter_mode == "nearest" else kind
    own = f"_{channels}" if channels in OWN and name != "nearest" else ""
    blocks = (-(-columns // THREADS), 1, images) if flat else (-(-columns // TILE), -(-rows // TILE), images)
    return _Plan(
        bytes(params),
        params.count,
        (*uv[:3], channels),
        channels % 2 == 0,
        program.launcher(name + own, blocks, THREADS),
    )


def _prepared(
    plan: _Plan, addresses: Sequence[int], uv: Tensor, uv_da: Tensor | None, bias: Tensor | None
) -> tuple[ctypes.Structure, list[Tensor]]:
    """Parameters that say where the inputs are, and what must live until the launch."""
    params = Params.from_buffer_copy(plan.template)
    params.levels[: plan.used] = addresses[: plan.used]
    kept = [aligned(uv)]
    params.uv = kept[0].data_ptr()
    if plan.used > 1:
        if uv_da is not None:
            kept.append(aligned(uv_da))
            params.da = kept[-1].data_ptr()
        if bias is not None:
            params.bias = bias.data_ptr()
    return params, kept


def _run(
    levels: list[Tensor],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> Tensor:
    plan = _plan(
        FORWARD[boundary_mode].on(uv.device.index), "sample", levels[0].shape, len(levels), uv.shape, filter_mode
    )
    used = plan.usable(levels)
    return _sample(plan, [level.data_ptr() for level in used], uv, uv_da, bias)


def _run_mipmapped(
    tex: Tensor,
    count: int,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> tuple[Tensor, Tensor]:
    plan = _plan(FORWARD[boundary_mode].on(uv.device.index), "sample", tex.shape, count + 1, uv.shape, filter_mode)
    (tex,) = plan.usable([tex])
    buffer, addresses = pyramids.make_pyramid(tex, count)
    return _sample(plan, addresses, uv, uv_da, bias), buffer


def _sample(plan: _Plan, addresses: Sequence[int], uv: Tensor, uv_da: Tensor | None, bias: Tensor | None) -> Tensor:
    out = uv.new_empty(plan.out)
    params, kept = _prepared(plan, addresses, uv, uv_da, bias)
    params.out = out.data_ptr()
    plan.launch(current_stream(uv.device.index), parameters_of(params))
    return out


def _run_backward(
    levels: list[Tensor],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
    d_out: Tensor,
    wanted: TextureWants,
) -> Gradients:
    program = BACKWARD[boundary_mode].on(uv.device.index)
    plan = _plan(program, "backward", levels[0].shape, len(levels), uv.shape, filter_mode)
    used = plan.usable(levels)
    d_levels = zeros_like_levels(levels[0], len(levels) - 1) if wanted.levels else None
    to = None if d_levels is None else [each.data_ptr() for each in d_levels]
    others = _pull_back(plan, [level.data_ptr() for level in used], uv, uv_da, bias, d_out, wanted, to)
    return d_levels, *others


def _run_mipmapped_backward(
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
    program = BACKWARD[boundary_mode].on(uv.device.index)
    plan = _plan(program, "backward", tex.shape, count + 1, uv.shape, filter_mode)
    (tex,) = plan.usable([tex])
    addresses = pyramids.addresses_of_pyramid(tex, count, work)
    if addresses is None:  # work of PyTorch's operators
        work, addresses = pyramids.make_pyramid(tex, count)
    base = buffer = to = None
    if wanted.levels:
        base, buffer, to = pyramids.zero_pyramid(tex, count)
    others = _pull_back(plan, addresses, uv, uv_da, bias, d_out, wanted, to)
    if base is not None and to is not None:
        pyramids.add_levels(base, count, to)
    del buffer, work  # lived until all was launched
    return base, *others


def _pull_back(
    plan: _Plan,
    addresses: Sequence[int],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    d_out: Tensor,
    wanted: TextureWants,
    to: Sequence[int] | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of ``uv``, ``uv_da`` and ``bias``; those of levels are added to what lies at addresses ``to``."""
    params, kept = _prepared(plan, addresses, uv, uv_da, bias)
    d_uv = torch.empty_like(uv) if wanted.uv else None
    d_da = torch.empty_like(uv_da) if wanted.uv_da and uv_da is not None else None
    d_bias = torch.empty_like(bias) if wanted.bias and bias is not None else None
    kept.append(aligned(d_out) if plan.vectors else d_out)
    params.d_out = kept[-1].data_ptr()
    if to is not None:
        params.gradients[: plan.used] = to[: plan.used]
    params.d_uv, params.d_da, params.d_bias = (
        None if each is None else each.data_ptr() for each in (d_uv, d_da, d_bias)
    )
    plan.launch(current_stream(uv.device.index), parameters_of(params))
    return d_uv, d_da, d_bias
