"""The hierarchy cell by cell and pixel by pixel, in the order in which the native module goes: slow, and plain to read.

Written down from its exact semantics; :mod:`rasterizer.hierarchy` must give the same numbers in the same order.
"""

from __future__ import annotations

import math

import numpy as np


def _quotient(a: int, b: int) -> int:
    return int(math.copysign(abs(a) // b, a)) if a else 0


def _cells_of(place: float, size: int) -> int:
    return int((float(np.float32(place) * np.float32(0.5)) + 0.5) * size)


def _key(p: np.ndarray, resolution: int) -> int:
    x, y, z = (_cells_of(value, resolution) for value in p)
    return (x * resolution + y) * resolution + z


def _point(key: int, resolution: int, offset: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> np.ndarray:
    row = _quotient(key, resolution)
    x, y, z = _quotient(row, resolution), row - _quotient(row, resolution) * resolution, key - row * resolution
    return np.array([((k + o) / resolution - 0.5) * 2.0 for k, o in zip((x, y, z), offset, strict=True)], np.float32)


class _Level:
    def __init__(self, resolution: int) -> None:
        self.resolution = resolution
        self.map: dict[int, int] = {}
        self.keys: list[int] = []
        self.dims: list[int] = []
        self.down: list[int] = []
        self.near: list[list[int]] = []
        self.even: list[int] = []
        self.odd: list[int] = []

    def add(self, key: int) -> int:
        number = self.map[key] = len(self.keys)
        self.keys.append(key)
        self.near.append([-1] * 9)
        self.even.append(0)
        self.odd.append(0)
        return number


class _Views:
    def __init__(self, positions: list[np.ndarray]) -> None:
        self.positions = positions

    def fetch(self, level: _Level, view: int, layer: int, i: int, j: int) -> int:
        images = self.positions[view]
        if layer >= len(images) or images[layer, i, j, 3] == 0:
            return -1
        return level.map.setdefault(_key(images[layer, i, j, :3], level.resolution), 0)

    def pixel(self, p: np.ndarray, view: int, height: int, width: int) -> tuple[int, int, np.float32]:
        row, column, depth = ((p[1], p[0], p[2]), (p[1], p[2], p[0]), (-p[2], p[0], p[1]))[view]
        return _cells_of(row, height), _cells_of(column, width), depth

    def neighbors(self, level: _Level, stride: int, seq: int, p: np.ndarray, view: int, info: int) -> list[int]:
        layers, height, width = self.positions[view].shape[:3]
        ci, cj, depth = self.pixel(p, view, height, width)
        row = []
        for ni in (ci + stride, ci, ci - stride):
            for nj in (cj - stride, cj, cj + stride):
                if (ni, nj) == (ci, cj):
                    row.append(seq)
                elif not (0 <= ni < height and 0 <= nj < width):
                    row.append(-1)
                elif info == -1:
                    row.append(self.fetch(level, view, 0, ni, nj))
                elif info == 1:
                    last, layer = self.fetch(level, view, 0, ni, nj), 1
                    while (found := self.fetch(level, view, layer, ni, nj)) != -1:
                        last, layer = found, layer + 1
                    row.append(last)
                else:
                    best, nearest, layer = np.float32(1e10), -1, 0
                    while (found := self.fetch(level, view, layer, ni, nj)) != -1:
                        place = _point(level.keys[found], level.resolution)[(view + 2) % 3]
                        if abs(depth - place) < best:
                            best, nearest = abs(depth - place), found
                        layer += 1
                    row.append(nearest)
        return row


def build_hierarchy_reference(
    positions: list[np.ndarray], normals: list[np.ndarray], feats: list[np.ndarray], levels: int, resolution: int
) -> list[list[np.ndarray]]:
    """The six lists of the native ``build_hierarchy_with_feat``."""
    views = _Views(positions)
    finest = _Level(resolution)
    points, features = [], []
    for images, directions, colors in zip(positions, normals, feats, strict=True):
        for at in np.ndindex(images.shape[:3]):
            key = _key(images[at][:3], resolution) if images[at][3] != 0 else None
            if key is None or key in finest.map:
                continue
            finest.add(key)
            points.append(images[at][:3])
            features.append(colors[at])
            largest = 0
            for axis in (1, 2):
                if abs(directions[at][axis]) > abs(directions[at][largest]):
                    largest = axis
            finest.dims.append((largest + 1) % 3)

    pyramid = [finest]
    for _ in range(levels - 1):
        source, target = pyramid[-1], _Level(pyramid[-1].resolution // 2)
        votes: list[list[int]] = []
        for key, dim in zip(source.keys, source.dims, strict=True):
            coarse = _key(_point(key, source.resolution), target.resolution)
            if coarse not in target.map:
                target.add(coarse)
                votes.append([0, 0, 0])
            source.down.append(target.map[coarse])
            votes[target.map[coarse]][dim] += 1
        target.dims = [vote.index(max(vote)) for vote in votes]
        pyramid.append(target)

    for number, level in enumerate(pyramid):
        _find_neighbors(views, level, 1 << number)
    for number in reversed(range(levels - 1)):
        _pad(views, pyramid[number], pyramid[number + 1], 1 << number)

    padded = len(finest.keys) - len(points)
    points += [_point(key, resolution) for key in finest.keys[len(points) :]]
    channels = feats[2].shape[-1]
    features += [np.full(channels, 0.5, np.float32)] * padded
    original = [1.0] * (len(points) - padded) + [0.0] * padded
    return [
        [np.array(points, np.float32).reshape(-1, 3), np.array(original, np.float32)],
        [np.array(features, np.float32).reshape(-1, channels)],
        [np.array(level.near, np.int64).reshape(-1, 9) for level in pyramid],
        [np.array(level.down, np.int64) for level in pyramid[:-1]],
        [np.array(level.even, np.int64) for level in pyramid],
        [np.array(level.odd, np.int64) for level in pyramid],
    ]


def _find_neighbors(views: _Views, level: _Level, stride: int) -> None:
    for view in range(3):
        visited = set()
        for number, images in enumerate(views.positions):
            layers, height, width = images.shape[:3]
            for i, j in np.ndindex(height, width):
                for layer in range(layers):
                    seq = views.fetch(level, number, layer, i, j)
                    if seq == -1:
                        break
                    if level.dims[seq] != view:
                        continue
                    p = _point(level.keys[seq], level.resolution)
                    ci, cj, _ = views.pixel(p, view, height, width)
                    upper, left = math.fmod(ci, 2 * stride) < stride, math.fmod(cj, 2 * stride) < stride
                    level.even[seq] |= int(upper and not left)
                    level.odd[seq] |= int(left and not upper)
                    if seq in visited:
                        continue
                    visited.add(seq)
                    info = 0
                    if number == view and layer == 0:
                        info = -1
                    elif number == view and (layer == layers - 1 or images[layer + 1, i, j, 3] == 0):
                        info = 1
                    level.near[seq] = views.neighbors(level, stride, seq, p, view, info)


def _pad(views: _Views, level: _Level, coarser: _Level, stride: int) -> None:
    even, odd = [False] * len(coarser.keys), [False] * len(coarser.keys)
    for seq, parent in enumerate(level.down):
        even[parent] |= bool(level.even[seq])
        odd[parent] |= bool(level.odd[seq])
    for parent, key in enumerate(coarser.keys):
        if even[parent] and odd[parent]:
            continue
        corner = _point(key, coarser.resolution, (0.75, 0.25, 0.75))
        wanted = _key(corner, level.resolution)
        if wanted in level.map:
            seq = level.map[wanted]
            level.even[seq] |= int(not even[parent])
            level.odd[seq] |= int(not odd[parent])
            continue
        seq = level.add(wanted)
        level.even[seq], level.odd[seq] = int(not even[parent]), int(not odd[parent])
        level.dims.append(coarser.dims[parent])
        level.down.append(parent)
        level.near[seq] = views.neighbors(level, stride, seq, corner, coarser.dims[parent], 0)
