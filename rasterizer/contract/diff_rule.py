"""The rule of the differentiable primitives, stated once. It is another than that of :mod:`.rule`.

Every implementation shows the same triangle at every pixel. What follows from it (barycentrics, derivatives, gradients)
agrees as far as float32 goes.

Images
    Clip space is OpenGL's: visible is ``-w <= x, y, z <= w``, larger ``z/w`` is farther. Row 0 of an image is
    ``y/w = -1``. The centre of pixel ``(row, column)`` is ``x/w = (2*column + 1)/W - 1``, ``y/w = (2*row + 1)/H - 1``.

Barycentrics
    ``rast [B, H, W, 4]`` holds u, v, z/w and the id. Vertex 0 of a triangle is ``(u, v) = (1, 0)``, vertex 1 ``(0,
    1)``, vertex 2 ``(0, 0)``. Background is 0 in every channel.

Ids
    The id of triangle t, a row of ``tri``, is ``n = t + 1``, as a float: ``n`` itself up to 2**24; beyond, where not
    every integer is a float32, the float with the bits ``0x4A800000 + n``, which continues the row of floats.

Tiles
    An image of more than 2048 pixels in a dimension is cut into tiles (:func:`tiles`), each drawn by itself. With tiles
    ``w_t`` pixels wide and one that begins at column ``o``, ``x' = x*(W/w_t) + w*((W - w_t - 2*o)/w_t)``; both factors
    are rounded to float32 once, and so is each operation. The same for y. Where there is one tile ``x' = x``. In all
    that follows x, y, W and H are those of the tile.

Which triangles
    A triangle is left out that has an index outside of the vertices or a coordinate that is not finite, or whose
    vertices all lie beyond the same of the planes ``w = x``, ``w = -x``, ``w = y``, ``w = -y``, ``w = z``, ``w = -z``.
    It is drawn as it is where none of its vertices lies beyond any of them. All others are clipped, and each piece is
    drawn.

Clipping
    A polygon of points ``(p, q)`` begins as ``(0, 0), (1, 0), (0, 1)``, the vertices 0, 1 and 2. The value of a
    quantity ``c`` at a point is ``(c0 + p*(c1 - c0)) + q*(c2 - c0)``, but exactly ``c1`` where ``p = 1`` and ``c2``
    where ``q = 1``. The planes follow in the order ``w + x, w - x, w + y, w - y, w + z, w - z``; both of an axis are
    passed over where no vertex lies beyond either. With ``f`` the value of ``w + x``, and so on: for every point in
    turn, and the one before it (before the first comes the last), where one ``f`` is below 0 and the other above,
    ``before + t*(point - before)`` with ``t = f_before/(f_before - f_point)`` joins the new polygon; then, where its
    ``f`` is at least 0, the point. Of points beyond the ninth, which only rounding can make, none joins. The points
    ``0, k + 1, k + 2`` are the pieces, their vertices the values of x, y, z, w. Float32, one rounding an operation.

Snapping
    With ``r = 1/w``, ``sx = rint((x*r)*(8*W))``, halves to even, one rounding an operation. These are 16ths of a pixel.
    ``X = clamp(sx, -8*W, 8*W) + 8*W`` counts from the left border of the image, and the centre of a pixel is at
    ``16*column + 8``. The same for y. A triangle or piece with a ``x*r``, ``y*r`` or depth that is not finite is left
    out.

Coverage
    Integers. With ``cross(p, q) = p.x*q.y - p.y*q.x``, the area of a triangle is ``cross(v1 - v0, v2 - v0)``. If it is
    0, nothing is covered; if it is negative, vertices 1 and 2 change places. The edge from a to b has at a centre s the
    value ``e = cross(b - a, s - a)``. A centre is covered if each edge has ``e > 0``, or ``e = 0`` and either ``a.y >
    b.y`` or ``a.y = b.y`` and ``a.x < b.x``. In a tile all ``|e| <= 2**30``: 32 bits hold it, and products may wrap.

Depth
    Of a vertex, ``fma(z*2147465984, r, 2**31)`` with two roundings to float32, one after the product with z and one at
    the end, clamped to 0 and 2**32 - 2**14, and its fraction dropped. Of a fragment, ``D``: the floor of the exact
    ``(e0*d0 + e1*d1 + e2*d2)/area`` with ``d_i`` of vertex i and ``e_i`` of the edge opposite to it; numerators stay
    below 2**62. At a pixel the smallest ``D`` is shown, and of equal ones the last triangle. A layer behind another
    shows of what is strictly larger than the other's ``D``.

Values
    From vertices as given, neither clipped nor snapped nor of a tile. With ``fx, fy`` the centre as ``x/w`` and
    ``y/w``, ``xi' = xi - fx*wi``, ``yi' = yi - fy*wi`` and indices modulo 3::

        ai = x(i+1)'*y(i+2)' - y(i+1)'*x(i+2)'        at = a0 + a1 + a2
        u = a0/at        v = a1/at        z/w = (z0*a0 + z1*a1 + z2*a2)/(w0*a0 + w1*a1 + w2*a2)

    u and v are then clamped to [0, 1], divided by their sum if it is above 1, and z/w is clamped to [-1, 1]; NaN is 0.
    A triangle without an area, which snapping can make visible, has any values that the clamps let through.
    To evaluate this without loss, take ``W*xi - (2*column + 1 - W)*wi`` for ``xi'``, as a difference of products with
    their rounding errors taken into account.

Derivatives
    ``rast_db [B, H, W, 4]`` holds du/dX, du/dY, dv/dX, dv/dY; X counts pixels to the right, Y towards higher rows. With
    ``ai_x = y(i+1)*w(i+2) - y(i+2)*w(i+1)`` and ``ai_y = x(i+2)*w(i+1) - x(i+1)*w(i+2)``, the derivatives of ``ai`` by
    ``fx`` and ``fy``, and ``at_x``, ``at_y`` their sums::

        du/dX = (2/W)*(a0_x - u*at_x)/at        dv/dY = (2/H)*(a1_y - v*at_y)/at        and so on, u and v as clamped

Gradient
    That of u and v, and of the derivatives where they are used, with ``at + copysign(1e-6, at)`` for ``at`` in every
    division and without the clamps. z, z/w and ids have none.

Interpolation
    Of attributes ``a0, a1, a2`` of a triangle's vertices: ``u*a0 + v*a1 + (1 - u - v)*a2``. By X the derivative is
    ``du/dX*(a0 - a2) + dv/dX*(a1 - a2)``, and so by Y. Ids of no triangle, and triangles with an index outside of the
    vertices, are background: 0, and no gradient. u, v and their derivatives count as independent of each other.

Topology
    Edge k of a triangle lies opposite to vertex k, from vertex k + 1 to k + 2, modulo 3. An edge, taken without its
    direction, keeps the first two different vertices opposite to it, in the order of triangles; those without three
    different indices of vertices are passed over. Across edge k lies the other one of the two, if vertex k is one of
    them and there are two; else nothing.

Antialiasing
    A pair is a pixel P and its neighbour Q, in the next column or the next row, that show different triangles, or one
    of them none. The triangle that counts is P's if Q shows none, or if both show one and P's z/w is smaller; else Q's.
    R is the pixel that shows it, ``s`` is 1 if R is P, else -1. From R, a vertex is at
    ``X = x/w*W/2 - (column + 1/2 - W/2)``, ``Y = y/w*H/2 - (row + 1/2 - H/2)``; in a pair of a column the two are
    exchanged. Edge k is a silhouette if nothing lies across it, or if the area of the triangle has the same sign bit
    with the vertex across edge k in the place of vertex k. Of the edges from a to b with different sign bits of ``Ya``
    and ``Yb`` that with the largest ``q`` counts::

        q = s*x0        x0 = (Xa*dY - Ya*dX)/dY        dX = Xb - Xa        dY = Yb - Ya

    If it is a silhouette, ``|dY| >= |dX|`` and ``-1/16 < q < 17/16``, then with ``alpha = s*(1/2 - min(max(q, 0), 1))``
    ``alpha*(Q - P)``, of the colours as given, is added to P if ``alpha > 0``, else to Q. What pairs add is summed up.

    The gradient of colours is the transpose of that. Where ``|alpha| < 1/2``, positions have the gradient of ``-x0``,
    with ``dY + copysign(1e-3, dY)`` for ``dY`` in every division::

        dx0/dXa = Yb/dY        dx0/dYa = (x0 - Xb)/dY        dx0/dXb = -Ya/dY        dx0/dYb = (Xa - x0)/dY
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SUBPIXELS = 16
"""Steps to a pixel."""

MOST_TILE = 2048
"""Pixels along a side of a tile."""

DEPTH_SCALE = 2147465984.0
"""Depth steps per unit of ``z/w``."""

DEPTH_ORIGIN = 1 << 31
"""Depth of ``z/w = 0``, and what depths that are kept are less, so that 32 bits with a sign hold them."""

DEPTH_MOST = (1 << 32) - (1 << 14)
"""What depths are clamped to; those of visible vertices stay below."""

MOST_POINTS = 9
"""Points of a clipped polygon."""

GRADIENT_OFFSET = 1e-6
"""What the area that gradients are divided by is farther from 0."""

SILHOUETTE_MARGIN = 1 / 16
"""How far beyond the centres of two pixels a silhouette still crosses between them, in pixels."""

SLOPE_OFFSET = 1e-3
"""What the extent of a silhouette's edge that gradients are divided by is farther from 0, in pixels."""

MOST_PLAIN_ID = 1 << 24
"""Up to this id every integer is a float32."""

ID_BITS = 0x4A800000
"""What the bits of the float of a larger id are above it."""


class Tile(NamedTuple):
    """A part of an image: first row and column, and size in pixels."""

    top: int
    left: int
    height: int
    width: int


def tiles(height: int, width: int) -> list[Tile]:
    """The tiles of an image, row by row."""
    return [
        Tile(top, left, tile_height, tile_width)
        for top, tile_height in _parts(height)
        for left, tile_width in _parts(width)
    ]


def _parts(length: int) -> list[tuple[int, int]]:
    """Starts and lengths of the tiles along one side: as few as may be, of equal length but the last."""
    rounded = -(-length // 8) * 8
    count = -(-rounded // MOST_TILE)
    step = -(-rounded // (8 * count)) * 8
    return [(start, min(step, length - start)) for start in range(0, length, step)]


def to_tile(length: int, start: int, part: int) -> tuple[float, float]:
    """What coordinates along a side are multiplied by, and what of w is added, to be those of a tile.

    Args:
        length: of the image, in pixels.
        start, part: first pixel and length of the tile.

    Returns:
        Two numbers to be rounded to float32.
    """
    return length / part, (length - part - 2 * start) / part


def encode_ids(ids: Tensor, most: int) -> Tensor:
    """Ids ``[...]`` int32, 0 for the background, as floats. ``most``: the largest id there may be."""
    if most <= MOST_PLAIN_ID:
        return ids.to(torch.float32)
    return torch.where(ids <= MOST_PLAIN_ID, ids.to(torch.float32), (ids + ID_BITS).view(torch.float32))


def decode_ids(ids: Tensor) -> Tensor:
    """Ids ``[...]`` int32 of floats.

    At most 0 for the background. What no rasterizer writes, such as NaN, gives some integer or other.
    """
    bits = ids.contiguous().view(torch.int32)
    return torch.where(ids <= MOST_PLAIN_ID, ids.to(torch.int32), bits - ID_BITS)
