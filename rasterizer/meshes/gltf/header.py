"""The header of glTF and GLB files as trimesh should have it."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

from ..folder import MeshFolder
from ..texts import clean_name
from ..textures import Note, Textures
from .arrays import Move, move_of, rewrite, trimesh_reads, uv_set
from .buffers import Buffers, is_data, whole
from .cost import TRIANGLES, Cost

JSON, BIN = 0x4E4F534A, 0x004E4942
"""The kinds of a GLB's chunks."""

_LARGE = 1e6  # beyond which a factor is a mistake
_UINT = 5125
_SLOTS = ("baseColorTexture", "metallicRoughnessTexture", "normalTexture", "occlusionTexture")
_CALLED = dict(zip(_SLOTS, ("base colour", "metallic-roughness", "normal", "occlusion"), strict=True))
_GLOSSY = "KHR_materials_pbrSpecularGlossiness"


def prepare_gltf(data: bytes, folder: MeshFolder, textures: Textures, warn: Callable[[str], None]) -> tuple[bytes, str]:
    """A glTF or GLB file, its header changed where trimesh would lose or misread UVs or faces; and what it is called.

    trimesh reads only ``TEXCOORD_0``, and no UVs at all where a primitive has no material. Before 4.4 it makes up faces
    where a primitive has no indices. Pictures are replaced by stand-ins (:mod:`rasterizer.meshes.textures`), and so are
    the names of materials. A file with arrays that trimesh does not read becomes a GLB of others (:mod:`.arrays`).

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
    buffers = Buffers(header, memoryview(data)[end + 8 :], folder)
    cost, files = Cost(header), len(data) + folder.size
    cost.check(files)
    materials = header.setdefault("materials", [])
    plain = len(materials)
    materials.append({})
    for material in materials:
        _without_gloss(material, warn)
        material["name"] = textures.take_note(_note(material))
    moves: list[Move | None] = []
    for primitive in (p for m in header.get("meshes", ()) for p in m["primitives"]):
        moves.append(_choose_uvs(primitive, materials[primitive.setdefault("material", plain)], warn))
    _take_pictures(header, buffers, textures, warn)
    parts: list[bytes | memoryview] | None = None
    if not trimesh_reads(header, moves):
        cost.check(files, rewritten=True)
        parts = rewrite(header, buffers, moves)
    for primitive in (p for m in header.get("meshes", ()) for p in m["primitives"]):
        if "indices" not in primitive and primitive.get("mode", TRIANGLES) == TRIANGLES:
            count = header["accessors"][primitive["attributes"]["POSITION"]]["count"]
            primitive["indices"] = _append_indices(header, count)
    name = _name(header)
    text = json.dumps(header).encode()
    if parts is not None:
        rest = [struct.pack("<II", sum(map(len, parts)), BIN), *parts]
    elif binary:
        rest = [data[end:]]
    else:
        return text, name
    text += b" " * (-len(text) % 4)
    size = 20 + len(text) + sum(map(len, rest))
    return b"".join([struct.pack("<4sIIII", b"glTF", 2, size, len(text), JSON), text, *rest]), name


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
    return clean_name(nodes[whole(roots[0], "root")].get("name")) if len(roots) == 1 else ""


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


def _choose_uvs(primitive: dict[str, Any], material: dict[str, Any], warn: Callable[[str], None]) -> Move | None:
    """The UVs of the primitive's base colour become its ``TEXCOORD_0``; how they are to be moved."""
    attributes = primitive["attributes"]
    slots = _slots(material)
    first = slots[0][0][slots[0][1]] if slots else {}
    number, move = uv_set(first), move_of(first)
    for holder, slot in slots[1:]:
        if uv_set(holder[slot]) != number or move_of(holder[slot]) != move:
            warn(f"has a texture of {_CALLED[slot]} on other UVs than its {_CALLED[slots[0][1]]}; it is left out")
            del holder[slot]
    uvs = attributes.get(f"TEXCOORD_{number}")
    if uvs is not None:
        attributes["TEXCOORD_0"] = uvs
    return move if uvs is not None else None


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


def _take_pictures(header: dict[str, Any], buffers: Buffers, textures: Textures, warn: Callable[[str], None]) -> None:
    """Leave stand-ins of the pictures that materials use in the header, and nothing of the others."""
    images = header.get("images", [])
    stand_ins: dict[int, dict[str, str] | None] = {}

    def stand_in(number: int) -> dict[str, str] | None:
        image = images[number]
        try:
            return _embedded(textures.add(buffers.picture(image)))
        except (FileNotFoundError, ValueError) as error:
            name = image.get("name") or ("" if is_data(image.get("uri")) else image.get("uri")) or number
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
    texture["source"] = number = whole(number, "source")
    if number >= len(header.get("images", ())):
        raise ValueError(f"a texture names image {number} of {len(header.get('images', ()))}")
    return number
