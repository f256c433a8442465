"""Arrays of a glTF file that trimesh misreads or cannot read, read here and written anew as it reads them.

Integers that stand for numbers (KHR_mesh_quantization), what is compressed (EXT_meshopt_compression,
KHR_meshopt_compression, KHR_draco_mesh_compression), and UVs that are moved (KHR_texture_transform).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .buffers import Buffers, packed, whole
from .cost import NUMBERS, TRIANGLES
from .draco import DRACO, Blob, Drawn, draco_is_there, undraco

TRANSFORM = "KHR_texture_transform"
"""The extension of textures that moves UVs."""

FLOAT = 5126
_DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", FLOAT: "<f4"}
_COMPONENTS = {dtype[1:]: number for number, dtype in _DTYPES.items()}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_KEPT = ("POSITION", "NORMAL", "TEXCOORD_0", "COLOR_0")  # what trimesh reads
_NUMBERS = {"POSITION", "NORMAL", "TEXCOORD_0"}  # of these, what it takes as it stands
_LARGE = 1e6  # beyond which a number of a transform is a mistake

Move = tuple[float, float, float, float, float, float]
"""``u * [0] + v * [1] + [2]`` and ``u * [3] + v * [4] + [5]``."""


def move_of(slot: dict[str, Any]) -> Move | None:
    """How a texture moves its UVs, if it does.

    The matrix is that of the extension's text, turned as its example needs it.

    Raises:
        ValueError: one of its numbers is none.
    """
    given = slot.get("extensions", {}).get(TRANSFORM)
    if given is None:
        return None
    (x, y), (wide, high) = given.get("offset", (0, 0)), given.get("scale", (1, 1))
    numbers = (x, y, wide, high, given.get("rotation", 0))
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and -_LARGE < n < _LARGE for n in numbers):
        raise ValueError(f"its {TRANSFORM} is {str(given)[:80]}, expected numbers")
    cos, sin = math.cos(numbers[-1]), math.sin(numbers[-1])
    move = (cos * wide, sin * high, float(x), -sin * wide, cos * high, float(y))
    return None if move == (1, 0, 0, 0, 1, 0) else move


def uv_set(slot: dict[str, Any]) -> Any:
    """The number of the UVs that a texture lies on."""
    moved = slot.get("extensions", {}).get(TRANSFORM, {})
    return moved.get("texCoord", slot.get("texCoord", 0))


def trimesh_reads(header: dict[str, Any], moves: list[Move | None]) -> bool:
    """Whether trimesh reads a file as it is, once its ``TEXCOORD_0`` are the right ones.

    Args:
        header: of the file.
        moves: of the UVs of each primitive.
    """
    accessors = header.get("accessors", ())
    if any(moves) or any(packed(view) is not None for view in header.get("bufferViews", ())):
        return False
    if any("sparse" in accessor for accessor in accessors):  # its older versions leave it out
        return False
    for primitive in _primitives(header):
        attributes = primitive["attributes"]
        kinds = {accessors[attributes[name]]["componentType"] for name in _NUMBERS if name in attributes}
        if kinds - {FLOAT} or DRACO in primitive.get("extensions", {}):
            return False
    return True


def _primitives(header: dict[str, Any]) -> list[dict[str, Any]]:
    return [primitive for mesh in header.get("meshes", ()) for primitive in mesh["primitives"]]


def rewrite(header: dict[str, Any], buffers: Buffers, moves: list[Move | None]) -> list[bytes | memoryview]:
    """Change a header so that it has nothing but plain arrays; these, as the parts of the one buffer that it names.

    Args:
        header: is changed.
        buffers: of the file.
        moves: of the UVs of each primitive, in the header's order.

    Raises:
        ValueError: an array is damaged, or cannot be decompressed.
    """
    primitives = _primitives(header)
    reader, made = _Reader(header, buffers), _Arrays()
    unpacked = _decompressed(reader, primitives)
    for number, (primitive, move) in enumerate(zip(primitives, moves, strict=True)):
        given, own = primitive["attributes"], unpacked.get(number, {})
        attributes = primitive["attributes"] = {}
        vertices = reader.count(given["POSITION"])
        for name in filter(given.__contains__, _KEPT):
            if (count := reader.count(given[name])) != vertices:  # what it costs is counted by its positions
                raise ValueError(f"a primitive has {vertices} POSITION and {count} {name}, expected as many")
            moved = move if name == "TEXCOORD_0" else None
            key = (name, whole(given[name], name), moved, number if name in own else None)
            attributes[name] = made.add(key, partial(_plain, reader, name, given[name], own.get(name), moved))
        if "indices" in own:
            primitive.update(indices=made.add(("indices", number), partial(own.__getitem__, "indices")), mode=TRIANGLES)
        elif "indices" in primitive:
            place = whole(primitive["indices"], "indices")
            primitive["indices"] = made.add(("indices", place), partial(reader.accessor, place))
        primitive.get("extensions", {}).pop(DRACO, None)
    return made.write(header)


def _plain(reader: _Reader, name: str, place: int, unpacked: np.ndarray | None, move: Move | None) -> np.ndarray:
    """An attribute of vertices as trimesh takes it: floats, unless it is a colour, whose integers it knows."""
    given = reader.accessor(place) if unpacked is None else unpacked
    if name not in _NUMBERS:
        return given
    values = given.astype(np.float32 if move is None else np.float64)
    if given.dtype.kind in "iu" and reader.normalized(place):
        values = np.maximum(values / values.dtype.type(np.iinfo(given.dtype).max), -1)
    if move is not None and values.ndim == 2 and values.shape[1] == 2:
        u, v = values.T
        values = np.stack((u * move[0] + v * move[1] + move[2], u * move[3] + v * move[4] + move[5]), axis=1)
    return values.astype(np.float32)


def _decompressed(reader: _Reader, primitives: list[dict[str, Any]]) -> dict[int, dict[str, np.ndarray]]:
    """What Draco has of those primitives that it has compressed, by their number and by name."""
    blobs: dict[int, Blob] = {}
    ids: dict[int, dict[str, int]] = {}
    for number, primitive in enumerate(primitives):
        how = primitive.get("extensions", {}).get(DRACO)
        if how is None or reader.is_there(primitive) and not draco_is_there():
            continue
        if "indices" not in primitive:
            raise ValueError(f"a primitive with {DRACO} has no indices")
        vertices, corners = (
            reader.count(place) for place in (primitive["attributes"]["POSITION"], primitive["indices"])
        )
        wanted = [name for name in _KEPT if name in how["attributes"] and name in primitive["attributes"]]
        ids[number] = {name: whole(how["attributes"][name], name) for name in wanted}
        data = reader.view(whole(how["bufferView"], "bufferView"))
        blobs[number] = Blob(data, vertices, corners // 3, tuple(ids[number].values()))
    found = undraco(list(blobs.values())) if blobs else []
    return {number: _named(drawn, ids[number]) for number, drawn in zip(blobs, found, strict=True)}


def _named(drawn: Drawn, ids: dict[str, int]) -> dict[str, np.ndarray]:
    missing = [name for name in ids if ids[name] not in drawn.attributes]
    if missing:
        raise ValueError(f"its {DRACO} does not hold the {missing[0]} that it names")
    arrays = {name: drawn.attributes[ids[name]] for name in ids}
    return {**arrays, "indices": drawn.faces.reshape(-1)}


class _Reader:
    """The arrays of a file, as it has them."""

    def __init__(self, header: dict[str, Any], buffers: Buffers) -> None:
        self._accessors, self._views = header.get("accessors", []), header.get("bufferViews", [])
        self._buffers = buffers
        self._read: dict[int, bytes] = {}

    def count(self, place: int) -> int:
        """Elements of an accessor."""
        return whole(self._accessors[whole(place, "accessor")]["count"], "count")

    def normalized(self, place: int) -> bool:
        """Whether integers of an accessor stand for -1..1 or 0..1."""
        return self._accessors[place].get("normalized") is True

    def is_there(self, primitive: dict[str, Any]) -> bool:
        """Whether what is compressed is there plainly, too."""
        places = [*primitive["attributes"].values(), primitive.get("indices", -1)]
        return all("bufferView" in self._accessors[place] for place in places)

    def view(self, number: int) -> bytes:
        """What is in a buffer view."""
        if number not in self._read:
            self._read[number] = self._buffers.view(number)
        return self._read[number]

    def accessor(self, place: int) -> np.ndarray:
        """``[N]`` or ``[N, C]`` numbers.

        Raises:
            ValueError: they reach beyond what there is.
        """
        how = self._accessors[whole(place, "accessor")]
        kind, columns, count = np.dtype(_DTYPES[how["componentType"]]), NUMBERS[how["type"]], self.count(place)
        values = self._rows(how, kind, columns, count, place)
        if "sparse" in how:
            self._replace(values, how["sparse"], place)
        return values[:, 0] if columns == 1 else values

    def _rows(self, how: dict[str, Any], kind: np.dtype, columns: int, count: int, place: int) -> np.ndarray:
        """``[count, columns]`` numbers, its own, of what says where they are: an accessor, or a part of one."""
        if "bufferView" not in how or not count:
            return np.zeros((count, columns), kind)
        number, row = whole(how["bufferView"], "bufferView"), kind.itemsize * columns
        data, view = self.view(number), self._views[number]
        stride = whole(view.get("byteStride") or row, "byteStride")
        start = whole(how.get("byteOffset", 0), "byteOffset")
        if stride < row or start + (count - 1) * stride + row > len(data):
            raise ValueError(f"its accessor {place} reaches beyond its buffer view {number}")
        places = np.ndarray((count, row), np.uint8, data, start, (stride, 1))
        return places.copy().view(kind)

    def _replace(self, values: np.ndarray, how: dict[str, Any], place: int) -> None:
        """Write those of an accessor's elements that are given one by one (glTF 2.0, 3.6.2.3)."""
        count, (rows, columns) = whole(how["count"], "count"), values.shape
        if count > rows or any("bufferView" not in how[part] for part in ("indices", "values")):
            raise ValueError(f"its accessor {place} of {rows} elements replaces {count}, which are not all there")
        kind = np.dtype(_DTYPES[how["indices"]["componentType"]])
        indices = self._rows(how["indices"], kind, 1, count, place)[:, 0]
        if kind.kind != "u" or count and indices.max() >= rows:
            raise ValueError(f"its accessor {place} replaces elements that it does not have")
        values[indices] = self._rows(how["values"], values.dtype, columns, count, place)


class _Arrays:
    """Arrays that are written, each once."""

    def __init__(self) -> None:
        self._places: dict[Any, int] = {}
        self._arrays: list[np.ndarray] = []

    def add(self, key: Any, make: Callable[[], np.ndarray]) -> int:
        """The number of an accessor; ``make`` is called where there is none with this key."""
        if key not in self._places:
            values = make()
            if values.ndim == 2 and values.shape[1] not in _TYPES:
                raise ValueError(f"its {key[0]} have {values.shape[1]} numbers, expected up to 4")
            self._places[key] = len(self._arrays)
            self._arrays.append(values)
        return self._places[key]

    def write(self, header: dict[str, Any]) -> list[bytes | memoryview]:
        """The parts of the buffer with all of them, which becomes the one of a header."""
        views, accessors, place = [], [], 0
        parts: list[bytes | memoryview] = []
        for values in self._arrays:
            data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data  # no copy yet
            views.append({"buffer": 0, "byteOffset": place, "byteLength": len(data)})
            kind = _TYPES[values.shape[1] if values.ndim == 2 else 1]
            component = _COMPONENTS[values.dtype.str.lstrip("<|")]
            accessors.append(
                {"bufferView": len(views) - 1, "componentType": component, "type": kind, "count": len(values)}
            )
            parts += [data, b"\0" * (-len(data) % 4)]
            place += len(data) + len(parts[-1])
        header.update(buffers=[{"byteLength": place}], bufferViews=views, accessors=accessors)
        return parts
