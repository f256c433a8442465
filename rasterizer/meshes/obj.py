"""Wavefront OBJ files as trimesh should have them."""

from __future__ import annotations

import re

from ..runtime.limits import FACES, PARTS, VERTICES, allowed_memory, check_memory
from .texts import to_utf8

_LONGEST_CORNER = 64  # characters of v/vt/vn: what repeats in a fan must not be longer than a number is
_MEMORY_PER_NUMBER = 75  # what trimesh takes for each, in text and on the way to arrays; measured
_MEMORY_PER_TRIANGLE = 3 * _MEMORY_PER_NUMBER
_MEMORY_PER_PART = 14_000


def prepare_obj(data: bytes) -> bytes:
    """An OBJ file in UTF-8 with its polygons cut into fans: trimesh 4 loses the UVs of files with nothing but quads.

    Raises:
        ValueError: it is beyond a limit.
    """
    size = len(data)
    text = to_utf8(data).replace(b"\r\n", b"\n").replace(b"\\\n", b" ")
    VERTICES.check(text.count(b"\nv ") + text.count(b"\nv\t"))
    parts = len(set(re.findall(rb"^usemtl[ \t]+(.*)$", text, flags=re.MULTILINE)))
    PARTS.check(parts)
    text = re.sub(rb"^f(?:[ \t]+\S+){4}.*$", _Fans(size), text, flags=re.MULTILINE)
    FACES.check(text.count(b"\nf "))
    numbers = sum(text.count(mark) for mark in (b"/", b" ", b"\t", b"\n"))
    check_memory(numbers * _MEMORY_PER_NUMBER + parts * _MEMORY_PER_PART, size)
    return text


class _Fans:
    """Turns the lines of polygons into those of triangles, as long as these stay in proportion to the file."""

    def __init__(self, size: int) -> None:
        self._size, self._room = size, allowed_memory(size)

    def __call__(self, match: re.Match[bytes]) -> bytes:
        first, *rest = match[0].partition(b"#")[0].split()[1:]
        if len(first) > _LONGEST_CORNER:
            raise ValueError(f"it has a polygon with the corner '{first[:20].decode(errors='replace')}...'")
        self._room -= (len(rest) - 1) * _MEMORY_PER_TRIANGLE
        if self._room < 0:
            check_memory(allowed_memory(self._size) - self._room, self._size)
        return b"\n".join(b"f %b %b %b" % (first, *pair) for pair in zip(rest[:-1], rest[1:], strict=True))
