"""What the headers of STL and PLY files promise, held against the bytes there are, before trimesh allocates any."""

from __future__ import annotations

from ..runtime.limits import FACES, VERTICES, check_memory
from .texts import to_utf8

_STL_HEADER, _STL_FACE = 84, 50
_STL_TEXT_FACE = 60  # fewer bytes do not hold a face, with its seven lines
_PLY_BYTES = {
    name: size
    for size, names in {
        1: ("char", "uchar", "int8", "uint8"),
        2: ("short", "ushort", "int16", "uint16"),
        4: ("int", "uint", "float", "int32", "uint32", "float32"),
        8: ("double", "float64"),
    }.items()
    for name in names
}
_MEMORY_PER_WORD = 125  # what trimesh takes for a number of an ASCII PLY; measured, as those below
_MEMORY_PER_CORNER = 110


def check_stl(data: bytes) -> bytes:
    """An STL file, binary or text, if it is a whole one.

    Raises:
        ValueError: it is neither; the text says what is missing.
    """
    faces = int.from_bytes(data[_STL_HEADER - 4 : _STL_HEADER], "little") if len(data) >= _STL_HEADER else 0
    if len(data) == _STL_HEADER + faces * _STL_FACE:
        FACES.check(faces)
        return data
    if not data.lstrip()[:5].lower() == b"solid":
        raise ValueError(
            f"it has {len(data)} bytes, expected {_STL_HEADER + faces * _STL_FACE} for the {faces} faces of its header"
        )
    FACES.check(len(data) // _STL_TEXT_FACE)
    return to_utf8(data)


def check_ply(data: bytes) -> bytes:
    """A PLY file whose header promises no more than it holds.

    Raises:
        ValueError: it promises more, or what it holds takes too much memory.
    """
    end = data.find(b"end_header")
    if not data[:3].lower() == b"ply" or end < 0:
        raise ValueError("it has no PLY header")
    start = data.find(b"\n", end) + 1 or len(data)
    header = data[:end].decode("latin-1").splitlines()
    text = any(line.split()[:2] == ["format", "ascii"] for line in header)
    body = len(data) - start
    least = 0
    elements = _elements(header)
    for name, count, row in elements:
        # Text takes a digit and a blank for each number.
        needed = count * (2 * len(row) if text else sum(row))
        if count < 0 or (count and not needed) or least + needed > body + 1:
            raise ValueError(f"its header promises {count} rows of '{name}', of which its {body} bytes have no room")
        least += needed
        if name in ("vertex", "face"):
            (VERTICES if name == "vertex" else FACES).check(count)
    if text:
        need = sum(data.count(blank, start) for blank in (b" ", b"\n", b"\t")) * _MEMORY_PER_WORD
    else:
        need = _corners(header, elements, body) * _MEMORY_PER_CORNER
    check_memory(need, len(data))
    return data


def _elements(header: list[str]) -> list[tuple[str, int, list[int]]]:
    """Name, count and the least bytes of each property, for each element of a PLY header."""
    found: list[tuple[str, int, list[int]]] = []
    for line in header:
        words = line.split()
        if words[:1] == ["element"] and len(words) == 3:
            found.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"] and found and len(words) in (3, 5):
            kind = words[2] if words[1] == "list" else words[1]
            if kind not in _PLY_BYTES:
                raise ValueError(f"its header names the type '{kind}', which PLY does not have")
            found[-1][2].append(_PLY_BYTES[kind])
    return found


def _corners(header: list[str], elements: list[tuple[str, int, list[int]]], body: int) -> int:
    """The most corners of polygons that a binary body can hold beside its vertices."""
    fixed = sum(count * sum(row) for name, count, row in elements if name != "face")
    sizes = [_PLY_BYTES.get(line.split()[3], 1) for line in header if line.split()[:2] == ["property", "list"]]
    return max(body - fixed, 0) // min(sizes) if sizes else 0
