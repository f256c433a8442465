"""Triangles to images, differentiable in the vertices; and the surfaces behind one another."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..ops import diff as ops
from . import checks
from .modes import undisturbed


def _checked(pos: Any, tri: Any, resolution: Any, ranges: Any) -> tuple[Tensor, Tensor, tuple[int, int], Tensor | None]:
    clip = checks.real(pos, "pos", "B V 4", "V 4")
    faces = checks.triangles(tri, clip.device)
    return clip, faces, checks.resolution_of(resolution), checks.ranges_of(ranges) if clip.ndim == 2 else None


@undisturbed
def rasterize(
    pos: Tensor, tri: Tensor, resolution: Any, ranges: Tensor | None = None, grad_db: bool = True
) -> tuple[Tensor, Tensor]:
    """Find the nearest triangle at every pixel centre.

    Args:
        pos: ``[B, V, 4]`` clip-space vertices of B images, or ``[V, 4]`` for all images (range mode). Computed in
            float32; other floating dtypes and any strides are taken.
        tri: ``[T, 3]`` vertex indices, int32 (other integer dtypes are converted at each call). A triangle with an
            index that is no vertex's, or a vertex that is not finite, is not drawn.
        resolution: ``(height, width)`` in pixels.
        ranges: ``[B, 2]`` int32 on the CPU, in range mode only: first triangle of each image and their count.
        grad_db: the gradient of ``rast_db`` reaches ``pos``.

    Returns:
        ``rast [B, H, W, 4]`` float32: barycentrics u and v, depth z/w, and triangle number + 1, zeros where nothing
        is; ``rast_db [B, H, W, 4]``: du/dX, du/dY, dv/dX, dv/dY a pixel. Conventions are stated in
        :mod:`rasterizer.contract.diff_rule`. Both are differentiable in ``pos``, through u and v: depth and coverage
        have no gradient.

    Raises:
        ArgumentError: a tensor is unusable; the text names it. It is a ValueError and a RuntimeError.
        KindError: an argument is no tensor, or ``grad_db`` no bool. It is a TypeError and an AssertionError.
        TypeError: ``resolution`` is not two whole numbers.
    """
    scene = _checked(pos, tri, resolution, ranges)
    rast, rast_db, _ = ops.rasterize(*scene, None, False, checks.flag(grad_db, "grad_db"))
    return rast, rast_db


class Peeling:
    """Surfaces behind one another, nearest first: depth peeling after Everitt, "Interactive Order-Independent
    Transparency", 2001, by the exact integer depth of :mod:`rasterizer.contract.diff_rule`.

    Args:
        pos, tri, resolution, ranges, grad_db: as in :func:`rasterize`, and checked likewise.
    """

    @undisturbed
    def __init__(
        self, pos: Tensor, tri: Tensor, resolution: Any, ranges: Tensor | None = None, grad_db: bool = True
    ) -> None:
        self._scene = _checked(pos, tri, resolution, ranges)
        self._grad_db = checks.flag(grad_db, "grad_db")
        self._depth: Tensor | None = None

    @undisturbed
    def next_layer(self) -> tuple[Tensor, Tensor]:
        """The next layer, as :func:`rasterize` gives the first: at each pixel the nearest triangle that lies strictly
        behind that of the layer before. Layers are differentiable, each by itself."""
        rast, rast_db, self._depth = ops.rasterize(*self._scene, self._depth, True, self._grad_db)
        return rast, rast_db
