"""Damage to mesh files: to their bytes, to the numbers and words in them, and to the structure of glTF."""

from __future__ import annotations

import copy
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mesh_seeds import EPS, Files, document, embedded, glb, large_png, picture, seeds, with_parts

NAMES = [
    *("../secret/file.png", "{outside}/file.png", "file://{outside}/file.png", "..\\secret\\file.png", "link.png"),
    *("%2e%2e/secret/file.png", "..%2fsecret%2ffile.png", " ../secret/file.png", "folder/file.png", "//127.0.0.1/a"),
    *("http://127.0.0.1:9/a", "sub", "", ".", "..", "mesh.gltf", "a\0b", "NUL", "x" * 5000, "~/a"),
    *("data:,", "data:application/octet-stream;base64,AAAA", "data:image/png;base64,!!", "/proc/self/mem", "\ud800"),
]
"""What a mesh may call a file; the link and the folder lead outside."""

_NAMES = st.sampled_from(NAMES * 10 + ["/dev/zero", "fifo"])  # the last of which may take seconds

NUMBERS = [
    *("0", "1", "-1", "2", "3", "4", "7", "255", "256", "65535", "65536", "2147483647", "2147483648", "4294967295"),
    *("200000000", "300000000", "1e3", "1e38", "1e39", "1e308", "1e999", "-1e30", "1e-40", "0.5", "nan", "inf", "-inf"),
    *("", "x", "1 2", "-", "/", "//", "1//1", "99999999999999999999", "0x10", "1_000", "١"),
]

WORDS = [1, 0, 2**31 - 1, 2**31, 2**32 - 1, 2**24, 3 * 10**8, 0x7FC00000, 0x7F800000, 0x00000001, 65535]
"""Bit patterns of 32 bits: counts, offsets, NaN, infinity."""

_INTEGERS = [0, 1, 2, 3, -1, -2, 4, 5, 35, 36, 37, 100, 65536, 2**31, 2**32, 2**53, 2**64, 300_000_000]
VALUES: list[Any] = [
    *_INTEGERS,
    *(0.5, -0.5, 1e30, 1e39, 1e308, float("nan"), float("inf"), True, None, "", "x", [], {}, [0], [[0]], {"index": 0}),
    *("SCALAR", "VEC2", "VEC3", "VEC4", "MAT4", "VEC9", 5120, 5121, 5122, 5123, 5124, 5125, 5126, 5127, 9729),
    *([0.0] * 16, [1e30] * 16, [0, 0, 0], [float("nan")] * 3, {"sparse": 1}, "2.0", "KHR_draco_mesh_compression"),
]


@dataclass(frozen=True)
class Bytes:
    """``length`` bytes from ``at`` on replaced by ``data``; places wrap around."""

    at: int
    length: int
    data: bytes

    def __call__(self, content: bytes) -> bytes:
        at = self.at % (len(content) + 1)
        return content[:at] + self.data + content[at + self.length :]


@dataclass(frozen=True)
class Cut:
    """The end left out."""

    at: int

    def __call__(self, content: bytes) -> bytes:
        return content[: self.at % (len(content) + 1)]


@dataclass(frozen=True)
class Copy:
    """A piece copied to another place."""

    start: int
    length: int
    to: int

    def __call__(self, content: bytes) -> bytes:
        start, to = self.start % (len(content) + 1), self.to % (len(content) + 1)
        return content[:to] + content[start : start + self.length] + content[to:]


@dataclass(frozen=True)
class Token:
    """A number or a word of a text replaced, or a line left out or repeated (``times``)."""

    number: int
    text: str
    lines: int = 0

    def __call__(self, content: bytes) -> bytes:
        places = [match.span() for match in re.finditer(rb"[^\n]*\n?" if self.lines else rb"[^\s/,:]+", content)]
        if not places:
            return content
        start, end = places[self.number % len(places)]
        middle = content[start:end] * (self.lines - 1) if self.lines else self.text.encode("utf-8", "surrogatepass")
        return content[:start] + middle + content[end:]


@dataclass(frozen=True)
class Column:
    """A word replaced, or left out (``text`` empty), in every line of a text that starts as a certain line does."""

    line: int
    column: int
    text: str

    def __call__(self, content: bytes) -> bytes:
        rows = [line.split() for line in content.split(b"\n")]
        keyword = rows[self.line % len(rows)][:1]
        for row in rows:
            if row[:1] == keyword and self.column < len(row):
                row[self.column : self.column + 1] = self.text.encode("utf-8", "surrogatepass").split()
        return b"\n".join(b" ".join(row) for row in rows)


@dataclass(frozen=True)
class Whole:
    """Another file altogether."""

    name: str

    def __call__(self, content: bytes) -> bytes:
        return CONTENTS[self.name]()


CONTENTS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "a JPEG": lambda: picture("JPEG"),
    "half a PNG": lambda: picture(size=(40, 40))[:-400],
    "a CMYK TIFF": lambda: picture("TIFF", mode="CMYK"),
    "a BMP": lambda: picture("BMP"),
    "a GIF": lambda: picture("GIF"),
    "EPS": lambda: EPS,
    "a PNG of 1 x 100000": lambda: large_png(1, 100_000),
    "a PNG of 60000 x 60000": lambda: large_png(60_000, 60_000),
    "a PNG of 13000 x 13000": lambda: large_png(13_000, 13_000),
    "zeros": lambda: bytes(1000),
    "UTF-16": lambda: "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n".encode("utf-16"),
}

_COMMON = [name for name in CONTENTS if not name.startswith("a PNG of")]
_CONTENTS = st.sampled_from(_COMMON * 50 + list(CONTENTS))  # large pictures take time

_PLACE = st.integers(0, 2**16)
_BYTES = st.binary(max_size=4) | st.sampled_from(WORDS).map(lambda word: struct.pack("<I", word))
_BYTE_CHANGES = st.one_of(
    st.builds(Bytes, _PLACE, st.integers(0, 4), _BYTES),
    st.builds(Bytes, _PLACE.map(lambda k: 4 * k), st.just(4), _BYTES),
    st.builds(Cut, _PLACE),
    st.builds(Copy, _PLACE, st.integers(0, 300), _PLACE),
    st.builds(Token, _PLACE, st.sampled_from(NUMBERS) | _NAMES),
    st.builds(Token, _PLACE, st.sampled_from(["nan", "inf", "1e39", "-1", "0", "9"])),
    st.builds(Token, _PLACE, st.just(""), st.integers(1, 3)),
    st.builds(Column, st.integers(0, 50), st.integers(0, 6), st.sampled_from(NUMBERS)),
    st.builds(Column, st.integers(0, 50), st.integers(1, 3), st.just("")),
)


@dataclass(frozen=True)
class Damaged:
    """A valid kind of file, and what is done to its parts, one change after another."""

    kind: str
    changes: tuple[tuple[int, Any], ...]

    def files(self) -> Files:
        """The files."""
        files = dict(seeds()[self.kind])
        names = list(files)
        for number, change in self.changes:
            name = names[number % len(names)]
            files[name] = change(files[name])
        return files


def damaged_files() -> st.SearchStrategy[Damaged]:
    """Files with damaged bytes; the mesh file itself twice as often as those beside it."""
    part = st.sampled_from([0, 0, 1, 2, 3])
    inside = st.tuples(part, _BYTE_CHANGES)
    change = st.one_of(inside, inside, inside, st.tuples(st.integers(1, 3), _CONTENTS.map(Whole)))
    changes = st.lists(change, min_size=1, max_size=4).map(tuple)
    return st.builds(Damaged, st.sampled_from(list(seeds())), changes)


Edit = tuple[str, int, Any]
"""What to do at which place of the tree: ``set``, ``delete``, ``repeat`` or ``add``, or the name of a trick."""


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON document."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [place for key in keys for place in [(node, key), *_places(node[key])]]


def _without_view(header: dict[str, Any], value: Any) -> None:
    for accessor in header["accessors"][:2]:
        accessor.pop("bufferView", None)
        accessor["count"] = value


def _without_indices(header: dict[str, Any], value: Any) -> None:
    header["meshes"][0]["primitives"][0].pop("indices", None)
    header["accessors"][0]["count"] = value


def _sparse(header: dict[str, Any], value: Any) -> None:
    part = {"bufferView": 2, "byteOffset": 0, "componentType": 5123}
    header["accessors"][0]["sparse"] = {"count": value, "indices": part, "values": {"bufferView": 0}}


def _circle(header: dict[str, Any], value: Any) -> None:
    header["nodes"][1]["children"] = [0, 1] if value else [0]


def _deep(header: dict[str, Any], value: Any) -> None:
    depth = 3000 if value else 1100
    header["nodes"] += [{"children": [len(header["nodes"]) + k + 1]} for k in range(depth)] + [{"mesh": 0}]
    header["nodes"][1]["children"] = [2]


def _many(header: dict[str, Any], value: Any) -> None:
    header["nodes"] += [{"mesh": 0}] * 300
    header["scenes"][0]["nodes"] = list(range(2, 302))


def _required(header: dict[str, Any], value: Any) -> None:
    header["extensionsRequired"] = [value]
    header["extensionsUsed"] = value


def _stand_in_image(header: dict[str, Any], value: Any) -> None:
    header["images"][0] = {"bufferView": 0, "mimeType": value}


def _positions_of(accessor: int, **changed: Any) -> Callable[[dict[str, Any], Any], None]:
    def change(header: dict[str, Any], value: Any) -> None:
        header["accessors"][accessor].update(changed)
        header["meshes"][0]["primitives"] = header["meshes"][0]["primitives"][:1]
        header["meshes"][0]["primitives"][0]["attributes"] = {"POSITION": accessor}

    return change


def _mixed_colors(header: dict[str, Any], value: Any) -> None:
    header["meshes"][0]["primitives"][1]["attributes"]["COLOR_0"] = 1 if value else 4


def _integers(header: dict[str, Any], value: Any) -> None:
    header["accessors"][1].update(componentType=5123, normalized=value)


def _moved(header: dict[str, Any], value: Any) -> None:
    move = {"scale": [value, 2], "rotation": value}
    base = header["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    base["extensions"] = {"KHR_texture_transform": move}


def _packed(header: dict[str, Any], value: Any) -> None:
    how = {"buffer": 0, "byteLength": 108, "byteStride": 12, "count": value, "mode": "ATTRIBUTES"}
    header["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": how}


TRICKS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "accessors without view": _without_view,
    "no indices": _without_indices,
    "sparse": _sparse,
    "nodes in a circle": _circle,
    "nodes deep": _deep,
    "many nodes": _many,
    "required": _required,
    "image in a view": _stand_in_image,
    "positions of 1": _positions_of(4, type="SCALAR"),
    "positions of 2": _positions_of(1),
    "positions of 4": _positions_of(3),
    "colours of another width": _mixed_colors,
    "UVs of integers": _integers,
    "UVs moved": _moved,
    "meshopt that is none": _packed,
}


@dataclass(frozen=True)
class Gltf:
    """The document of :mod:`.mesh_seeds`, edited, as GLB or as glTF, its pictures where :func:`embedded` puts them."""

    edits: tuple[Edit, ...]
    binary: bool
    parts: tuple[tuple[str, str], ...]
    pictures: str

    def files(self) -> Files:
        """The files."""
        header, data = document()
        parts = {name: CONTENTS[content]() for name, content in self.parts}
        data = embedded(header, data, {**with_parts({}), **parts}, self.pictures)
        if self.binary:
            del header["buffers"][0]["uri"]
        for kind, at, value in self.edits:
            _edit(header, kind, at, value)
        text = json.dumps(header).encode()
        files = with_parts({"mesh.glb": glb(text, data)} if self.binary else {"mesh.gltf": text, "mesh.bin": data})
        return {**files, **parts}


def _edit(header: dict[str, Any], kind: str, at: int, value: Any) -> None:
    try:
        if kind in TRICKS:
            TRICKS[kind](header, copy.deepcopy(value))
            return
        places = _places(header)
        if kind == "name":
            places = [place for place in places if place[1] == "uri"]
        node, key = places[at % len(places)]
        if kind == "delete":
            del node[key]
        elif kind == "repeat":
            node[key] = [node[key]] * 2
        elif kind == "copy":
            other, its = places[value % len(places)]
            node[key] = copy.deepcopy(other[its])
        else:
            node[key] = copy.deepcopy(value)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, ZeroDivisionError):
        pass  # an edit before has taken away what this one is about


def gltf_files() -> st.SearchStrategy[Gltf]:
    """glTF that is well-formed JSON."""
    place = st.integers(0, 400)
    edit = st.one_of(
        st.tuples(st.just("set"), place, st.sampled_from(VALUES)),
        st.tuples(st.just("set"), place, st.sampled_from(_INTEGERS)),
        st.tuples(st.just("name"), st.integers(0, 2), _NAMES),
        st.tuples(st.sampled_from(["delete", "repeat"]), place, st.none()),
        st.tuples(st.just("copy"), place, place),
        st.tuples(st.sampled_from(list(TRICKS)), st.just(0), st.sampled_from(VALUES)),
    )
    contents = st.tuples(st.sampled_from(["base.png", "other.jpg"]), _CONTENTS)
    parts = st.lists(contents, max_size=1).map(tuple)
    edits = st.lists(edit, min_size=1, max_size=2) | st.lists(edit, min_size=1, max_size=5)
    return st.builds(Gltf, edits.map(tuple), st.booleans(), parts, st.sampled_from(["files", "views", "data"]))
