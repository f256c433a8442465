"""Valid mesh files of every format, small, with all that they may refer to."""

from __future__ import annotations

import base64
import functools
import io
import json
import struct
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from PIL import Image

from rasterizer.meshes.files import save_mesh, to_trimesh
from rasterizer.meshes.mesh import Mesh
from tests.fuzz.strategies import sheet
from tests.support.golden import FOLDER

_PACKED = ("quantized", "meshopt", "meshopt_khr", "meshopt_exponential")

Files = dict[str, bytes]
"""Contents by name; the first is the mesh file."""


def picture(format: str = "PNG", size: tuple[int, int] = (4, 4), mode: str = "RGB") -> bytes:
    """A small picture file."""
    stream = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").convert(mode).save(stream, format)
    return stream.getvalue()


@functools.cache
def large_png(width: int, height: int) -> bytes:
    """A one-bit picture of any size in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(min(height, 15_000))) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"
"""A picture that only Ghostscript can draw."""


def _full() -> Mesh:
    mesh = sheet()
    random = torch.Generator().manual_seed(3)
    colors, image = torch.rand(9, 4, generator=random), torch.rand(4, 4, 3, generator=random)
    return replace(
        mesh,
        normals=mesh.vertex_normals(),
        vertex_colors=colors,
        texture=image,
        metallic_roughness=image.flip(0),
        normal_map=image.flip(1),
        occlusion_in_mr=True,
        name="sheet",
        material="paper",
    )


def document() -> tuple[dict[str, Any], bytes]:
    """A glTF document of two primitives in a small tree of nodes, and its buffer."""
    mesh = sheet()
    arrays = [
        (mesh.vertices.numpy(), 5126, "VEC3"),
        (mesh.uvs.numpy(), 5126, "VEC2"),
        (mesh.faces.numpy().astype("<u2").reshape(-1), 5123, "SCALAR"),
        (np.full((9, 4), 128, np.uint8), 5121, "VEC4"),
        (mesh.vertex_normals().numpy(), 5126, "VEC3"),
    ]
    data, views, accessors = b"", [], []
    for array, component, kind in arrays:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(array), "type": kind})
        data += array.tobytes() + b"\0" * (-array.nbytes % 4)
    attributes = {"POSITION": 0, "TEXCOORD_0": 1, "COLOR_0": 3, "NORMAL": 4}
    header = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"mesh": 0, "children": [1], "translation": [0, 1, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]},
            {"mesh": 0, "matrix": [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1]},
        ],
        "buffers": [{"uri": "mesh.bin", "byteLength": len(data)}],
        "bufferViews": views,
        "accessors": accessors,
        "meshes": [
            {
                "primitives": [
                    {"attributes": attributes, "indices": 2, "material": 0, "mode": 4},
                    {"attributes": {"POSITION": 0, "TEXCOORD_1": 1}, "material": 1},
                ]
            }
        ],
        "materials": [
            {
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0, "texCoord": 0},
                    "baseColorFactor": [1, 0.5, 0.25, 1],
                    "metallicRoughnessTexture": {"index": 1},
                    "roughnessFactor": 0.5,
                },
                "name": "varnish",
                "normalTexture": {"index": 1, "scale": 0.5},
                "occlusionTexture": {"index": 0, "strength": 0.75},
            },
            {
                "pbrMetallicRoughness": {"baseColorTexture": {"index": 1, "texCoord": 1}},
                "occlusionTexture": {"index": 1, "texCoord": 1},
                "alphaMode": "BLEND",
            },
        ],
        "textures": [{"source": 0, "sampler": 0}, {"source": 1}],
        "images": [{"uri": "base.png"}, {"uri": "other.jpg", "mimeType": "image/jpeg"}],
        "samplers": [{"wrapS": 10497}],
    }
    return header, data


def glb(header: bytes, data: bytes) -> bytes:
    """A GLB file of these two chunks."""
    header += b" " * (-len(header) % 4)
    body = struct.pack("<I4s", len(header), b"JSON") + header + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def with_parts(files: Files) -> Files:
    """With the files that :func:`document` names."""
    return {**files, "base.png": picture(), "other.jpg": picture("JPEG")}


def embedded(header: dict[str, Any], data: bytes, pictures: Files, where: str) -> bytes:
    """Put the pictures that :func:`document` names into the ``views`` of its buffer or into ``data:`` URIs, or leave
    them as ``files``; the buffer."""
    for image in header["images"] if where != "files" else ():
        content, kind = pictures[image["uri"]], image.get("mimeType", "image/png")
        if where == "data":
            image["uri"] = f"data:{kind};base64,{base64.b64encode(content).decode()}"
            continue
        del image["uri"]
        image.update(bufferView=len(header["bufferViews"]), mimeType=kind)
        header["bufferViews"].append({"buffer": 0, "byteOffset": len(data), "byteLength": len(content)})
        data += content + b"\0" * (-len(content) % 4)
    header["buffers"][0]["byteLength"] = len(data)
    return data


def _gltf_in_one(where: str) -> Files:
    header, data = document()
    data = embedded(header, data, with_parts({}), where)
    if where == "views":
        del header["buffers"][0]["uri"]
        return {"mesh.glb": glb(json.dumps(header).encode(), data)}
    header["buffers"][0]["uri"] = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
    return {"mesh.gltf": json.dumps(header).encode()}


def _gltf() -> Files:
    header, data = document()
    return with_parts({"mesh.gltf": json.dumps(header).encode(), "mesh.bin": data})


def _glb_with_parts() -> Files:
    header, data = document()
    del header["buffers"][0]["uri"]
    return with_parts({"mesh.glb": glb(json.dumps(header).encode(), data)})


def _saved(suffix: str) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        save_mesh(_full(), Path(folder) / f"mesh{suffix}")
        found = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return dict(sorted(found.items(), key=lambda item: not item[0].endswith(suffix)))


def _exported(suffix: str, **options: Any) -> Files:
    plain = Mesh(sheet().vertices, sheet().faces)
    data = to_trimesh(plain).export(file_type=suffix, **options)
    return {f"mesh.{suffix.removesuffix('_ascii')}": data.encode() if isinstance(data, str) else data}


def _written_obj() -> Files:
    lines = ["mtllib a.mtl", "usemtl m", "v 0 0 0 0.2 0.8 0.4", "v 1 0 0 1 1 1", "v 0 1 0 0 0 0", "v 1 1 0 0.5 0.5 0.5"]
    lines += [
        "vt 0 0",
        "vt 1 0",
        "vt 0.5 1",
        "vn 0 0 1",
        "f 1/1/1 2/2/1 3/3/1",
        "usemtl n",
        "f 1/1 2/2 4/3 3/3",
        "f -1 -2 -3",
    ]
    mtl = "newmtl m\nKd 0.5 0.25 1\nmap_Kd a.png\nnewmtl n\nKd 1 0 0\nmap_Kd sub\\b.png\nmap_Pr a.png\n"
    return {"mesh.obj": "\n".join(lines).encode(), "a.mtl": mtl.encode(), "a.png": picture(), "sub/b.png": picture()}


def _obj_of_polygons() -> Files:
    """A strip of quads, polygons of up to 40 corners with and without the rest, groups, and lines that go on."""
    lines = ["# made by hand", "mtllib a.mtl", "o strip", "s off"]
    lines += [f"v {k // 2} {k % 2} {k % 3 / 8}" for k in range(60)]
    lines += [f"vt {k / 59:.4f} {k % 2}" for k in range(60)] + ["vn 0 0 1", "vn 0 1e-3 -1"]
    lines += ["g left right", "usemtl m"]
    lines += [f"f {k}/{k}/1 {k + 1}/{k + 1}/1 {k + 3}/{k + 3}/2 {k + 2}/{k + 2}/2" for k in range(1, 57, 2)]
    lines += ["usemtl n", " ".join(["f", *(str(k) for k in range(1, 41))])]
    lines += [" ".join(["f", *(f"{-k}/{-k}" for k in range(1, 13))])]
    lines += ["g", "f 1//1 2//1 \\", "4//2 3//2", "f 1 1 2 3", "f 5 7", "l 1 2 3", "p 4", "cstype bezier"]
    mtl = "newmtl m\nmap_Kd -s 1 1 1 a.png\nnewmtl n\nKd 1 0 0\n"
    return {"mesh.obj": "\n".join(lines).encode(), "a.mtl": mtl.encode(), "a.png": picture()}


def _big_endian_ply() -> Files:
    """Binary, with quads, lists of another type, and an element of its own before the faces."""
    lines = ["ply", "format binary_big_endian 1.0", "comment TextureFile a.png", "obj_info none", "element vertex 5"]
    lines += [f"property double {name}" for name in "xyz"]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue", "alpha")]
    lines += ["element edge 2", "property ushort a", "property ushort b", "element face 2"]
    lines += ["property list uint uint vertex_indices", "property list uchar float texcoord", "end_header\n"]
    places = [(0, 0, 0), (1, 0, 0), (1, 1, 0.5), (0, 1, 0), (0.5, 2, 0)]
    data = b"".join(struct.pack(">3d4B", *place, 9, 99, 199, 255) for place in places)
    data += struct.pack(">4H", 0, 1, 1, 2)
    data += struct.pack(">5IB8f", 4, 0, 1, 2, 3, 8, 0, 0, 1, 0, 1, 1, 0, 1)
    data += struct.pack(">5IB8f", 4, 3, 2, 4, 0, 8, 0, 1, 1, 1, 0.5, 0.5, 0, 0)
    return {"mesh.ply": "\n".join(lines).encode() + data, "a.png": picture()}


def _colored_obj() -> Files:
    """Without UVs."""
    lines = ["v 0 0 0 0.2 0.8 0.4", "v 1 0 0 1 1 1", "v 0 1 0 0 0 0", "f 1 2 3"]
    return {"mesh.obj": "\n".join(["usemtl m", *lines]).encode()}


def _textured_ply() -> Files:
    names = ("x", "y", "z", "nx", "ny", "nz", "s", "t")
    head = "ply\nformat ascii 1.0\ncomment TextureFile a.png\nelement vertex 3\n"
    head += "".join(f"property float {name}\n" for name in names)
    head += "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    rows = ["0 0 0 0 0 1 0 0 255 0 9", "1 0 0 0 0 1 1 0 0 255 9", "0 1 0 0 0 1 0 1 0 0 255", "3 0 1 2"]
    return {"mesh.ply": (head + "\n".join(rows) + "\n").encode(), "a.png": picture()}


@functools.cache
def seeds() -> dict[str, Files]:
    """Every kind."""
    return {
        "gltf": _gltf(),
        "glb": _saved(".glb"),
        "glb with files": _glb_with_parts(),
        "glb with pictures": _gltf_in_one("views"),
        "gltf of one file": _gltf_in_one("data"),
        "obj saved": _saved(".obj"),
        "obj written": _written_obj(),
        "obj colored": _colored_obj(),
        "obj of polygons": _obj_of_polygons(),
        "stl": _saved(".stl"),
        "stl ascii": _exported("stl_ascii"),
        "ply": _saved(".ply"),
        "ply ascii": _exported("ply", encoding="ascii"),
        "ply textured": _textured_ply(),
        "ply big endian": _big_endian_ply(),
        "off": _exported("off"),
        **{f"glb {name}": {"mesh.glb": (FOLDER / "meshes" / f"{name}.glb").read_bytes()} for name in _PACKED},
        "glb of trimesh": {
            "mesh.glb": trimesh.Scene([to_trimesh(_full()), trimesh.creation.box()]).export(file_type="glb")
        },
    }
