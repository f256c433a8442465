"""The differentiable primitives in plain float64 NumPy, pixel by pixel, for the self-test: slow, short, smooth.

One image each. Coordinates, barycentrics and ids are those of :mod:`rasterizer.contract.diff_rule`; what is here has
the gradients that the primitives give, so that differences of it can be compared with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..contract.diff_rule import GRADIENT_OFFSET

Array = np.ndarray

HEIGHT_OFFSET = 1e-3
"""Of edges, in pixels: what they are higher where gradients of silhouettes divide by it."""

_FACES = (
    ((2, -1), (1, -1)),
    ((2, 1), (1, -1)),
    ((0, 1), (2, 1)),
    ((0, 1), (2, -1)),
    ((0, 1), (1, -1)),
    ((0, -1), (1, -1)),
)
"""Of the cube's faces +x, -x, +y, -y, +z, -z: axes and signs of s and t, as in OpenGL."""


def barycentrics(pos: Array, tri: Array, ids: Array) -> tuple[Array, Array]:
    """u and v ``[H, W, 2]`` of the triangles shown, and their derivatives ``[H, W, 4]``, in the form that has the
    gradient: not clamped, and with an offset."""
    height, width = ids.shape
    fx = ((2 * np.arange(width) + 1) / width - 1)[None, :, None]
    fy = ((2 * np.arange(height) + 1) / height - 1)[:, None, None]
    x, y, _, w = np.moveaxis(pos[tri[np.maximum(ids - 1, 0)]], -1, 0)
    (x1, x2), (y1, y2), (w1, w2) = ((np.roll(value, -1, -1), np.roll(value, -2, -1)) for value in (x, y, w))
    a = (x1 - fx * w1) * (y2 - fy * w2) - (y1 - fy * w1) * (x2 - fx * w2)
    by_x, by_y = y1 * w2 - y2 * w1, x2 * w1 - x1 * w2
    total = a.sum(-1, keepdims=True)
    total = total + np.copysign(GRADIENT_OFFSET, total)
    uv = a[..., :2] / total
    along_x = (by_x[..., :2] - uv * by_x.sum(-1, keepdims=True)) / total * (2 / width)
    along_y = (by_y[..., :2] - uv * by_y.sum(-1, keepdims=True)) / total * (2 / height)
    shown = (ids > 0)[..., None]
    return uv * shown, np.stack((along_x, along_y), -1).reshape(height, width, 4) * shown


def interpolate(attr: Array, uv: Array, db: Array, ids: Array, tri: Array) -> tuple[Array, Array]:
    """Attributes ``[H, W, A]`` and all their derivatives ``[H, W, 2 A]``."""
    a0, a1, a2 = np.moveaxis(attr[tri[np.maximum(ids - 1, 0)]], -2, 0)
    u, v = uv[..., :1], uv[..., 1:]
    by_u, by_v = (a0 - a2)[..., None], (a1 - a2)[..., None]
    derivatives = by_u * db[..., None, :2] + by_v * db[..., None, 2:]
    shown = (ids > 0)[..., None]
    return (u * a0 + v * a1 + (1 - u - v) * a2) * shown, derivatives.reshape(*ids.shape, -1) * shown


def pyramid(tex: Array) -> list[Array]:
    """A texture ``[(6,) H, W, C]`` and its levels down to a single texel, by averaging."""
    levels = [tex]
    while max(tex.shape[-3:-1]) > 1:
        for axis in (-3, -2):
            if tex.shape[axis] > 1:
                tex = (
                    np.take(tex, range(0, tex.shape[axis], 2), axis) + np.take(tex, range(1, tex.shape[axis], 2), axis)
                ) / 2
        levels.append(tex)
    return levels


def texture(levels: Sequence[Array], places: Array, detail: Array, filter_mode: str, boundary: str) -> Array:
    """Colours ``[P, C]`` at ``places [P, 2]``, or directions ``[P, 3]``, on levels ``detail [P]`` where they matter."""
    return np.stack([_look_up(levels, *each, filter_mode, boundary) for each in zip(places, detail, strict=True)])


def _look_up(levels: Sequence[Array], place: Array, detail: float, filter_mode: str, boundary: str) -> Array:
    if filter_mode == "nearest":
        return _nearest(levels[0], place, boundary)
    if filter_mode == "linear":
        return _linear(levels[0], place, boundary)
    detail = min(max(detail, 0.0), len(levels) - 1)
    lower = int(detail)
    color = _linear(levels[lower], place, boundary)
    if filter_mode == "linear-mipmap-nearest" or detail == lower:
        return color
    return color + (detail - lower) * (_linear(levels[lower + 1], place, boundary) - color)


def _nearest(level: Array, place: Array, boundary: str) -> Array:
    level, s, t = _on_texture(level, place, boundary)
    height, width = level.shape[-3:-1]
    if boundary == "zero" and not (0 <= s < 1 and 0 <= t < 1):
        return np.zeros(level.shape[-1])
    row, column = (min(max(math.floor(one * size), 0), size - 1) for one, size in ((t, height), (s, width)))
    return level[row, column]


def _linear(level: Array, place: Array, boundary: str) -> Array:
    surface, s, t = _on_texture(level, place, boundary)
    height, width = surface.shape[:2]
    x, y = s * width - 0.5, t * height - 0.5
    if boundary == "clamp":
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    column, row = math.floor(x), math.floor(y)
    corners = [(row + down, column + right) for down in (0, 1) for right in (0, 1)]
    if boundary == "cube":
        texels = [_cube_texel(level, _face(place)[0], *corner) for corner in corners]
        known = [texel for texel in texels if texel is not None]
        texels = [np.mean(known, axis=0) if texel is None else texel for texel in texels]
    else:
        texels = [_texel(surface, *corner, boundary) for corner in corners]
    x, y = x - column, y - row
    shares = (1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x
    return sum(share * texel for share, texel in zip(shares, texels, strict=True))


def _texel(level: Array, row: int, column: int, boundary: str) -> Array:
    height, width = level.shape[:2]
    if boundary == "wrap":
        return level[row % height, column % width]
    if boundary == "clamp":
        return level[min(row, height - 1), min(column, width - 1)]
    inside = 0 <= row < height and 0 <= column < width
    return level[row, column] if inside else np.zeros(level.shape[-1])


def _cube_texel(level: Array, face: int, row: int, column: int) -> Array | None:
    """A texel of a face, or of the one that it borders on; None beyond a corner of the cube, where there is none."""
    size = level.shape[1]
    beyond = [not 0 <= index < size for index in (column, row)]
    if all(beyond):
        return None
    if not any(beyond):
        return level[face, row, column]
    s, t = (
        min(max((2 * index + 1) / size - 1, -1), 1) if not out else math.copysign(1, index)
        for index, out in zip((column, row), beyond, strict=True)
    )
    point = np.zeros(3)
    point[face // 2] = 1 - 2 * (face % 2)
    for (axis, sign), value in zip(_FACES[face], (s, t), strict=True):
        point[axis] = sign * value
    axis = _FACES[face][beyond.index(True)][0]
    other = 2 * axis + (point[axis] < 0)
    return _nearest(level[other], _on_face(point, other), "clamp")


def _on_texture(level: Array, place: Array, boundary: str) -> tuple[Array, float, float]:
    """A surface ``[H, W, C]``, and where on it a place lies."""
    if boundary == "cube":
        face, s, t = _face(place)
        return level[face], s, t
    s, t = place
    return (level, s - math.floor(s), t - math.floor(t)) if boundary == "wrap" else (level, s, t)


def _face(direction: Array) -> tuple[int, float, float]:
    axis = int(np.argmax(np.abs(direction)))
    face = 2 * axis + int(direction[axis] < 0)
    return face, *_on_face(direction, face)


def _on_face(direction: Array, face: int) -> Array:
    """s and t of a direction on a face, 0 to 1."""
    major = abs(direction[face // 2])
    return np.array([sign * direction[axis] / (2 * major) + 0.5 for axis, sign in _FACES[face]])


def on_faces(directions: Array, derivatives: Array) -> Array:
    """``[P, 4]`` derivatives of s and t on the faces of a cube, of derivatives ``[P, 6]`` of directions."""
    found = []
    for direction, each in zip(directions, derivatives.reshape(-1, 3, 2), strict=True):
        face = _face(direction)[0]
        major = direction[face // 2]
        bent = each - direction[:, None] * each[face // 2] / major
        found.append([sign * bent[axis] / (2 * abs(major)) for axis, sign in _FACES[face]])
    return np.array(found).reshape(-1, 4)


def detail(derivatives: Array, height: int, width: int) -> Array:
    """Mip levels ``[P]``: of the longest axis of a pixel's footprint in texels, of derivatives ``[P, 4]``."""
    by_x, by_y = derivatives.reshape(-1, 2, 2).transpose(2, 0, 1) * np.array([width, height])
    a, b, c = (by_x * by_x).sum(-1), (by_y * by_y).sum(-1), (by_x * by_y).sum(-1)
    return 0.5 * np.log2((a + b) / 2 + np.sqrt((a - b) ** 2 / 4 + c * c))


def topology(tri: Array) -> Array:
    """``[T, 3]``: the vertex opposite each edge in the other triangle at it, or -1."""
    apexes: dict[frozenset[int], list[int]] = {}
    for corners in tri.tolist():
        for k, apex in enumerate(corners):
            at_edge = apexes.setdefault(frozenset((corners[k - 2], corners[k - 1])), [])
            if apex not in at_edge and len(at_edge) < 2:
                at_edge.append(apex)
    found = np.full(tri.shape, -1)
    for triangle, corners in enumerate(tri.tolist()):
        for k, apex in enumerate(corners):
            others = [one for one in apexes[frozenset((corners[k - 2], corners[k - 1]))] if one != apex]
            found[triangle, k] = others[0] if len(others) == 1 else -1
    return found


def antialias(color: Array, rast: Array, pos: Array, tri: Array, offset: float = 0.0) -> Array:
    """Colours blended over silhouettes, after Laine et al. 2020, section 3.6.

    Args:
        color: ``[H, W, C]``.
        rast: ``[H, W, 4]``.
        pos: ``[V, 4]``.
        tri: ``[T, 3]``.
        offset: what the heights of edges, in pixels, are larger where they divide: 0, or :data:`HEIGHT_OFFSET` for
            what has the gradient.
    """
    out, opposite = color.copy(), topology(tri)
    height, width = color.shape[:2]
    for down in (0, 1):
        for row in range(height - down):
            for column in range(width - 1 + down):
                p, q = (row, column), (row + down, column + 1 - down)
                if rast[p][3] != rast[q][3]:
                    share = _share(rast, pos, tri, opposite, p, q, bool(down), offset)
                    out[p if share > 0 else q] += share * (color[q] - color[p])
    return out


def _share(
    rast: Array,
    pos: Array,
    tri: Array,
    opposite: Array,
    p: tuple[int, int],
    q: tuple[int, int],
    down: bool,
    offset: float,
) -> float:
    """How much of the difference between two neighbours the first takes, or if negative the second."""
    first = rast[q][3] == 0 or (rast[p][3] > 0 and rast[p][2] < rast[q][2])
    sign, (row, column) = (1, p) if first else (-1, q)
    triangle = int(rast[row, column, 3]) - 1
    height, width = rast.shape[:2]

    def project(vertices: Array) -> Array:
        x, y, _, w = pos[vertices].T
        return np.stack(
            (x / w * width / 2 - (column + 0.5 - width / 2), y / w * height / 2 - (row + 0.5 - height / 2)), -1
        )

    corners, edges = tri[triangle], opposite[triangle]
    points, others = project(corners), project(np.where(edges < 0, corners, edges))
    silhouettes = []
    for k in range(3):
        moved = points.copy()
        moved[k] = others[k]
        silhouettes.append(np.signbit(_area(moved)) == np.signbit(_area(points)))
    if down:
        points = points[:, ::-1]
    best, edge = -math.inf, 0
    for k in range(3):
        a, b = points[k - 2], points[k - 1]
        if np.signbit(a[1]) != np.signbit(b[1]):
            crossing = sign * (a[0] * b[1] - a[1] * b[0]) / (b[1] - a[1])
            best, edge = max((best, edge), (crossing, k))
    (x, y), (dx, dy) = points[edge - 2], points[edge - 1] - points[edge - 2]
    if not (silhouettes[edge] and abs(dy) >= abs(dx) and -1 / 16 < best < 1 + 1 / 16):
        return 0.0
    crossing = sign * (x * dy - y * dx) / (dy + math.copysign(offset, dy))
    return sign * (0.5 - min(max(crossing, 0.0), 1.0))


def _area(points: Array) -> float:
    (x, y), (x2, y2) = points[1] - points[0], points[2] - points[0]
    return float(x * y2 - y * x2)
