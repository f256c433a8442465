"""The rule of :mod:`rasterizer.contract.rule` written as plainly as possible, one face after another, in NumPy.

It is slow on purpose: nothing is skipped, binned or rejected, so that tests and the self-test can compare every fast
path with it, number by number with ``==``. The sign of a zero is left open: where an edge runs through a pixel centre,
the fast paths, which move signs into factors, may have -0.0 for 0.0, and to agree would cost them an operation a pixel.

Candidates are those of the native module: columns from ``trunc(min sx)`` while below ``max sx + 1``.
"""

from __future__ import annotations

import numpy as np

from .rule import DEPTH_SCALE, DEPTH_STEPS, MAX_DEPTH

_one, _half, _depth_scale = np.float32(1), np.float32(0.5), np.float32(DEPTH_SCALE)


def rasterize_reference(
    pos: np.ndarray,
    tri: np.ndarray,
    height: int,
    width: int,
    depth_prior: np.ndarray | None = None,
    occlusion_truncation: float = 1e-6,
) -> tuple[np.ndarray, np.ndarray]:
    """Rasterize one view.

    Args:
        pos: ``[N, 4]`` float32 clip-space vertices.
        tri: ``[M, 3]`` vertex indices.
        height, width: image size.
        depth_prior: ``[height, width]`` NDC depth, or None.
        occlusion_truncation: added to the mapped prior.

    Returns:
        ``findices [height, width]`` int32 and ``barycentric [height, width, 3]`` float32.
    """
    with np.errstate(all="ignore"):
        screen = _to_screen(pos.astype(np.float32), width, height)
        threshold: np.ndarray = np.zeros((height, width), np.float32)
        if depth_prior is not None:
            threshold = depth_prior.astype(np.float32) * _depth_scale + _half + np.float32(occlusion_truncation)
        steps = np.full((height, width), np.iinfo(np.int64).max)
        findices = np.zeros((height, width), np.int32)
        barycentric = np.zeros((height, width, 3), np.float32)
        for face, corners in enumerate(screen[tri]):
            if np.isfinite(corners).all():
                _draw(face, corners, threshold, steps, findices, barycentric)
    return findices, barycentric


def _to_screen(pos: np.ndarray, width: int, height: int) -> np.ndarray:
    x, y, z, w = pos.T
    sx = (x / w * _half + _half) * np.float32(width - 1) + _half
    sy = (_half + (_half * y) / w) * np.float32(height - 1) + _half
    return np.stack((sx, sy, z / w * _depth_scale + _half, w), axis=1)


def _draw(
    face: int,
    corners: np.ndarray,
    threshold: np.ndarray,
    steps: np.ndarray,
    findices: np.ndarray,
    barycentric: np.ndarray,
) -> None:
    (ax, ay, az, aw), (bx, by, bz, bw), (cx, cy, cz, cw) = corners
    area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
    if area == 0:
        return
    height, width = steps.shape
    columns = _candidates(min(ax, bx, cx), max(ax, bx, cx), width)
    rows = _candidates(min(ay, by, cy), max(ay, by, cy), height)
    if not len(columns) or not len(rows):
        return
    inverse = _one / area
    px = columns.astype(np.float32)[None] + _half
    py = rows.astype(np.float32)[:, None] + _half
    beta = ((cx - ax) * (py - ay) - (px - ax) * (cy - ay)) * inverse
    gamma = ((px - ax) * (by - ay) - (bx - ax) * (py - ay)) * inverse
    alpha = (1.0 - beta.astype(np.float64) - gamma.astype(np.float64)).astype(np.float32)
    covered = (alpha >= 0) & (alpha <= 1) & (beta >= 0) & (beta <= 1) & (gamma >= 0) & (gamma <= 1)
    depth = (alpha * az + beta * bz) + gamma * cz
    window = np.ix_(rows, columns)
    covered &= ~(depth < threshold[window]) & (depth * np.float32(DEPTH_STEPS) > -1) & (depth < MAX_DEPTH)
    step = np.trunc(np.where(covered, depth * np.float32(DEPTH_STEPS), 0)).astype(np.int64)
    wins = covered & (step < steps[window])  # faces come in order, so on a tie the lower index stays
    a, b, c = alpha / aw, beta / bw, gamma / cw
    scale = _one / ((a + b) + c)
    steps[window] = np.where(wins, step, steps[window])
    findices[window] = np.where(wins, face + 1, findices[window])
    barycentric[window] = np.where(wins[..., None], np.stack((a, b, c), -1) * scale[..., None], barycentric[window])


def _candidates(low: np.float32, high: np.float32, size: int) -> np.ndarray:
    first = max(0, int(np.trunc(np.clip(low, -4, size + 4))))
    stop = min(size, int(np.ceil(np.clip(high + _one, -4, size + 4))))
    return np.arange(first, stop)
