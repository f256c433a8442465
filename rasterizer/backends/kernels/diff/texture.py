"""Texture sampling and its gradients as GPU kernels.

``texture.cu`` and ``texture_backward.cu`` hold the kernels and their design, :mod:`.texture_programs` what they take,
:mod:`.mipmaps` pyramids. Nothing here waits for the device. Each program is compared with PyTorch's operators before
its first use.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract.types import Boundary, Filter
from ....gpu.program import Kernel, Loaded, SelfTest, UnsuitedError, current_stream
from ...diff_interface import TextureWants
from ...eager.diff import texture as eager
from . import mipmaps as pyramids
from .launching import address, aligned
from .mipmaps import MOST_DEEP, MOST_LEVELS, mipmaps, mipmaps_backward, pyramid_of, zeros_like_levels
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
for _boundary in _BOUNDARIES:
    FORWARD[_boundary].soon = (BACKWARD[_boundary],)


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
    program = FORWARD[boundary_mode]
    return program.attempt(uv.device, _run, eager.texture, levels, uv, uv_da, bias, filter_mode, boundary_mode)


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
    return BACKWARD[boundary_mode].attempt(uv.device, _run_backward, eager.texture_backward, *arguments)


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
    return FORWARD[boundary_mode].attempt(uv.device, _run_mipmapped, eager.mipmapped, *arguments)


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
    return BACKWARD[boundary_mode].attempt(uv.device, _run_mipmapped_backward, eager.mipmapped_backward, *arguments)


class _Plan(NamedTuple):
    """What follows from the shapes of a call alone.

    Attributes:
        used: levels that are read.
        out: shape of the result.
        alignment: of texels, in bytes less 1; several are read at once.
        launch: the launcher.
    """

    used: int
    out: tuple[int, ...]
    alignment: int
    launch: Kernel

    def usable(self, levels: list[Tensor]) -> list[Tensor]:
        """Those that are read, aligned."""
        used = levels[: self.used]
        return [aligned(level) for level in used] if self.alignment else used


@lru_cache(maxsize=64)
def _plan(
    program: Loaded, kind: str, tex: tuple[int, ...], count: int, uv: tuple[int, ...], filter_mode: Filter
) -> _Plan:
    """
    Raises:
        UnsuitedError: this is beyond the kernels, whose grids have their limits and are not empty.
    """
    textures, *_, tall, wide, channels = tex
    images, rows, columns, _ = uv
    pixels = rows * columns * (images if textures == 1 else 1)
    if not 0 < pixels < 2**31 or 0 in tex or (textures > 1 and images > MOST_DEEP) or count > MOST_LEVELS:
        raise UnsuitedError
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
    used = params.count
    # Addresses of levels come last; those that are not read are skipped.
    layout = f"4P32x{used}P" if kind == "sample" else f"8P{used}P{8 * (MOST_LEVELS - used)}x{used}P"
    return _Plan(
        used,
        (*uv[:3], channels),
        15 if channels % 2 == 0 else 0,
        program.kernel(name + own, blocks, THREADS, params, layout),
    )


def _run(
    levels: list[Tensor],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> Tensor:
    program = FORWARD[boundary_mode].on(uv.device.index)
    plan = _plan(program, "sample", levels[0].shape, len(levels), uv.shape, filter_mode)
    used = plan.usable(levels)
    return _sample(plan, [level.data_ptr() for level in used], uv, uv_da, bias, current_stream(uv.device.index))


def _run_mipmapped(
    tex: Tensor,
    count: int,
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    filter_mode: Filter,
    boundary_mode: Boundary,
) -> tuple[Tensor, Tensor]:
    number = uv.device.index
    plan = _plan(FORWARD[boundary_mode].on(number), "sample", tex.shape, count + 1, uv.shape, filter_mode)
    pyramid, stream = pyramid_of(tex, count), current_stream(number)
    base = tex.data_ptr()
    if base & plan.alignment:
        tex = aligned(tex)
        base = tex.data_ptr()
    buffer = tex.new_empty(pyramid.floats)
    addresses = pyramid.addresses(base, buffer)
    pyramid.make(addresses, stream)
    return _sample(plan, addresses[: plan.used], uv, uv_da, bias, stream), buffer


def _sample(
    plan: _Plan, levels: list[int], uv: Tensor, uv_da: Tensor | None, bias: Tensor | None, stream: int
) -> Tensor:
    """The result, from the addresses of levels."""
    at_uv, at_da = uv.data_ptr(), address(uv_da)
    if (at_uv | at_da) & 15:
        uv, uv_da = aligned(uv), uv_da if uv_da is None else aligned(uv_da)
        at_uv, at_da = uv.data_ptr(), address(uv_da)
    if plan.used == 1:
        at_da, bias = 0, None
    out = uv.new_empty(plan.out)
    plan.launch(stream, at_uv, at_da, address(bias), out.data_ptr(), *levels)
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
    number = uv.device.index
    plan = _plan(BACKWARD[boundary_mode].on(number), "backward", levels[0].shape, len(levels), uv.shape, filter_mode)
    used = plan.usable(levels)
    d_levels = zeros_like_levels(levels[0], len(levels) - 1) if wanted.levels else None
    to = [0] * plan.used if d_levels is None else [each.data_ptr() for each in d_levels[: plan.used]]
    addresses = [level.data_ptr() for level in used]
    return d_levels, *_pull_back(plan, addresses, to, uv, uv_da, bias, d_out, wanted, current_stream(number))


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
    number = uv.device.index
    plan = _plan(BACKWARD[boundary_mode].on(number), "backward", tex.shape, count + 1, uv.shape, filter_mode)
    pyramid, stream = pyramid_of(tex, count), current_stream(number)
    base = tex.data_ptr()
    if base & plan.alignment:
        tex = aligned(tex)
        base = tex.data_ptr()
    if isinstance(work, Tensor):
        addresses = pyramid.addresses(base, work)
    else:  # that of PyTorch's operators
        work = tex.new_empty(pyramid.floats)
        addresses = pyramid.addresses(base, work)
        pyramid.make(addresses, stream)
    if not wanted.levels:
        return None, *_pull_back(plan, addresses, [0] * plan.used, uv, uv_da, bias, d_out, wanted, stream)
    d_tex, buffer = torch.empty_like(tex), torch.empty_like(work)
    to = pyramid.addresses(d_tex.data_ptr(), buffer)
    pyramid.clear(stream, *to)
    others = _pull_back(plan, addresses, to, uv, uv_da, bias, d_out, wanted, stream)
    pyramid.spread(stream, *to)
    return d_tex, *others


def _pull_back(
    plan: _Plan,
    levels: list[int],
    to: list[int],
    uv: Tensor,
    uv_da: Tensor | None,
    bias: Tensor | None,
    d_out: Tensor,
    wanted: TextureWants,
    stream: int,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of ``uv``, ``uv_da`` and ``bias``, from the addresses of levels; those of levels are added to what lies
    at addresses ``to``."""
    at_uv, at_da, upstream = uv.data_ptr(), address(uv_da), d_out.data_ptr()
    if ((at_uv | at_da) & 15) | (upstream & plan.alignment):
        uv, uv_da, d_out = aligned(uv), uv_da if uv_da is None else aligned(uv_da), aligned(d_out)
        at_uv, at_da, upstream = uv.data_ptr(), address(uv_da), d_out.data_ptr()
    if plan.used == 1:
        at_da, bias = 0, None
    _, for_uv, for_da, for_bias = wanted
    d_uv = torch.empty_like(uv) if for_uv else None
    d_da = torch.empty_like(uv_da) if for_da and uv_da is not None else None
    d_bias = torch.empty_like(bias) if for_bias and bias is not None else None
    others = address(d_uv), address(d_da), address(d_bias)
    plan.launch(stream, at_uv, at_da, address(bias), 0, upstream, *others, *levels, *to)
    return d_uv, d_da, d_bias
