"""A GLB with integers for positions, normals and UVs (KHR_mesh_quantization), made of one with floats."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from ...contract.checks import as_array
from ..mesh import Mesh
from ..quantized import quantize
from .cost import BYTES, NUMBERS
from .header import BIN, JSON

EXTENSION = "KHR_mesh_quantization"
_SHORT, _USHORT, _UINT = 5122, 5123, 5125
_FEW = 65535  # vertices that indices of 16 bits can name: the last of these restarts strips in graphics interfaces


def with_integers(glb: bytes, mesh: Mesh) -> bytes:
    """The file with 16-bit integers for positions, normals and UVs: 20 bytes a vertex instead of 32.

    The node's transform undoes what was done to positions (:mod:`rasterizer.meshes.quantized`). UVs outside 0..1 stay
    floats: to move them back, every texture would have to, which fewer programs know how to.

    Args:
        glb: what :func:`~rasterizer.meshes.trimesh_objects.to_glb` has made of the mesh: one primitive.
        mesh: the mesh.

    Raises:
        ValueError: it has positions that are NaN or infinite.
    """
    end = 20 + int.from_bytes(glb[12:16], "little")
    header, chunk = json.loads(glb[20:end]), glb[end + 8 :]
    small = quantize(mesh)
    (primitive,) = header["meshes"][0]["primitives"]
    attributes = primitive["attributes"]
    arrays = {attributes["POSITION"]: (_padded(as_array(small.positions)), _SHORT, False)}
    if "NORMAL" in attributes and mesh.normals is not None:
        normals = np.clip(np.rint(as_array(mesh.normals) * 32767), -32767, 32767).astype("<i2")
        arrays[attributes["NORMAL"]] = (_padded(normals), _SHORT, True)
    if "TEXCOORD_0" in attributes and small.uvs is not None:
        uvs = (as_array(small.uvs).astype(np.int32) + 32768).astype("<u2")
        arrays[attributes["TEXCOORD_0"]] = (uvs, _USHORT, True)
    faces = as_array(mesh.faces).reshape(-1)
    wide = len(small.positions) > _FEW
    arrays[primitive["indices"]] = (faces.astype("<u4" if wide else "<u2"), _UINT if wide else _USHORT, False)
    for node in header["nodes"]:
        if "mesh" in node:
            node.pop("matrix", None)
            node.update(translation=list(small.centre), scale=[small.scale] * 3)
    for key in ("extensionsUsed", "extensionsRequired"):
        header[key] = [*header.get(key, ()), EXTENSION]
    return _written(header, chunk, arrays)


def _padded(values: np.ndarray) -> np.ndarray:
    """Rows of 3 as rows of 4: glTF has each begin at a multiple of 4 bytes."""
    return np.pad(values, ((0, 0), (0, 1))).astype("<i2")


def _written(header: dict[str, Any], chunk: bytes, arrays: dict[int, tuple[np.ndarray, int, bool]]) -> bytes:
    """The file with other arrays for some of its accessors."""
    parts: list[bytes] = []
    views: list[dict[str, Any]] = []

    def add(data: bytes, **more: int) -> int:
        place = sum(map(len, parts))
        parts.extend((data, b"\0" * (-len(data) % 4)))
        views.append({"buffer": 0, "byteOffset": place, "byteLength": len(data), **more})
        return len(views) - 1

    old, kept = header["bufferViews"], dict[int, int]()

    def keep(number: int) -> int:
        if number not in kept:  # several images may share one
            start = old[number].get("byteOffset", 0)
            kept[number] = add(chunk[start : start + old[number]["byteLength"]])
        return kept[number]

    for number, accessor in enumerate(header["accessors"]):
        if number not in arrays:
            accessor["bufferView"] = keep(accessor["bufferView"])
            continue
        values, component, normalized = arrays[number]
        columns = NUMBERS[accessor["type"]]
        stride = {"byteStride": values.shape[1] * BYTES[component]} if columns > 1 else {}
        accessor.update(bufferView=add(values.tobytes(), **stride), componentType=component)
        rows = values.reshape(len(values), -1)[:, :columns]
        accessor.update(min=rows.min(axis=0).tolist(), max=rows.max(axis=0).tolist())
        if normalized:
            accessor["normalized"] = True
    for image in header.get("images", ()):
        image["bufferView"] = keep(image["bufferView"])
    data = b"".join(parts)
    header.update(bufferViews=views, buffers=[{"byteLength": len(data)}])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), JSON) + text + struct.pack("<II", len(data), BIN) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body
