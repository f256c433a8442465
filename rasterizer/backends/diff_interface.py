"""What every implementation of the differentiable primitives takes and gives. Imports none of them.

An implementation is a module of plain functions, one a step, forward and backward, that know nothing of autograd:
``backends/eager/diff`` in PyTorch operators, ``backends/kernels/diff`` in GPU kernels. Names of the steps are the keys
of :data:`rasterizer.backends.diff_operations.ROWS`.

All arguments have been checked: float tensors are contiguous float32, index tensors contiguous int32, all on one
device but ``ranges``, which lies on the CPU. *Values* have not: vertex indices may lie outside the mesh, and any float
may be NaN or infinite. No value may lead to a read outside a tensor, nor to an exception. Nothing waits for the device,
but the eager rasterizer, once a chunk. Results are new contiguous float32 tensors on the same device, unless said
otherwise.

Letters: ``B`` images, ``H, W`` rows and columns, ``V`` vertices, ``T`` triangles, ``C`` channels, ``A`` attributes.
Conventions of coordinates, barycentrics, ids and derivatives are stated in :mod:`rasterizer.contract.diff_rule`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from ..contract.types import Boundary, Filter

NO_LAYER = 2**31 - 1
"""Depth of a pixel that shows nothing, see :class:`Rasterize`: nothing lies behind it."""


class Rasterize(Protocol):
    """``rasterize``: coverage, depth test and what follows from them."""

    def __call__(
        self,
        pos: Tensor,
        tri: Tensor,
        resolution: tuple[int, int],
        ranges: Tensor | None,
        behind: Tensor | None,
        keep_depth: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Draw images.

        Args:
            pos: ``[B, V, 4]``, or ``[V, 4]`` with ``ranges``.
            tri: ``[T, 3]``.
            resolution: ``(H, W)``.
            ranges: ``[B, 2]`` int32 on the CPU, first triangle and count of each image; parts outside ``tri`` count as
                nothing.
            behind: ``[B, H, W]`` int32 depths of the layer before; only what lies strictly behind is drawn.
            keep_depth: give the depths that a next layer needs.

        Returns:
            ``rast [B, H, W, 4]`` (u, v, z/w, id), ``rast_db [B, H, W, 4]``, and with ``keep_depth`` the depths
            ``[B, H, W]`` int32: the 32-bit depth ``D`` of the contract less 2**31, :data:`NO_LAYER` where nothing is.
        """


class RasterizeBackward(Protocol):
    """``rasterize_backward``."""

    def __call__(self, pos: Tensor, tri: Tensor, rast: Tensor, d_rast: Tensor | None, d_db: Tensor | None) -> Tensor:
        """Gradient of ``pos``, shaped like it; of ``d_rast [B, H, W, 4]`` channels 0 and 1 count. One may be None."""


class Interpolate(Protocol):
    """``interpolate``."""

    def __call__(
        self, attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Attributes over an image, and their screen-space derivatives.

        Args:
            attr: ``[V, A]``, ``[1, V, A]`` or ``[B, V, A]``.
            rast: ``[B, H, W, 4]``.
            tri: ``[T, 3]``, not necessarily that of ``rast``; ids beyond its T are background.
            rast_db: ``[B, H, W, 4]``; None if no derivatives are asked for.
            every: derivatives of all attributes; ``chosen`` is then empty.
            chosen: attributes to differentiate, 0 to A - 1 each, or -1 for zeros; repetitions allowed.

        Returns:
            ``[B, H, W, A]``, and ``[B, H, W, 2 n]`` for the n differentiated attributes.
        """


class InterpolateBackward(Protocol):
    """``interpolate_backward``."""

    def __call__(
        self,
        attr: Tensor,
        rast: Tensor,
        tri: Tensor,
        rast_db: Tensor | None,
        every: bool,
        chosen: tuple[int, ...],
        d_out: Tensor | None,
        d_da: Tensor | None,
        wanted: tuple[bool, bool, bool],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of ``attr``, ``rast`` and ``rast_db`` where ``wanted``, else None. One of ``d_out`` and ``d_da``
        may be None."""


class Mipmaps(Protocol):
    """``mipmaps``."""

    def __call__(self, tex: Tensor, levels: int) -> list[Tensor]:
        """Levels 1 to ``levels`` of ``tex [Bt, (6,) Ht, Wt, C]``; halving has been checked to come out even."""


class MipmapsBackward(Protocol):
    """``mipmaps_backward``."""

    def __call__(self, gradients: list[Tensor]) -> Tensor:
        """Gradient of ``tex`` from those of levels 0 to n of its pyramid; may change the tensors given, and return
        one of them."""


class Texture(Protocol):
    """``texture``."""

    def __call__(
        self,
        levels: list[Tensor],
        uv: Tensor,
        uv_da: Tensor | None,
        bias: Tensor | None,
        filter_mode: Filter,
        boundary_mode: Boundary,
    ) -> Tensor:
        """Sample a texture.

        Args:
            levels: ``[Bt, Ht, Wt, C]`` each, for cube maps ``[Bt, 6, S, S, C]``, level 0 first; more than one with the
                mipmap filters alone. Bt is 1 or B.
            uv: ``[B, H, W, 2]``, or directions ``[B, H, W, 3]`` for cube maps.
            uv_da: ``[B, H, W, 4]``, or ``[B, H, W, 6]`` for cube maps; None if there is none, or it does not matter.
            bias: ``[B, H, W]``, likewise.
            filter_mode, boundary_mode: their names; ``auto`` has been resolved.

        Returns:
            ``[B, H, W, C]``.
        """


class TextureWants(NamedTuple):
    """Whose gradients :class:`TextureBackward` is asked for."""

    levels: bool
    uv: bool
    uv_da: bool
    bias: bool


class TextureBackward(Protocol):
    """``texture_backward``."""

    def __call__(
        self,
        levels: list[Tensor],
        uv: Tensor,
        uv_da: Tensor | None,
        bias: Tensor | None,
        filter_mode: Filter,
        boundary_mode: Boundary,
        d_out: Tensor,
        wanted: TextureWants,
    ) -> tuple[list[Tensor] | None, Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of each level by itself, of ``uv``, ``uv_da`` and ``bias``, where wanted. What the contract gives
        no gradient (``uv`` by ``nearest``, derivatives and bias but by ``linear-mipmap-linear``) is never wanted."""


class Mipmapped(Protocol):
    """``mipmapped``: ``mipmaps`` and ``texture`` in one."""

    def __call__(
        self,
        tex: Tensor,
        count: int,
        uv: Tensor,
        uv_da: Tensor | None,
        bias: Tensor | None,
        filter_mode: Filter,
        boundary_mode: Boundary,
    ) -> tuple[Tensor, object]:
        """What :class:`Texture` gives for a texture and ``count`` levels made of it, at least one; and whatever the
        implementation likes to find again in its backward step."""


class MipmappedBackward(Protocol):
    """``mipmapped_backward``: ``texture_backward`` and ``mipmaps_backward`` in one."""

    def __call__(
        self,
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
        """Gradients of ``tex``, for which ``wanted.levels`` asks, ``uv``, ``uv_da`` and ``bias``. ``work`` is what the
        forward step gave; anything else is found again."""


class Topology(Protocol):
    """``topology``."""

    def __call__(self, tri: Tensor, vertices: int) -> Tensor:
        """``[T, 3]`` int32: of each edge k (the one opposite vertex k) the third vertex of the other triangle at it, or
        -1. ``vertices`` bounds the indices that are valid; 2**31 - 1 where it is not known."""


class Antialias(Protocol):
    """``antialias``."""

    def __call__(
        self, color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """``color [B, H, W, C]`` with silhouettes blended, and whatever the implementation likes to find again in its
        backward step, or None. ``pos`` is ``[B, V, 4]`` or ``[V, 4]``."""


class AntialiasBackward(Protocol):
    """``antialias_backward``."""

    def __call__(
        self,
        color: Tensor,
        rast: Tensor,
        pos: Tensor,
        tri: Tensor,
        topology: Tensor,
        work: Tensor | None,
        d_out: Tensor,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of ``color`` and ``pos`` where ``wanted``. ``work`` is what the forward step gave; where it is None
        the silhouettes are found again."""
