"""``nvdiffrast.torch.ops``: :mod:`rasterizer.diff` with the names, parameters, contexts and peeler of nvdiffrast 0.4.

What the functions compute, and which arguments they refuse, is said there. Every one works on any device; a context
holds nothing that they need, and may be made anywhere.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor

from ..... import diff

_cached_plugin: dict[bool, Any] = {}
"""Versions before 0.4 kept their compiled extensions here, and some programs put one in, or look whether there is."""

_log_level = 1


def _get_plugin(gl: bool = False) -> Any:
    """Versions before 0.4 compiled their extension in this call, which some programs make beforehand."""
    return _cached_plugin.get(gl)


def get_log_level() -> int:
    """What :func:`set_log_level` was given last; 1 at first."""
    return _log_level


def set_log_level(level: int) -> None:
    """Remember a level: 0 info, 1 warning, 2 error, 3 fatal. The primitives here have nothing to log at any."""
    global _log_level
    _log_level = operator.index(level)


class RasterizeCudaContext:
    """What :func:`rasterize` and :class:`DepthPeeler` ask for first. It needs no CUDA.

    Args:
        device: a device, its name or its number, which is not used: work is done where the tensors are.

    Attributes:
        active_depth_peeler: the peeler whose ``with`` block is running, or None.

    Raises:
        TypeError, RuntimeError: ``device`` is no device.
    """

    def __init__(self, device: torch.device | str | int | None = None) -> None:
        if isinstance(device, str):
            torch.device(device)  # refuses what is no name of a device
        elif not (device is None or isinstance(device, (torch.device, int))):
            raise TypeError(f"device: is {type(device).__name__}, expected a torch.device, a name, a number or None")
        self.active_depth_peeler: DepthPeeler | None = None


class RasterizeGLContext(RasterizeCudaContext):
    """The same for programs that were written when OpenGL was a choice; there is no OpenGL in it.

    Args:
        output_db: not used: derivatives are always returned.
        mode: not used.
        device: as in :class:`RasterizeCudaContext`.
    """

    def __init__(
        self, output_db: bool = True, mode: str = "automatic", device: torch.device | str | int | None = None
    ) -> None:
        warnings.warn(
            "RasterizeGLContext is RasterizeCudaContext by another name since nvdiffrast 0.4; make that instead",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(device)

    def set_context(self) -> None:
        """Nothing is to be done."""

    def release_context(self) -> None:
        """Nothing is to be done."""


def rasterize(
    glctx: RasterizeCudaContext,
    pos: Tensor,
    tri: Tensor,
    resolution: Sequence[int],
    ranges: Tensor | None = None,
    grad_db: bool = True,
) -> tuple[Tensor, Tensor]:
    """:func:`rasterizer.diff.rasterize`.

    Raises:
        AssertionError: ``glctx`` is no context.
        RuntimeError: a :class:`DepthPeeler` is at work on it.
    """
    _check_context(glctx)
    if glctx.active_depth_peeler is not None:
        raise RuntimeError("rasterize: a DepthPeeler is at work on this context; call it after the with block")
    return diff.rasterize(pos, tri, resolution, ranges, grad_db)


class DepthPeeler:
    """Surfaces behind one another, nearest first, in a ``with`` block: :class:`rasterizer.diff.Peeling`.

    Args:
        glctx, pos, tri, resolution, ranges, grad_db: as in :func:`rasterize`, and checked likewise.
    """

    def __init__(
        self,
        glctx: RasterizeCudaContext,
        pos: Tensor,
        tri: Tensor,
        resolution: Sequence[int],
        ranges: Tensor | None = None,
        grad_db: bool = True,
    ) -> None:
        _check_context(glctx)
        self._context: RasterizeCudaContext | None = glctx
        self._peeling: diff.Peeling | None = diff.Peeling(pos, tri, resolution, ranges, grad_db)

    def __enter__(self) -> DepthPeeler:
        if self._context is None:
            raise RuntimeError("DepthPeeler: its with block is over; make another for the same layers again")
        if self._context.active_depth_peeler is not None:
            raise RuntimeError("DepthPeeler: another is at work on this context; leave its with block first")
        self._context.active_depth_peeler = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._context is not None and self._context.active_depth_peeler is self:
            self._context.active_depth_peeler = None
        self._context = self._peeling = None  # its tensors may be large

    def rasterize_next_layer(self) -> tuple[Tensor, Tensor]:
        """The next layer, as :func:`rasterize` gives the first.

        Raises:
            AssertionError: outside of the ``with`` block.
        """
        if self._peeling is None or self._context is None or self._context.active_depth_peeler is not self:
            raise AssertionError("DepthPeeler: rasterize_next_layer was called outside of its with block")
        return self._peeling.next_layer()


def interpolate(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None = None,
    diff_attrs: Literal["all"] | Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`rasterizer.diff.interpolate`."""
    return diff.interpolate(attr, rast, tri, rast_db, diff_attrs)


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    mip_level_bias: Tensor | None = None,
    mip: diff.Mipmaps | list[Tensor] | None = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:
    """:func:`rasterizer.diff.texture`."""
    return diff.texture(tex, uv, uv_da, mip_level_bias, mip, filter_mode, boundary_mode, max_mip_level)


def texture_construct_mip(tex: Tensor, max_mip_level: int | None = None, cube_mode: bool = False) -> diff.Mipmaps:
    """:func:`rasterizer.diff.texture_construct_mip`."""
    return diff.texture_construct_mip(tex, max_mip_level, cube_mode)


def antialias(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology_hash: diff.Topology | None = None,
    pos_gradient_boost: float = 1.0,
) -> Tensor:
    """:func:`rasterizer.diff.antialias`."""
    return diff.antialias(color, rast, pos, tri, topology_hash, pos_gradient_boost)


def antialias_construct_topology_hash(tri: Tensor) -> diff.Topology:
    """:func:`rasterizer.diff.antialias_construct_topology_hash`."""
    return diff.antialias_construct_topology_hash(tri)


def _check_context(glctx: Any) -> None:
    if not isinstance(glctx, RasterizeCudaContext):
        raise diff.KindError(f"glctx: is {type(glctx).__name__}, expected a RasterizeCudaContext")
