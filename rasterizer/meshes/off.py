"""OFF files, without their colours. trimesh 5 fails at polygons of more than four corners."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.limits import FACES, VERTICES
from .texts import to_utf8

if TYPE_CHECKING:
    import trimesh


def read_off(data: bytes) -> trimesh.Trimesh:
    """The mesh in an OFF file, its polygons cut into fans.

    Raises:
        ValueError: it is no OFF file, or not a whole one.
    """
    import trimesh

    text = to_utf8(data).decode()
    lines = text.count("\n") + 1
    rows = _rows(text)
    first = next(rows, [""])
    if not first[0].upper().endswith("OFF"):
        raise ValueError("it does not start with OFF")
    # Some writers put the counts on the first line.
    counts = first[1:] or next(rows, [])
    if len(counts) < 2:
        raise ValueError("it does not say how many vertices and faces it has")
    corners, polygons = int(counts[0]), int(counts[1])
    if corners < 0 or polygons < 0 or corners + polygons > lines:
        raise ValueError(f"it has {lines} lines for {corners} vertices and {polygons} faces")
    VERTICES.check(corners)
    FACES.check(polygons)
    vertices = np.empty((corners, 3))
    for number in range(corners):
        vertices[number] = _next(rows)[:3]
    faces = array("q")
    for _ in range(polygons):
        row = _next(rows)
        corner, *others = row[1 : int(row[0]) + 1]
        apex, ring = int(corner), [int(other) for other in others]
        for pair in zip(ring, ring[1:], strict=False):
            faces.extend((apex, *pair))
    return trimesh.Trimesh(vertices, np.frombuffer(faces, np.int64).reshape(-1, 3), process=False)


def _rows(text: str) -> Iterator[list[str]]:
    """The words of each line that has any before its comment. One line after the other: a list of all of them would
    take thirty times the file's size."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if row := text[start:end].partition("#")[0].split():
            yield row
        start = end + 1


def _next(rows: Iterator[list[str]]) -> list[str]:
    row = next(rows, None)
    if row is None:
        raise ValueError("it ends before all of its vertices and faces")
    return row
