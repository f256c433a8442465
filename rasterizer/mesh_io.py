"""Meshes from files and from trimesh objects, and back to both."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .base_color import (
    WHITE,
    Part,
    merge_textures,
    read_base_color,
    read_metallic_roughness,
    to_bytes,
    to_linear,
)
from .colors import linear_to_srgb, srgb_to_linear
from .images import to_pil
from .mesh import Mesh
from .mesh_folder import MeshFolder, resolver
from .obj_file import files_beside, save_obj
from .safe_names import check_new, relative_parts
from .shading import sample_texture
from .whole_files import write_atomically

if TYPE_CHECKING:
    import trimesh

log = logging.getLogger("torch_rasterizer")

SUPPORTED_SUFFIXES = (".glb", ".gltf", ".obj", ".stl", ".ply", ".off")
"""Of files that :func:`load_mesh` reads."""

SAVED_SUFFIXES = (".glb", ".obj", ".ply", ".stl")
"""Of files that :func:`save_mesh` writes."""

_GLTF_SUFFIXES = (".glb", ".gltf")
_UNREADABLE_EXTENSIONS = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_mesh_quantization")
_GLTF_FLOAT, _GLTF_UINT, _GLTF_TRIANGLES = 5126, 5125, 4
_GLB_JSON = 0x4E4F534A


def load_mesh(path: str | Path) -> Mesh:
    """Read a mesh file as one mesh, its scene flattened, every instance placed by its node transforms.

    Of the files that it refers to, only regular ones in its own folder or below are opened, and no link is followed.
    A texture or a material elsewhere is left out, with a warning in the log; without its data no mesh is made.

    Vertices stay as the file has them, polygons are triangulated, faces that repeat a vertex are dropped. Colours of
    vertices are linear in glTF and taken as sRGB in other formats. Several textures become one atlas. Base-colour
    factors are multiplied into it, or become vertex colours where the file has no texture at all.

    Args:
        path: a file with one of ``SUPPORTED_SUFFIXES``.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: another suffix, an unreadable file, no triangles, or coordinates that are NaN or infinite.
    """
    import trimesh

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUPPORTED_SUFFIXES:
        raise ValueError(
            f"mesh file {path}: found suffix '{path.suffix}', expected one of {', '.join(SUPPORTED_SUFFIXES)}. "
            "Export the mesh to one of these formats; GLB keeps UVs, colours and textures in one file."
        )
    if not path.is_file():
        raise FileNotFoundError(f"mesh file {path}: found no such file, expected a {suffix} file.")
    try:
        if suffix == ".off":
            loaded = _read_off(path)
        else:
            prepare = {".obj": _prepare_obj, ".glb": _prepare_gltf, ".gltf": _prepare_gltf}.get(suffix, _read)
            beside = resolver(MeshFolder(path), lambda text: log.warning("%s refers to %s.", path, text))
            # trimesh gets no path, from which it would read on its own account.
            loaded = trimesh.load(prepare(path), file_type=suffix[1:], resolver=beside, force="scene", process=False)
    except Exception as error:  # what the parsers of trimesh raise on damaged files is not limited to any class
        raise ValueError(
            f"mesh file {path}: not readable as {suffix} ({type(error).__name__}: {error}). Expected a complete file "
            "and beside it the files it refers to; export it again, or as GLB."
        ) from error
    return _assemble(loaded, path.stem, f"mesh file {path}", srgb_colors=suffix not in _GLTF_SUFFIXES)


def from_trimesh(tm: trimesh.Trimesh | trimesh.Scene, name: str = "") -> Mesh:
    """Convert a trimesh object, which is left as it is.

    Scenes, factors and materials are treated as by :func:`load_mesh`. Colours are taken as linear, the inverse of
    :func:`to_trimesh`. Colours of faces become colours of vertices, three for each face.

    Args:
        tm: a ``trimesh.Trimesh`` or a ``trimesh.Scene`` with at least one.
        name: what to call the mesh.

    Raises:
        ValueError: another type, no triangles, or coordinates that are NaN or infinite.
    """
    return _assemble(tm, name, f"trimesh object{f' {name!r}' if name else ''}", srgb_colors=False)


def to_trimesh(mesh: Mesh) -> trimesh.Trimesh:
    """Convert to trimesh, unprocessed, with a ``PBRMaterial`` where the mesh has UVs.

    Vertex colours are stored as 8 bits of the linear values, because trimesh writes them to GLB unconverted and glTF
    has linear ones. Written to formats whose colours are sRGB by convention, such as PLY, they come out darker.
    """
    import trimesh

    colors = None if mesh.vertex_colors is None else to_bytes(mesh.vertex_colors.cpu().numpy())
    if mesh.uvs is None:
        visual = trimesh.visual.ColorVisuals(vertex_colors=colors)
    else:
        base, rough = (None if image is None else to_pil(image) for image in (mesh.texture, mesh.metallic_roughness))
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=base,
            baseColorFactor=[255, 255, 255, 255],
            metallicRoughnessTexture=rough,
            metallicFactor=0.0 if rough is None else 1.0,
            roughnessFactor=1.0,
        )
        uvs = mesh.uvs.cpu().numpy().astype(np.float64)
        uvs[:, 1] = 1.0 - uvs[:, 1]
        visual = trimesh.visual.TextureVisuals(uv=uvs, material=material)
        if colors is not None:
            visual.vertex_attributes["color"] = trimesh.visual.color.to_rgba(colors)
    return trimesh.Trimesh(
        vertices=mesh.vertices.cpu().numpy(),
        faces=mesh.faces.cpu().numpy(),
        vertex_normals=None if mesh.normals is None else mesh.normals.cpu().numpy(),
        visual=visual,
        metadata={"name": mesh.name},
        process=False,
    )


def save_mesh(mesh: Mesh, path: str | Path) -> list[Path]:
    """Write a mesh file; it appears complete or not at all.

    A file of this path is replaced. Of the files beside an OBJ file, only those that were written for it are.

    Args:
        mesh: what to write.
        path: with one of ``SAVED_SUFFIXES``; missing folders are made.

            * ``.glb``: everything, textures as PNG inside.
            * ``.obj``: with UVs, normals, colours, and beside it a ``.mtl`` and a PNG for each texture, called as the
              OBJ file where these names are free.
            * ``.ply``: positions, normals and colours of vertices, which take the texture's where there is one.
            * ``.stl``: positions only.

    Returns:
        The files that were written, the mesh file first.

    Raises:
        ValueError: another suffix, or a name that not every system can have.
        OSError: the file cannot be written.
    """
    path = Path(path)
    _check_path(path)
    suffix = path.suffix.lower()
    if suffix not in SAVED_SUFFIXES:
        raise ValueError(
            f"mesh file {path}: suffix is '{path.suffix}', expected one of {', '.join(SAVED_SUFFIXES)}; "
            "GLB keeps UVs, colours and textures in one file."
        )
    if suffix == ".obj":
        return save_obj(mesh, path)
    if suffix == ".ply":
        mesh = replace(mesh, vertex_colors=_shown_colors(mesh), uvs=None)
    elif suffix == ".stl":
        mesh = Mesh(mesh.vertices, mesh.faces)
    normals = {".glb": "include_normals", ".ply": "vertex_normal"}
    options = {normals[suffix]: mesh.normals is not None} if suffix in normals else {}
    data = to_trimesh(mesh).export(file_type=suffix[1:], **options)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
    return [path]


def saved_files(mesh: Mesh, path: str | Path) -> list[Path]:
    """The files that :func:`save_mesh` writes where none of them is there yet, the mesh file first."""
    path = Path(path)
    return [path, *(files_beside(mesh, path) if path.suffix.lower() == ".obj" else [])]


def _check_path(path: Path) -> None:
    """Refuse what would fail half-way, or end in another place on another system."""
    shown = ascii(str(path))
    try:
        if any(ord(letter) < 32 for letter in str(path)):
            raise ValueError("has control characters")
        check_new(path.parts)
        if path.name:
            relative_parts(path.name.replace("\\", "_"))
    except ValueError as error:
        shown = shown if len(shown) <= 200 else f"{shown[:200]}..."
        raise ValueError(f"mesh file {shown}: the name {error}. Choose another name.") from None


def _shown_colors(mesh: Mesh) -> torch.Tensor | None:
    """sRGB colours of vertices ``[N, 3]`` or ``[N, 4]``: what the mesh looks like at them."""
    colors = mesh.vertex_colors
    if mesh.texture is not None and mesh.uvs is not None:
        sampled = srgb_to_linear(sample_texture(mesh.texture, mesh.uvs))
        colors = sampled if colors is None else torch.cat((colors[:, :3] * sampled, colors[:, 3:]), dim=1)
    return None if colors is None else torch.cat((linear_to_srgb(colors[:, :3]), colors[:, 3:]), dim=1)


def _read(path: Path) -> io.BytesIO:
    return io.BytesIO(path.read_bytes())


def _read_off(path: Path) -> trimesh.Trimesh:
    """An OFF file, without colours. trimesh 5 fails at polygons of more than four corners."""
    import trimesh

    rows = [row for line in path.read_text().splitlines() if (row := line.partition("#")[0].split())]
    if not rows or not rows[0][0].upper().endswith("OFF"):
        raise ValueError("it does not start with OFF")
    # Some writers put the counts on the first line.
    counts, rows = (rows[0][1:], rows[1:]) if len(rows[0]) > 1 else (rows[1], rows[2:])
    corners, polygons = int(counts[0]), int(counts[1])
    if len(rows) < corners + polygons:
        raise ValueError(f"it has {len(rows)} rows for {corners} vertices and {polygons} faces")
    fans = [(row[1], row[i], row[i + 1]) for row in rows[corners:][:polygons] for i in range(2, int(row[0]))]
    faces = np.array(fans, dtype=np.int64).reshape(-1, 3)
    return trimesh.Trimesh(np.array([row[:3] for row in rows[:corners]], dtype=np.float64), faces, process=False)


def _prepare_obj(path: Path) -> io.BytesIO:
    """An OBJ file with its polygons cut into fans: trimesh 4 loses the UVs of files that have nothing but quads."""

    def fan(match: re.Match[bytes]) -> bytes:
        first, *rest = match[1].split()
        return b"\n".join(b"f %b %b %b" % (first, *pair) for pair in zip(rest[:-1], rest[1:], strict=True))

    data = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\\\n", b" ")
    return io.BytesIO(re.sub(rb"^f((?:[ \t]+[-/\d]+){4,})", fan, data, flags=re.MULTILINE))


def _prepare_gltf(path: Path) -> io.BytesIO:
    """A glTF or GLB file, its header changed where trimesh would lose or misread UVs or faces.

    trimesh reads only ``TEXCOORD_0``, and no UVs at all where a primitive has no material. Before 4.4 it makes up faces
    where a primitive has no indices.
    """
    data = path.read_bytes()
    binary = data[:4] == b"glTF"
    end = 20 + int.from_bytes(data[12:16], "little") if binary else len(data)
    header = json.loads(data[20:end] if binary else data)
    for name in _UNREADABLE_EXTENSIONS:
        if name in header.get("extensionsRequired", ()):
            raise ValueError(f"it requires {name}, which is not supported: export it without mesh compression")
    if "KHR_texture_transform" in header.get("extensionsUsed", ()):
        log.warning("%s uses KHR_texture_transform, which is not applied: textures may be misplaced.", path)

    materials = header.setdefault("materials", [])
    plain = len(materials)
    materials.append({})
    for primitive in (p for m in header.get("meshes", ()) for p in m["primitives"]):
        attributes = primitive["attributes"]
        base = materials[primitive.setdefault("material", plain)].get("pbrMetallicRoughness", {})
        rough = base.get("metallicRoughnessTexture")
        uv_set = base.get("baseColorTexture", rough or {}).get("texCoord", 0)
        if rough and rough.get("texCoord", 0) != uv_set:
            log.warning("%s has a metallic-roughness texture on other UVs than its base colour; it is left out.", path)
            del base["metallicRoughnessTexture"]
        uvs = attributes.get(f"TEXCOORD_{uv_set}")
        if uvs is not None and header["accessors"][uvs]["componentType"] != _GLTF_FLOAT:
            raise ValueError("its UVs are integers, which is not supported: export it without quantization")
        if uvs is not None:
            attributes["TEXCOORD_0"] = uvs
        if "indices" not in primitive and primitive.get("mode", _GLTF_TRIANGLES) == _GLTF_TRIANGLES:
            primitive["indices"] = _append_indices(header, header["accessors"][attributes["POSITION"]]["count"])
    text = json.dumps(header).encode()
    if not binary:
        return io.BytesIO(text)
    text += b" " * (-len(text) % 4)
    size = 20 + len(text) + len(data) - end
    return io.BytesIO(struct.pack("<4sIIII", b"glTF", 2, size, len(text), _GLB_JSON) + text + data[end:])


def _append_indices(header: dict[str, Any], count: int) -> int:
    """Add the indices 0, 1, 2... to a glTF header; the number of their accessor."""
    data = np.arange(count, dtype="<u4").tobytes()
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    buffers, views, accessors = header["buffers"], header["bufferViews"], header["accessors"]
    buffers.append({"uri": uri, "byteLength": len(data)})
    views.append({"buffer": len(buffers) - 1, "byteLength": len(data)})
    accessors.append({"bufferView": len(views) - 1, "componentType": _GLTF_UINT, "count": count, "type": "SCALAR"})
    return len(accessors) - 1


def _assemble(tm: Any, name: str, where: str, srgb_colors: bool) -> Mesh:
    """All meshes of a trimesh object, placed and joined, with one texture."""
    import trimesh

    placed = [(tm, np.eye(4))]
    if isinstance(tm, trimesh.Scene):
        nodes = [tm.graph[node] for node in tm.graph.nodes_geometry]
        placed = [(tm.geometry[geometry], transform) for transform, geometry in nodes]
    parts = [_read_part(g, t, where, srgb_colors) for g, t in placed if isinstance(g, trimesh.Trimesh) and len(g.faces)]
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([np.zeros((0, 3), np.int64)] + [p.faces + s for p, s in zip(parts, starts, strict=False)])
    repeated = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    if repeated.any():
        log.info("%s: dropped %d faces that repeat a vertex.", where, repeated.sum())
        faces = faces[~repeated]
    if not len(faces):
        kinds = ", ".join(sorted({type(geometry).__name__ for geometry, _ in placed})) or "an empty scene"
        raise ValueError(
            f"{where}: found no triangles in {kinds}, expected a mesh with at least one. Point clouds and curves have "
            "no surface; turn them into a mesh first."
        )

    texture, metallic_roughness = merge_textures(parts, where)
    colors = None
    if any(part.colors is not None for part in parts):
        colors = [np.ones((len(p.vertices), 4)) if p.colors is None else p.colors for p in parts]
        if all((rgba[:, 3] == 1).all() for rgba in colors):
            colors = [rgba[:, :3] for rgba in colors]
    return Mesh(
        vertices=_join([part.vertices for part in parts]),
        faces=torch.from_numpy(faces.astype(np.int32)),
        uvs=_join([part.uvs for part in parts]),
        normals=_join([part.normals for part in parts]),
        vertex_colors=None if colors is None else _join(colors),
        texture=_from_bytes(texture),
        metallic_roughness=_from_bytes(metallic_roughness),
        name=name,
    )


def _from_bytes(image: np.ndarray | None) -> torch.Tensor | None:
    return None if image is None else torch.from_numpy(image.astype(np.float32) / 255)


def _join(arrays: list[np.ndarray | None]) -> torch.Tensor | None:
    """The rows of all arrays as float32, or None where one part has none."""
    complete = all(array is not None for array in arrays)
    return torch.from_numpy(np.concatenate(arrays).astype(np.float32)) if complete else None


def _read_part(tm: trimesh.Trimesh, transform: np.ndarray, where: str, srgb_colors: bool) -> Part:
    vertices, faces = np.array(tm.vertices, np.float64), np.array(tm.faces, np.int64)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(
            f"{where}: found faces with vertex indices {faces.min()}..{faces.max()}, expected 0..{len(vertices) - 1}. "
            "The file is damaged; export it again."
        )
    # Asking for vertex_normals would compute normals that crease along seams where the file had none.
    normals = _rows(tm.vertex_normals, vertices) if "vertex_normals" in tm._cache else None
    uvs = colors = image = None
    factor = WHITE
    orm: dict[str, Any] = {}
    if tm.visual.kind == "texture":
        image, factor = read_base_color(tm.visual.material)
        orm = dict(zip(("orm", "orm_factor"), read_metallic_roughness(tm.visual.material), strict=True))
        uvs = _rows(tm.visual.uv, vertices)
        colors = _rows(tm.visual.vertex_attributes.get("color", tm.vertex_attributes.get("color")), vertices)
    elif tm.visual.kind == "vertex":
        colors = _rows(tm.visual.vertex_colors, vertices)
    elif tm.visual.kind == "face":
        colors = np.repeat(tm.visual.face_colors, 3, axis=0)
        normals = None if normals is None else normals[faces.ravel()]
        vertices, faces = vertices[faces.ravel()], np.arange(faces.size).reshape(-1, 3)

    linear = transform[:3, :3]
    with np.errstate(all="ignore"):  # infinite positions are refused below
        vertices = vertices @ linear.T + transform[:3, 3]
    mirrored = np.linalg.det(linear) < 0
    if mirrored:
        faces = faces[:, ::-1]
    if normals is not None:
        # The cofactor matrix turns normals right under any scale, and flips them under a mirror as the winding was.
        cofactors = np.cross(linear[[1, 2, 0]], linear[[2, 0, 1]])
        normals = normals @ (-cofactors if mirrored else cofactors).T
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
        normals = normals if np.isfinite(normals).all() else None
    if uvs is not None:
        uvs = np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1)
    for label, values in (("positions", vertices), ("UVs", vertices[:0] if uvs is None else uvs)):
        if bad := (~(np.abs(values) < np.finfo(np.float32).max)).any(axis=1).sum():
            raise ValueError(
                f"{where}: found {bad} of {len(vertices)} vertices with NaN or infinite {label}, expected finite "
                "numbers. Repair the mesh where it was made."
            )
    return Part(vertices, faces, normals, uvs, _linear_rgba(colors, srgb_colors), image, factor, **orm)


def _rows(values: Any, vertices: np.ndarray) -> np.ndarray | None:
    """``values`` as an array, or None unless it has a row for each vertex."""
    return None if values is None or len(values) != len(vertices) else np.array(values)


def _linear_rgba(colors: np.ndarray | None, srgb: bool) -> np.ndarray | None:
    """Colours of any depth as linear RGBA 0..1."""
    if colors is None:
        return None
    scale = 65535 if colors.dtype == np.uint16 else 255 if colors.dtype.kind in "iu" else 1
    scaled = np.clip(colors / scale, 0, 1)
    alpha = scaled[:, 3:4] if scaled.shape[1] > 3 else np.ones((len(scaled), 1))
    return np.hstack([to_linear(scaled[:, :3]) if srgb else scaled[:, :3], alpha])
