"""glTF and GLB files as trimesh should have them, and their cost before it is paid."""

from __future__ import annotations

import base64
import binascii
import json
import operator
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from ..runtime.limits import FACES, NESTING, PARTS, VERTICES, check_memory
from .folder import MeshFolder
from .texts import clean_name
from .textures import Note, Textures

_UNREADABLE_EXTENSIONS = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_mesh_quantization")
_LARGE = 1e6  # beyond which a factor is a mistake
_FLOAT, _UINT, _TRIANGLES = 5126, 5125, 4
_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_NUMBERS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_JSON = 0x4E4F534A
_SLOTS = ("baseColorTexture", "metallicRoughnessTexture", "normalTexture", "occlusionTexture")
_CALLED = dict(zip(_SLOTS, ("base colour", "metallic-roughness", "normal", "occlusion"), strict=True))
_GLOSSY = "KHR_materials_pbrSpecularGlossiness"
# Bytes that trimesh and we take for a vertex of a primitive, one in the scene, and a face there; and for a node, a
# primitive, one that is placed, a material, and an image, used or not. All measured.
_READ_VERTEX, _PLACED_VERTEX, _FACE = 100, 260, 100
_NODE, _PRIMITIVE, _PLACED, _MATERIAL, _IMAGE = 1_000, 4_000, 2_500, 1_500, 2_500


def prepare_gltf(data: bytes, folder: MeshFolder, textures: Textures, warn: Callable[[str], None]) -> tuple[bytes, str]:
    """A glTF or GLB file, its header changed where trimesh would lose or misread UVs or faces; and what it is called.

    trimesh reads only ``TEXCOORD_0``, and no UVs at all where a primitive has no material. Before 4.4 it makes up faces
    where a primitive has no indices. Pictures are replaced by stand-ins (:mod:`rasterizer.meshes.textures`), and so are
    the names of materials.

    Args:
        data: the file.
        folder: where the files are that it refers to.
        textures: takes the pictures that it uses.
        warn: is told what is left out.

    Raises:
        ValueError: it needs what is not supported, or is beyond a limit.
    """
    binary = data[:4] == b"glTF"
    end = 20 + int.from_bytes(data[12:16], "little") if binary else len(data)
    header = json.loads(data[20:end] if binary else data)
    if not isinstance(header, dict):
        raise ValueError("its JSON is no object")
    for name in _UNREADABLE_EXTENSIONS:
        if name in header.get("extensionsRequired", ()):
            raise ValueError(f"it requires {name}, which is not supported: export it without mesh compression")
    if "KHR_texture_transform" in header.get("extensionsUsed", ()):
        warn("uses KHR_texture_transform, which is not applied: textures may be misplaced")

    buffers = _Buffers(header, memoryview(data)[end + 8 :], folder)
    _Cost(header).check(len(data) + folder.size)
    materials = header.setdefault("materials", [])
    plain = len(materials)
    materials.append({})
    for material in materials:
        _without_gloss(material, warn)
        material["name"] = textures.take_note(_note(material))
    for primitive in (p for m in header.get("meshes", ()) for p in m["primitives"]):
        _choose_uvs(header, primitive, materials[primitive.setdefault("material", plain)], warn)
        if "indices" not in primitive and primitive.get("mode", _TRIANGLES) == _TRIANGLES:
            count = header["accessors"][primitive["attributes"]["POSITION"]]["count"]
            primitive["indices"] = _append_indices(header, count)
    _take_pictures(header, buffers, textures, warn)
    name = _name(header)
    text = json.dumps(header).encode()
    if not binary:
        return text, name
    text += b" " * (-len(text) % 4)
    size = 20 + len(text) + len(data) - end
    return struct.pack("<4sIIII", b"glTF", 2, size, len(text), _JSON) + text + data[end:], name


def _name(header: dict[str, Any]) -> str:
    """The one name that all placed meshes have, or else their nodes; else that of the only root, else nothing."""
    nodes, meshes = header.get("nodes", []), header.get("meshes", [])
    placing = [node for node in nodes if "mesh" in node]
    for named in ([meshes[node["mesh"]] for node in placing], placing):
        names = {clean_name(item.get("name")) for item in named}
        if len(names) == 1 and "" not in names:
            return names.pop()
    scenes = header.get("scenes", [])
    number = header.get("scene", 0)
    roots = scenes[number].get("nodes", []) if isinstance(number, int) and 0 <= number < len(scenes) else []
    return clean_name(nodes[_whole(roots[0], "root")].get("name")) if len(roots) == 1 else ""


def _note(material: dict[str, Any]) -> Note:
    """What trimesh would drop."""
    scale = _number(material.get("normalTexture", {}).get("scale", 1.0), "normal scale")
    strength = _number(material.get("occlusionTexture", {}).get("strength", 1.0), "occlusion strength")
    return Note(clean_name(material.get("name")), scale, min(max(strength, 0.0), 1.0))


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LARGE < value < _LARGE:
        raise ValueError(f"its {name} is {str(value)[:40]!r}, expected a number")
    return float(value)


def _without_gloss(material: dict[str, Any], warn: Callable[[str], None]) -> None:
    """A material of specular colour and glossiness as one of base colour, which trimesh would compute per pixel."""
    glossy = material.get("extensions", {}).pop(_GLOSSY, None)
    if glossy is None or "pbrMetallicRoughness" in material:
        return
    warn(f"uses {_GLOSSY}: the diffuse colour is taken for the base colour, the specular colour is left out")
    base = material["pbrMetallicRoughness"] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    for ours, theirs in (("baseColorTexture", "diffuseTexture"), ("baseColorFactor", "diffuseFactor")):
        if theirs in glossy:
            base[ours] = glossy[theirs]


def _choose_uvs(
    header: dict[str, Any], primitive: dict[str, Any], material: dict[str, Any], warn: Callable[[str], None]
) -> None:
    """The UVs of the primitive's base colour become its ``TEXCOORD_0``."""
    attributes = primitive["attributes"]
    slots = _slots(material)
    uv_set = slots[0][0][slots[0][1]].get("texCoord", 0) if slots else 0
    for holder, slot in slots[1:]:
        if holder[slot].get("texCoord", 0) != uv_set:
            warn(f"has a texture of {_CALLED[slot]} on other UVs than its {_CALLED[slots[0][1]]}; it is left out")
            del holder[slot]
    uvs = attributes.get(f"TEXCOORD_{uv_set}")
    if uvs is not None and header["accessors"][uvs]["componentType"] != _FLOAT:
        raise ValueError("its UVs are integers, which is not supported: export it without quantization")
    if uvs is not None:
        attributes["TEXCOORD_0"] = uvs


def _slots(material: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The textures of a material that are read, each as the object that has it and the name it has there."""
    base = material.get("pbrMetallicRoughness", {})
    holders = [(base if slot in _SLOTS[:2] else material, slot) for slot in _SLOTS]
    return [(holder, slot) for holder, slot in holders if slot in holder]


def _append_indices(header: dict[str, Any], count: int) -> int:
    """Add the indices 0, 1, 2... to a glTF header; the number of their accessor."""
    import numpy as np

    data = np.arange(count, dtype="<u4").tobytes()
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    buffers, views, accessors = header["buffers"], header["bufferViews"], header["accessors"]
    buffers.append({"uri": uri, "byteLength": len(data)})
    views.append({"buffer": len(buffers) - 1, "byteLength": len(data)})
    accessors.append({"bufferView": len(views) - 1, "componentType": _UINT, "count": count, "type": "SCALAR"})
    return len(accessors) - 1


class _Buffers:
    """The bytes that a file's pictures are in."""

    def __init__(self, header: dict[str, Any], chunk: memoryview, folder: MeshFolder) -> None:
        self._header, self._chunk, self._folder = header, chunk, folder
        for buffer in header.get("buffers", ()):
            if "uri" in buffer and not _is_data(buffer["uri"]):
                folder.read(buffer["uri"])  # now: its size counts

    def picture(self, image: dict[str, Any]) -> bytes:
        """The file of one of the header's images."""
        if "bufferView" not in image:
            return self._resolve(image["uri"])
        view = self._header["bufferViews"][_whole(image["bufferView"], "bufferView")]
        start, length = _whole(view.get("byteOffset", 0), "byteOffset"), _whole(view["byteLength"], "byteLength")
        buffer = self._header["buffers"][view["buffer"]]
        data = self._resolve(buffer["uri"]) if "uri" in buffer else self._chunk
        return bytes(data[start : start + length])

    def _resolve(self, uri: str) -> bytes:
        if not _is_data(uri):
            return self._folder.read(uri)
        head, _, body = uri.partition(",")
        try:
            return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
        except binascii.Error as error:
            raise ValueError(f"is not base64 ({error})") from None


def _is_data(uri: Any) -> bool:
    return isinstance(uri, str) and uri.startswith("data:")


def _take_pictures(header: dict[str, Any], buffers: _Buffers, textures: Textures, warn: Callable[[str], None]) -> None:
    """Leave stand-ins of the pictures that materials use in the header, and nothing of the others."""
    images = header.get("images", [])
    stand_ins: dict[int, dict[str, str] | None] = {}

    def stand_in(number: int) -> dict[str, str] | None:
        image = images[number]
        try:
            return _embedded(textures.add(buffers.picture(image)))
        except (FileNotFoundError, ValueError) as error:
            name = image.get("name") or ("" if _is_data(image.get("uri")) else image.get("uri")) or number
            warn(f"has a texture, image '{str(name)[:100]}', that is left out: {error}")
            return None

    for material in header["materials"]:
        for holder, slot in _slots(material):
            number = _source(header, holder[slot], warn)
            if number is not None and number not in stand_ins:
                stand_ins[number] = stand_in(number)
            if number is None or stand_ins[number] is None:
                del holder[slot]
    blank = _embedded(textures.blank())
    header["images"] = [stand_ins.get(number) or blank for number in range(len(images))]


def _embedded(picture: bytes) -> dict[str, str]:
    return {"uri": "data:image/png;base64," + base64.b64encode(picture).decode()}


def _source(header: dict[str, Any], slot: dict[str, Any], warn: Callable[[str], None]) -> int | None:
    """The image of a texture; from here on, the one that trimesh takes."""
    texture = header["textures"][slot["index"]]
    extensions = texture.pop("extensions", {})
    number = extensions.get("EXT_texture_webp", {}).get("source", texture.get("source"))
    if number is None:
        warn(f"has a texture that is left out: it is only there as {', '.join(extensions) or 'nothing'}")
        return None
    texture["source"] = number = _whole(number, "source")
    if number >= len(header.get("images", ())):
        raise ValueError(f"a texture names image {number} of {len(header.get('images', ()))}")
    return number


class _Cost:
    """What a header stands for, counted before anything is allocated."""

    def __init__(self, header: dict[str, Any]) -> None:
        self._accessors = header.get("accessors", [])
        self._bytes = sum(_whole(view["byteLength"], "byteLength") for view in header.get("bufferViews", ()))
        self._bytes += sum(self._size(accessor) for accessor in self._accessors)
        nodes = header.get("nodes", [])
        meshes = [[self._primitive(p) for p in mesh["primitives"]] for mesh in header.get("meshes", ())]
        placed = [primitive for node in nodes if "mesh" in node for primitive in meshes[_whole(node["mesh"], "mesh")]]
        self._read = sum(vertices for mesh in meshes for vertices, _ in mesh)
        self._vertices, self._faces = (sum(values) for values in zip((0, 0), *placed, strict=True))
        pieces = [len(header.get(kind, ())) for kind in ("materials", "images")]
        self._parts = len(nodes), sum(map(len, meshes)), len(placed), *pieces
        NESTING.check(_nesting(nodes))

    def check(self, size: int) -> None:
        """
        Raises:
            ValueError: it is beyond a limit, for files of ``size`` bytes.
        """
        FACES.check(self._faces)
        VERTICES.check(max(self._vertices, self._read))
        PARTS.check(max(self._parts))
        need = 2 * size + self._bytes + self._faces * _FACE
        need += self._read * _READ_VERTEX + self._vertices * _PLACED_VERTEX
        need += sum(map(operator.mul, self._parts, (_NODE, _PRIMITIVE, _PLACED, _MATERIAL, _IMAGE)))
        check_memory(need, size)

    def _size(self, accessor: dict[str, Any]) -> int:
        return _whole(accessor["count"], "count") * _BYTES[accessor["componentType"]] * _NUMBERS[accessor["type"]]

    def _primitive(self, primitive: dict[str, Any]) -> tuple[int, int]:
        """Vertices and faces."""
        vertices = _whole(self._accessors[primitive["attributes"]["POSITION"]]["count"], "count")
        corners = vertices
        if "indices" in primitive:
            corners = _whole(self._accessors[_whole(primitive["indices"], "indices")]["count"], "count")
        return vertices, corners // 3 if primitive.get("mode", _TRIANGLES) == _TRIANGLES else corners


def _nesting(nodes: list[dict[str, Any]]) -> int:
    """How deep the nodes lie one within the other.

    Raises:
        ValueError: they do not form trees.
    """
    children = [[_whole(child, "child") for child in node.get("children", ())] for node in nodes]
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


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"its {name} is {str(value)[:40]!r}, expected a whole number, 0 or more")
    return value
