"""What a glTF header stands for, counted before anything is allocated."""

from __future__ import annotations

import operator
from typing import Any

from ...runtime.limits import FACES, NESTING, PARTS, VERTICES, check_memory
from .buffers import packed, whole
from .draco import DRACO

TRIANGLES = 4
"""The mode of a primitive that is a list of triangles."""

BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
"""Of a number, by component type."""

NUMBERS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
"""In an element of an accessor, by type."""

# Bytes that trimesh and we take for a vertex of a primitive, one in the scene, and a face there; and for a node, a
# primitive, one that is placed, a material, and an image, used or not. All measured.
_READ_VERTEX, _PLACED_VERTEX, _FACE = 100, 260, 100
_NODE, _PRIMITIVE, _PLACED, _MATERIAL, _IMAGE = 1_000, 4_000, 2_500, 1_500, 2_500
_REWRITTEN_VERTEX, _REWRITTEN_CORNER = 100, 16  # besides, where arrays are made of a primitive's; measured
# What is compressed may stand for more than its bytes do elsewhere, but not for any amount: so much each of them counts
# as. Unpacking by meshopt takes so many bytes for each that comes out, before trimesh gets any; measured.
_DENSITY, _UNPACKING = 16, 20


class Cost:
    """What a header stands for."""

    def __init__(self, header: dict[str, Any]) -> None:
        self._accessors = header.get("accessors", [])
        views = header.get("bufferViews", ())
        self._bytes = sum(whole(view["byteLength"], "byteLength") for view in views)
        self._bytes += sum(self._size(accessor) for accessor in self._accessors)
        self._compressed = self._unpacked = 0
        for how in filter(None, map(packed, views)):
            self._compressed += whole(how["byteLength"], "byteLength")
            self._unpacked += whole(how["count"], "count") * whole(how["byteStride"], "byteStride")
        for mesh in header.get("meshes", ()):
            for primitive in mesh["primitives"]:
                if how := primitive.get("extensions", {}).get(DRACO):
                    self._compressed += whole(views[whole(how["bufferView"], "bufferView")]["byteLength"], "byteLength")
        nodes = header.get("nodes", [])
        meshes = [[self._primitive(p) for p in mesh["primitives"]] for mesh in header.get("meshes", ())]
        placed = [primitive for node in nodes if "mesh" in node for primitive in meshes[whole(node["mesh"], "mesh")]]
        self._read = sum(vertices for mesh in meshes for vertices, _ in mesh)
        self._corners = sum(3 * faces for mesh in meshes for _, faces in mesh)
        self._vertices, self._faces = (sum(values) for values in zip((0, 0), *placed, strict=True))
        pieces = [len(header.get(kind, ())) for kind in ("materials", "images")]
        self._parts = len(nodes), sum(map(len, meshes)), len(placed), *pieces
        NESTING.check(_nesting(nodes))

    def check(self, size: int, rewritten: bool = False) -> None:
        """
        Args:
            size: bytes of the files.
            rewritten: whether trimesh gets other arrays (:mod:`.arrays`).

        Raises:
            ValueError: it is beyond a limit.
        """
        FACES.check(self._faces)
        VERTICES.check(max(self._vertices, self._read))
        PARTS.check(max(self._parts))
        need = 2 * size + self._bytes + self._faces * _FACE
        need += self._read * _READ_VERTEX + self._vertices * _PLACED_VERTEX
        need += sum(map(operator.mul, self._parts, (_NODE, _PRIMITIVE, _PLACED, _MATERIAL, _IMAGE)))
        if rewritten:
            need += self._read * _REWRITTEN_VERTEX + self._corners * _REWRITTEN_CORNER
        need = max(need, size + self._unpacked * _UNPACKING)
        check_memory(need, size + min(self._compressed, size) * (_DENSITY - 1))

    def _size(self, accessor: dict[str, Any]) -> int:
        return whole(accessor["count"], "count") * BYTES[accessor["componentType"]] * NUMBERS[accessor["type"]]

    def _primitive(self, primitive: dict[str, Any]) -> tuple[int, int]:
        """Vertices and faces."""
        vertices = whole(self._accessors[primitive["attributes"]["POSITION"]]["count"], "count")
        corners = vertices
        if "indices" in primitive:
            corners = whole(self._accessors[whole(primitive["indices"], "indices")]["count"], "count")
        return vertices, corners // 3 if primitive.get("mode", TRIANGLES) == TRIANGLES else corners


def _nesting(nodes: list[dict[str, Any]]) -> int:
    """How deep the nodes lie one within the other.

    Raises:
        ValueError: they do not form trees.
    """
    children = [[whole(child, "child") for child in node.get("children", ())] for node in nodes]
    named = [child for row in children for child in row]
    if len(set(named)) < len(named) or any(child >= len(nodes) for child in named):
        raise ValueError("its nodes do not form trees: one is a child twice, or of nothing")
    depth, layer, seen = 0, sorted(set(range(len(nodes))) - set(named)), 0
    while layer:
        depth, seen = depth + 1, seen + len(layer)
        layer = [child for node in layer for child in children[node]]
    if seen < len(nodes):
        raise ValueError("its nodes do not form trees: some are their own ancestors")
    return depth
