"""How what belongs together lies in memory: the interface of the two layouts, :mod:`.stacks` and :mod:`.columns`.

The three corners of a triangle, its two edges, x and y, the channels of an attribute: each is a quantity per triangle
or pixel, and the same arithmetic applies to several of them.

* In *stacks* they lie in one tensor, so that one operator works on all of them: few launches, which a GPU wants.
* In *columns* they lie apart, a tensor each, looked up and worked on one by one: more operators, each along contiguous
  memory that is still in a CPU's cache.

Both modules offer the functions of :class:`Layout` and give the same bits. The drivers, :mod:`.rasterize` and
:mod:`.interpolate`, choose one of them for a call; nothing else asks which it is, and only the module itself looks into
what :class:`Layout` calls *opaque*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from .fragments import Target

Corners = Any
"""Opaque: the corners a, b and c of faces on the screen, with their mapped depth and clip w."""

Blend = Callable[[Tensor, Tensor, Tensor | None], Any]
"""``(found [P], weights [P, 3], out [P, C])``: the attributes at pixels of these faces and barycentrics, to ``out``.
Where ``out`` is None, which is for stacks only, they are returned in new memory, differentiable."""


@dataclass(frozen=True)
class Vertices:
    """The vertices of all views, one view after the other.

    Attributes:
        pos: ``[B*N, 4]`` in clip space.
        size: image ``(height, width)``.
        count: ``N``, the vertices of one view.
        screen: what :meth:`Layout.map_vertices` made of them; None to map vertices whenever they are looked up.
        orthographic: every clip w is known to be 1.
    """

    pos: Tensor
    size: tuple[int, int]
    count: int
    screen: Tensor | None = None
    orthographic: bool = False


class Edges(NamedTuple):
    """What barycentrics are made of, per face or pixel; opaque in what holds the leading axes.

    Attributes:
        corner: corner a ``[2, ...]``.
        slopes: rows ``BX`` to ``GY`` of :class:`~.boxes.Boxes`, as ``[2, 2, ...]``: x and y, each of beta and gamma.
        inv: ``1/area [...]``.
        weights: clip w of the corners a, b, c ``[3, ...]``, or None where all are 1.
    """

    corner: Any
    slopes: Any
    inv: Tensor
    weights: Any


class Layout(Protocol):
    """What both modules offer."""

    def map_vertices(self, pos: Tensor, size: tuple[int, int], chunk: int) -> tuple[Tensor, bool]:
        """Map vertices to the screen by the rule (:mod:`rasterizer.contract.rule`), to be kept.

        Args:
            pos: ``[K, 4]`` in clip space.
            size: image ``(height, width)``.
            chunk: most vertices mapped at once, where pieces suit the device.

        Returns:
            :attr:`Vertices.screen` and :attr:`Vertices.orthographic`.
        """
        ...

    def look_up(self, vertices: Vertices, faces: Tensor, offset: Tensor | None) -> Corners:
        """Corners of faces.

        Args:
            vertices: what ``faces`` refers to.
            faces: ``[..., 3]`` int32 or int64; an index out of range is taken to the nearest.
            offset: the first vertex of each face's view, int64 that broadcasts with ``[...]``; None for 0.

        Returns:
            Corners, of which the depth and an axis are NaN for a vertex that has a coordinate which is not finite.
        """
        ...

    def set_up(self, corners: Corners, size: tuple[int, int], rows: Tensor) -> None:
        """Triangle setup.

        Args:
            corners: ``T`` triangles.
            size: image ``(height, width)``.
            rows: ``[17, T]`` to write the rows of :class:`~.boxes.Boxes` to: those of candidate pixels, empty ones
                (``x1 <= x0`` or ``y1 <= y0``) where nothing can be covered. Depths are NaN for what is left out as not
                finite. Rows ``WA`` to ``WC`` need not be set where every w is 1.
        """
        ...

    def keep(self, rows: Tensor, kept: Tensor) -> None:
        """Copy rows of boxes ``[R, T]`` into ``kept [R, T]``."""
        ...

    def edges_kept(self, kept: Tensor, index: Tensor) -> Edges:
        """Edges at ``index [...]``, any integer dtype, into ``kept [R, K]``: rows ``WA`` to ``INV`` of boxes, or rows
        ``AX`` to ``INV`` where every w is 1."""
        ...

    def edges(self, corners: Corners, empty: Tensor | None) -> Edges:
        """Edges of corners; finite numbers where ``empty``, a bool tensor of their shape, is set."""
        ...

    def beta_gamma(self, edges: Edges, dx: Tensor, dy: Tensor) -> Sequence[Tensor] | Tensor:
        """Beta and gamma at a distance ``(dx, dy)`` from corner a, in pixels. Any floating dtype."""
        ...

    def draw(self, rows: Any, face: Tensor, view: Tensor | None, wide: int, high: int, target: Target) -> None:
        """Evaluate ``wide x high`` pixels from each box's first one on and merge what is covered into the z-buffer.

        Pixels past the end of a box are its last ones again: a minimum is idempotent. All tensors are laid out
        ``[row, column, box]``: whatever depends on the row or the column alone is computed once for it, and the
        innermost axis is long and contiguous.

        Args:
            rows: of :class:`~.boxes.Boxes`, none empty. What a box has beyond ``wide x high`` is left out. Those of
                ``w`` may be anything.
            face, view: of :class:`~.boxes.Boxes`.
            target: receives the fragments.
        """
        ...

    def merge(self, weights: Any, depths: Any, face: Tensor, pixel: Tensor, target: Target) -> None:
        """Depth and coverage of candidate pixels by the rule, and on to the z-buffer.

        Args:
            weights: beta and gamma, opaque; overwritten.
            depths: mapped depth of the corners a, b, c ``[3, P]``.
            face: ``[P]`` int64, 1-based.
            pixel: ``[..., P]`` int64 place in the z-buffer.
            target: receives the fragments.
        """
        ...

    def blender(self, tri: Tensor, vertices: int, channels: int) -> Callable[[Tensor], Blend]:
        """What interpolates attributes of ``channels`` channels.

        Args:
            tri: ``[M, 3]`` any integer dtype; an index out of range is taken to the nearest.
            vertices: how many ``tri`` may refer to, ``N``.
            channels: ``C``.

        Returns:
            A function of a table ``[N+1, C]``, floating point: zeros for the background, then attributes of vertices.
        """
        ...
