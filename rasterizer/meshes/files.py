"""Meshes from files and from trimesh objects, and back to both."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..contract.checks import as_array, as_tensor, check_faces
from ..pictures.colors import linear_to_srgb, srgb_to_linear
from ..pictures.files import to_pil
from ..pictures.sampling import sample_texture
from ..runtime.files import write_atomically
from ..runtime.log import log
from ..runtime.safe_names import check_new, relative_parts, shortened
from .folder import MeshFolder, resolver
from .gltf import prepare_gltf
from .headers import check_ply, check_stl
from .materials import WHITE, Part, merge_textures, read_base_color, read_metallic_roughness, to_bytes, to_linear
from .mesh import Mesh
from .obj import files_beside, prepare_obj, save_obj
from .off import read_off
from .texts import to_utf8
from .textures import Textures

if TYPE_CHECKING:
    import trimesh

SUPPORTED_SUFFIXES = (".glb", ".gltf", ".obj", ".stl", ".ply", ".off")
"""Of files that :func:`load_mesh` reads."""

SAVED_SUFFIXES = (".glb", ".obj", ".ply", ".stl")
"""Of files that :func:`save_mesh` writes."""

_GLTF_SUFFIXES = (".glb", ".gltf")


def load_mesh(path: str | Path, on_warning: Callable[[str], None] | None = None) -> Mesh:
    """Read a mesh file as one mesh, its scene flattened, every instance placed by its node transforms.

    Of the files that it refers to, only regular ones in its own folder or below are opened, and no link is followed.
    A texture or a material elsewhere is left out, with a warning in the log; without its data no mesh is made.

    Vertices stay as the file has them, polygons are triangulated, faces that repeat a vertex are dropped. Colours of
    vertices are linear in glTF and taken as sRGB in other formats. Several textures become one atlas. Base-colour
    factors are multiplied into it, or become vertex colours where the file has no texture at all.

    Args:
        path: a file with one of ``SUPPORTED_SUFFIXES``.
        on_warning: told of what is left out, such as a texture that is not there; None is a warning in the log.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: another suffix, an unreadable file, no triangles, coordinates that are NaN or infinite, or more than
            the limits allow (:mod:`rasterizer.runtime.limits`): reading takes at most 256 MiB, 40 times the size of the
            file and those it refers to, and 16 bytes for each texel of its pictures, or of the texture where that has
            more, because it repeats them.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUPPORTED_SUFFIXES:
        raise ValueError(
            f"mesh file {path}: found suffix '{path.suffix}', expected one of {', '.join(SUPPORTED_SUFFIXES)}. "
            "Export the mesh to one of these formats; GLB keeps UVs, colours and textures in one file."
        )
    if not path.is_file():
        raise FileNotFoundError(f"mesh file {path}: found no such file, expected a {suffix} file.")
    warnings: dict[str, None] = {}  # each once
    textures = Textures()
    try:
        loaded = _read(path, textures, lambda text: warnings.setdefault(text))
    except Exception as error:  # what the parsers of trimesh raise on damaged files is not limited to any class
        what = "not enough memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"mesh file {path}: not readable as {suffix} ({what}). Expected a complete file "
            "and beside it the files it refers to; export it again, or as GLB."
        ) from error
    for text in warnings:
        (on_warning or log.warning)(f"{path} {text}.")
    return _assemble(loaded, path.stem, f"mesh file {path}", suffix not in _GLTF_SUFFIXES, textures)


def _read(path: Path, textures: Textures, warn: Callable[[str], None]) -> trimesh.Scene | trimesh.Trimesh:
    """What trimesh makes of the file, its pictures replaced by stand-ins that ``textures`` knows."""
    import trimesh

    suffix = path.suffix.lower()
    folder = MeshFolder(path)
    data = path.read_bytes()
    if suffix == ".off":
        return read_off(data)
    if suffix in _GLTF_SUFFIXES:
        data = prepare_gltf(data, folder, textures, warn)
    else:
        data = {".obj": prepare_obj, ".stl": check_stl, ".ply": check_ply}[suffix](data)
    asked: list[str] = []

    def get(name: str) -> bytes:
        asked.append(name)
        try:
            found = folder.read(name)
            if suffix in _GLTF_SUFFIXES:  # a buffer: the pictures are stand-ins already
                return found
            return to_utf8(found) if suffix == ".obj" and len(asked) == 1 else textures.add(found)
        except FileNotFoundError as error:
            warn(f"refers to a file that is left out: {error}")
            raise
        except ValueError as error:  # trimesh goes on without it, and says nothing
            warn(f"refers to '{name}', which is left out: it {error}")
            raise

    # trimesh gets no path, from which it would read on its own account.
    stream, file_type = io.BytesIO(data), suffix[1:]
    return trimesh.load(stream, file_type=file_type, resolver=resolver(get), force="scene", process=False)


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

    colors = None if mesh.vertex_colors is None else to_bytes(as_array(mesh.vertex_colors))
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
        uvs = as_array(mesh.uvs).astype(np.float64)
        uvs[:, 1] = 1.0 - uvs[:, 1]
        visual = trimesh.visual.TextureVisuals(uv=uvs, material=material)
        if colors is not None:
            visual.vertex_attributes["color"] = trimesh.visual.color.to_rgba(colors)
    return trimesh.Trimesh(
        vertices=as_array(mesh.vertices),
        faces=as_array(mesh.faces),
        vertex_normals=None if mesh.normals is None else as_array(mesh.normals),
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
        ValueError: another suffix, a name that not every system can have, or a face of a vertex that is not there.
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
    as_tensor(mesh.vertices, "mesh vertices")
    check_faces(mesh.faces, len(mesh.vertices), mesh.faces.device, "mesh faces")
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
        shown = shortened(shown)
        raise ValueError(f"mesh file {shown}: the name {error}. Choose another name.") from None


def _shown_colors(mesh: Mesh) -> torch.Tensor | None:
    """sRGB colours of vertices ``[N, 3]`` or ``[N, 4]``: what the mesh looks like at them."""
    colors = mesh.vertex_colors
    if mesh.texture is not None and mesh.uvs is not None:
        sampled = srgb_to_linear(sample_texture(mesh.texture, mesh.uvs))
        colors = sampled if colors is None else torch.cat((colors[:, :3] * sampled, colors[:, 3:]), dim=1)
    return None if colors is None else torch.cat((linear_to_srgb(colors[:, :3]), colors[:, 3:]), dim=1)


def _assemble(tm: Any, name: str, where: str, srgb_colors: bool, textures: Textures | None = None) -> Mesh:
    """All meshes of a trimesh object, placed and joined, with one texture.

    Raises:
        ValueError: whatever it is that they cannot be put together for.
    """
    try:
        return _join_parts(_placed_parts(tm, srgb_colors, textures), name, where)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except MemoryError as error:
        raise ValueError(f"{where}: found too little memory for it, expected a smaller mesh or texture.") from error
    except Exception as error:  # trimesh checks little of what it passes on
        raise ValueError(
            f"{where}: cannot be put together ({type(error).__name__}: {error}), expected a sound mesh. Repair it "
            "where it was made."
        ) from error


def _placed_parts(tm: Any, srgb_colors: bool, textures: Textures | None) -> list[Part]:
    """Every mesh with a face, once for each place that it has in the scene."""
    import trimesh

    placed = [(tm, np.eye(4))]
    if isinstance(tm, trimesh.Scene):
        nodes = [tm.graph[node] for node in tm.graph.nodes_geometry]
        placed = [(tm.geometry[geometry], transform) for transform, geometry in nodes]
    solid = [(g, transform) for g, transform in placed if isinstance(g, trimesh.Trimesh) and len(g.faces)]
    if not solid:
        kinds = ", ".join(sorted({type(geometry).__name__ for geometry, _ in placed})) or "an empty scene"
        raise ValueError(_NO_TRIANGLES.format(kinds))
    return [_read_part(geometry, transform, srgb_colors, textures) for geometry, transform in solid]


_NO_TRIANGLES = (
    "found no triangles in {}, expected a mesh with at least one. Point clouds and curves have no surface; turn them "
    "into a mesh first."
)


def _join_parts(parts: list[Part], name: str, where: str) -> Mesh:
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    repeated = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    if repeated.any():
        log.info("%s: dropped %d faces that repeat a vertex.", where, repeated.sum())
        faces = faces[~repeated]
    if not len(faces):
        raise ValueError(_NO_TRIANGLES.format("a mesh whose faces all repeat a vertex"))

    texture, metallic_roughness = merge_textures(parts)
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
    return None if image is None else torch.from_numpy(image).to(torch.float32).div_(255)


def _join(arrays: list[np.ndarray | None]) -> torch.Tensor | None:
    """The rows of all arrays as float32, or None where one part has none."""
    complete = all(array is not None for array in arrays)
    return torch.from_numpy(np.concatenate(arrays).astype(np.float32)) if complete else None


def _read_part(tm: trimesh.Trimesh, transform: np.ndarray, srgb_colors: bool, textures: Textures | None) -> Part:
    vertices, faces = np.array(tm.vertices, np.float64), np.array(tm.faces, np.int64)
    if vertices.ndim != 2 or vertices.shape[1] not in (3, 4):  # OBJ has a fourth, which is for curves
        raise ValueError(f"found positions {list(vertices.shape)}, expected three numbers for each vertex.")
    vertices = vertices[:, :3]
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(
            f"found faces with vertex indices {faces.min()}..{faces.max()}, expected 0..{len(vertices) - 1}. "
            "The file is damaged; export it again."
        )
    # Asking for vertex_normals would compute normals that crease along seams where the file had none.
    normals = _rows(tm.vertex_normals, vertices) if "vertex_normals" in tm._cache else None
    uvs = colors = image = None
    factor = WHITE
    orm: dict[str, Any] = {}
    if tm.visual.kind == "texture":
        image, factor = read_base_color(tm.visual.material, textures)
        orm = dict(zip(("orm", "orm_factor"), read_metallic_roughness(tm.visual.material, textures), strict=True))
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
        # OBJ may leave out the second number, which is 0 then.
        uvs = np.stack([uvs[:, 0], 1.0 - (uvs[:, 1] if uvs.shape[1] > 1 else 0.0 * uvs[:, 0])], axis=1)
    colors = _linear_rgba(colors, srgb_colors)
    for label, values in (("positions", vertices), ("UVs", uvs), ("colours", colors)):
        if values is not None and (bad := (~(np.abs(values) < np.finfo(np.float32).max)).any(axis=1).sum()):
            raise ValueError(
                f"found {bad} of {len(vertices)} vertices with NaN or infinite {label}, expected finite "
                "numbers. Repair the mesh where it was made."
            )
    return Part(vertices, faces, normals, uvs, colors, image, factor, **orm)


def _rows(values: Any, vertices: np.ndarray) -> np.ndarray | None:
    """``values`` as an array of rows, or None unless it has one for each vertex."""
    if values is None or len(values) != len(vertices):
        return None
    rows = np.array(values)
    return rows if rows.ndim == 2 and rows.shape[1] and rows.dtype.kind in "fiu" else None


def _linear_rgba(colors: np.ndarray | None, srgb: bool) -> np.ndarray | None:
    """Colours of any depth as linear RGBA 0..1, a single number being a grey."""
    if colors is None:
        return None
    scale = 65535 if colors.dtype == np.uint16 else 255 if colors.dtype.kind in "iu" else 1
    scaled = np.clip(colors / scale, 0, 1)
    alpha = scaled[:, 3:4] if scaled.shape[1] > 3 else np.ones((len(scaled), 1))
    rgb = scaled[:, :3] if scaled.shape[1] > 2 else np.repeat(scaled[:, :1], 3, axis=1)
    return np.hstack([to_linear(rgb) if srgb else rgb, alpha])
