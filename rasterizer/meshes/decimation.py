"""Runs fast-simplification: what :mod:`rasterizer.runtime.process.child` is told to do.

The library holds Python's interpreter lock from its first to its last moment, cannot be stopped, and keeps the mesh in
global variables.
"""

import fast_simplification
import numpy as np

_EDGE = 100.0  # length of the edges there will be, on average: the library's bounds on errors are absolute


def work(vertices: np.ndarray, faces: np.ndarray, fixed: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Collapse edges until ``target`` faces are left or no edge may go, as none does that ends on an open border.

    Args:
        vertices: ``[N, 3]`` float32, each used by a face.
        faces: ``[M, 3]`` int32, each with three different corners.
        fixed: ``[F]`` vertices to treat as those on borders.
        target: number of faces, at most M.

    Returns:
        ``positions [K, 3]`` float32, ``faces [L, 3]`` int32 and ``became [N]``, the new vertex that each old one is
        part of; -1 where its faces are gone.
    """
    low, high = vertices.min(axis=0).astype(np.float64), vertices.max(axis=0)
    extent = max(float((high - low).max()), 1e-300)
    placed = (vertices - low) / extent
    corners = placed[faces]
    scale = _EDGE / _mean_length(corners - np.roll(corners, 1, axis=1)) / np.sqrt(len(faces) / max(int(target), 1))
    placed, flagged = _with_flags(placed * scale, faces, fixed)
    flags = len(fixed)
    positions, made, collapses = fast_simplification.simplify(
        placed, flagged, target_count=int(target) + flags, return_collapses=True, preserve_border=True
    )
    became = _became(len(placed), flagged, made, collapses)
    kept = len(positions) - 2 * flags
    return {
        "positions": (positions[:kept] * (extent / scale) + low).astype(np.float32),
        "faces": made[: len(made) - flags].astype(np.int32),
        "became": np.where(became < kept, became, -1)[: len(vertices)],
    }


def _mean_length(edges: np.ndarray) -> float:
    return max(float(np.linalg.norm(edges, axis=2).mean()), 1e-300)


def _with_flags(vertices: np.ndarray, faces: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with a triangle of its own at each vertex that is to stay, which puts it on a border; they come last."""
    first = len(vertices) + 2 * np.arange(len(fixed))
    tips = vertices[fixed][:, None] + np.array([[_EDGE, 0.0, 0.0], [0.0, _EDGE, 0.0]])
    flags = np.stack((fixed, first, first + 1), axis=1).astype(np.int32)
    return np.concatenate((vertices, tips.reshape(-1, 3))), np.concatenate((faces, flags))


def _became(vertices: int, faces: np.ndarray, made: np.ndarray, collapses: np.ndarray) -> np.ndarray:
    """``[N]`` the new number of each old vertex, by what was collapsed into what; -1 for those that are gone."""
    merged = np.arange(vertices)
    if len(collapses):
        merged[collapses[:, 1]] = collapses[:, 0]
    while True:  # each into one that may have gone into another later
        further = merged[merged]
        if np.array_equal(further, merged):
            break
        merged = further
    left = merged[faces]
    whole = (left != np.roll(left, 1, axis=1)).all(axis=1)
    kept, numbers = np.unique(left[whole], return_inverse=True)
    if not np.array_equal(numbers.reshape(-1, 3), made):
        raise RuntimeError("this version of fast-simplification numbers vertices in another way than 0.2.0 does")
    number = np.full(vertices, -1)
    number[kept] = np.arange(len(kept))
    return number[merged]
