"""The rule of :mod:`rasterizer.contract.diff_rule` written as plainly as possible, one triangle after another, in
NumPy.

Slow on purpose: whole numbers are Python's, which know no limits, and what follows from the triangles shown is computed
in float64. Tests and the self-test hold every implementation against it: ids and depths with ``==``."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .diff_rule import DEPTH_MOST, DEPTH_ORIGIN, DEPTH_SCALE, MOST_POINTS, SUBPIXELS, Tile, tiles, to_tile

_one = np.float32(1)

EMPTY = DEPTH_ORIGIN - 1
"""Depth of a pixel that shows nothing, less 2**31 like all depths that are given."""


class Image(NamedTuple):
    """A drawn image.

    Attributes:
        ids: ``[H, W]`` int64, 0 for the background.
        depth: ``[H, W]`` int64 depths less 2**31, :data:`EMPTY` where nothing is.
        values: ``[H, W, 3]`` float64 u, v, z/w.
        derivatives: ``[H, W, 4]`` float64 du/dX, du/dY, dv/dX, dv/dY.
    """

    ids: np.ndarray
    depth: np.ndarray
    values: np.ndarray
    derivatives: np.ndarray


class _Vertex(NamedTuple):
    """A vertex on the screen: 16ths of a pixel, and depth."""

    x: int
    y: int
    depth: int


def rasterize_reference(
    pos: np.ndarray, tri: np.ndarray, height: int, width: int, behind: np.ndarray | None = None
) -> Image:
    """Draw one image.

    Args:
        pos: ``[V, 4]`` float32 clip-space vertices.
        tri: ``[T, 3]`` vertex indices, any.
        height, width: image size.
        behind: ``[H, W]`` depths of the layer before, as in :attr:`Image.depth`; None for the first layer.
    """
    ids = np.zeros((height, width), np.int64)
    depth = np.full((height, width), EMPTY, np.int64)
    with np.errstate(all="ignore"):
        for tile in tiles(height, width):
            part = slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width)
            on_tile = _on_tile(pos.astype(np.float32), height, width, tile)
            limit = None if behind is None else behind[part]
            for triangle, corners in enumerate(tri.tolist()):
                if all(0 <= corner < len(pos) for corner in corners):
                    for piece in _pieces(on_tile[corners]):
                        _draw(triangle + 1, piece, tile, limit, ids[part], depth[part])
        values, derivatives = _values(pos.astype(np.float64), tri, ids)
    return Image(ids, depth, values, derivatives)


def _on_tile(pos: np.ndarray, height: int, width: int, tile: Tile) -> np.ndarray:
    x, y, z, w = pos.T
    if tile.width < width:
        scale, shift = map(np.float32, to_tile(width, tile.left, tile.width))
        x = x * scale + w * shift
    if tile.height < height:
        scale, shift = map(np.float32, to_tile(height, tile.top, tile.height))
        y = y * scale + w * shift
    return np.stack((x, y, z, w), 1)


def _pieces(corners: np.ndarray) -> list[np.ndarray]:
    """Triangles ``[3, 4]`` that are left of one within the view."""
    if not np.isfinite(corners).all():
        return []
    axes, w = corners[:, :3], corners[:, 3:]
    above, below = axes > w, axes < -w
    if above.all(0).any() or below.all(0).any():
        return []
    if not (above | below).any():
        return [corners]
    polygon = [(np.float32(0), np.float32(0)), (_one, np.float32(0)), (np.float32(0), _one)]
    for axis in range(3):
        if (above | below)[:, axis].any():
            polygon = _clipped(polygon, corners[:, 3] + corners[:, axis])
            polygon = _clipped(polygon, corners[:, 3] - corners[:, axis])
    points = [np.array([_at(point, corners[:, place]) for place in range(4)]) for point in polygon]
    return [np.stack((points[0], points[k + 1], points[k + 2])) for k in range(len(points) - 2)]


def _clipped(polygon: list[tuple[np.float32, np.float32]], plane: np.ndarray) -> list[tuple[np.float32, np.float32]]:
    result = []
    for number, point in enumerate(polygon):
        before = polygon[number - 1]
        value, value_before = _at(point, plane), _at(before, plane)
        if (value < 0 < value_before) or (value_before < 0 < value):
            way = value_before / (value_before - value)
            result.append((before[0] + way * (point[0] - before[0]), before[1] + way * (point[1] - before[1])))
        if value >= 0:
            result.append(point)
    return result[:MOST_POINTS]


def _at(point: tuple[np.float32, np.float32], values: np.ndarray) -> np.float32:
    """A value at a point of a triangle, from those at its vertices."""
    p, q = point
    if q == 1:
        return values[2]
    if p == 1:
        return values[1]
    return (values[0] + p * (values[1] - values[0])) + q * (values[2] - values[0])


def _snapped(vertex: np.ndarray, tile: Tile) -> _Vertex | None:
    x, y, z, w = vertex
    reciprocal = _one / w
    across, down, scaled = x * reciprocal, y * reciprocal, z * np.float32(DEPTH_SCALE)
    if not np.isfinite((across, down, scaled * reciprocal)).all():
        return None
    places = []
    for place, pixels in ((across, tile.width), (down, tile.height)):
        half = SUBPIXELS // 2 * pixels
        places.append(int(np.clip(np.rint(place * np.float32(half)), -half, half)) + half)
    depth = _to_float32(Fraction(float(scaled)) * Fraction(float(reciprocal)) + DEPTH_ORIGIN)
    return _Vertex(places[0], places[1], min(max(int(depth), 0), DEPTH_MOST))


def _to_float32(value: Fraction) -> Fraction:
    """To the nearest with 24 bits, halves to even."""
    step = Fraction(1)
    while abs(value) >= (1 << 24) * step:
        step *= 2
    while value and abs(value) < (1 << 23) * step:
        step /= 2
    return round(value / step) * step


def _cross(a: _Vertex, b: _Vertex, x: np.ndarray | int, y: np.ndarray | int) -> np.ndarray | int:
    """Of b - a and ``(x, y)`` - a."""
    return (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x)


def _draw(
    triangle: int, piece: np.ndarray, tile: Tile, behind: np.ndarray | None, ids: np.ndarray, depth: np.ndarray
) -> None:
    corners = [_snapped(vertex, tile) for vertex in piece]
    a, b, c = corners
    if a is None or b is None or c is None:
        return
    area = _cross(a, b, c.x, c.y)
    if area == 0:
        return
    if area < 0:
        b, c, area = c, b, -area
    rows, columns = (
        np.arange(min(places) // SUBPIXELS, min(max(places) // SUBPIXELS + 1, size))
        for places, size in (((a.y, b.y, c.y), tile.height), ((a.x, b.x, c.x), tile.width))
    )
    x, y = columns[None] * SUBPIXELS + SUBPIXELS // 2, rows[:, None] * SUBPIXELS + SUBPIXELS // 2
    covered = np.ones((len(rows), len(columns)), bool)
    total: np.ndarray | int = 0
    for start, end, opposite in ((b, c, a), (c, a, b), (a, b, c)):
        edge = _cross(start, end, x, y)
        shown_on_edge = start.y > end.y or (start.y == end.y and start.x < end.x)
        covered &= (edge >= 0) if shown_on_edge else (edge > 0)
        total = total + edge.astype(object) * opposite.depth  # type: ignore[union-attr]
    found = np.where(covered, total, 0) // area - DEPTH_ORIGIN
    window = np.ix_(rows, columns)
    if behind is not None:
        covered &= found > behind[window]
    wins = covered & (found <= depth[window])  # triangles come in order, so on a tie the last stays
    depth[window] = np.where(wins, found, depth[window])
    ids[window] = np.where(wins, triangle, ids[window])


def _values(pos: np.ndarray, tri: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and derivatives at every pixel, 0 on the background."""
    height, width = ids.shape
    values, derivatives = np.zeros((height, width, 3)), np.zeros((height, width, 4))
    row, column = np.nonzero(ids)
    x, y, z, w = np.moveaxis(pos[tri[ids[row, column] - 1]], 2, 0).transpose(0, 2, 1)
    moved_x = x - ((2 * column + 1) / width - 1) * w
    moved_y = y - ((2 * row + 1) / height - 1) * w
    first, second = [1, 2, 0], [2, 0, 1]
    a = moved_x[first] * moved_y[second] - moved_y[first] * moved_x[second]
    a_x = y[first] * w[second] - y[second] * w[first]
    a_y = x[second] * w[first] - x[first] * w[second]
    total = a.sum(0)
    uv = np.clip(np.nan_to_num(a[:2] / total, nan=0.0), 0, 1)
    uv = uv / np.maximum(uv.sum(0), 1)
    values[row, column, :2] = uv.T
    values[row, column, 2] = np.clip(np.nan_to_num((z * a).sum(0) / (w * a).sum(0), nan=0.0), -1, 1)
    derivatives[row, column, 0::2] = (2 / width / total * (a_x[:2] - uv * a_x.sum(0))).T
    derivatives[row, column, 1::2] = (2 / height / total * (a_y[:2] - uv * a_y.sum(0))).T
    return values, derivatives
