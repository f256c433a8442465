"""Meshes from trimesh's objects, and back to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..contract.checks import as_array
from ..pictures.colors import array_to_bytes, array_to_linear
from ..pictures.files import to_pil
from ..runtime.log import log
from .formats import SUPPORTED_SUFFIXES
from .materials import merge_textures, read_material
from .mesh import TEXTURES, Mesh
from .parts import WHITE, Part
from .texts import clean_name
from .textures import Textures

if TYPE_CHECKING:
    import trimesh

_FILE = "file_name"
"""Key of metadata, which is trimesh's own."""

_NO_TRIANGLES = (
    "found no triangles in {}, expected a mesh with at least one. Point clouds and curves have no surface; turn them "
    "into a mesh first."
)


def from_trimesh(tm: trimesh.Trimesh | trimesh.Scene, name: str = "") -> Mesh:
    """Convert a trimesh object, which is left as it is.

    Scenes, factors and materials are treated as by :func:`~rasterizer.meshes.files.load_mesh`. Colours are taken as
    linear, the inverse of :func:`to_trimesh`. Colours of faces become colours of vertices, three for each face.

    Args:
        tm: a ``trimesh.Trimesh`` or a ``trimesh.Scene`` with at least one.
        name: what to call the mesh; empty is what it is called in trimesh, if all of it has one name.

    Raises:
        ValueError: another type, no triangles, or coordinates that are NaN or infinite.
    """
    name = name or _name_of(tm)
    mesh = assemble(tm, name, f"trimesh object{f' {name!r}' if name else ''}", srgb_colors=False)
    return replace(mesh, source=_source_of(tm))


def to_trimesh(mesh: Mesh) -> trimesh.Trimesh:
    """Convert to trimesh, unprocessed, with a ``PBRMaterial`` where the mesh has UVs.

    Vertex colours are stored as 8 bits of the linear values, because trimesh writes them to GLB unconverted and glTF
    has linear ones. Written to formats whose colours are sRGB by convention, such as PLY, they come out darker.
    Occlusion is the same image as metallic-roughness, as glTF shares one.
    """
    import trimesh

    colors = None if mesh.vertex_colors is None else array_to_bytes(as_array(mesh.vertex_colors))
    visual: Any
    if mesh.uvs is None:
        visual = trimesh.visual.ColorVisuals(vertex_colors=colors)
    else:
        base, rough, normals = (
            None if image is None else to_pil(image) for image in (getattr(mesh, kind) for kind in TEXTURES)
        )
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=base,
            baseColorFactor=[255, 255, 255, 255],
            metallicRoughnessTexture=rough,
            metallicFactor=0.0 if rough is None else 1.0,
            roughnessFactor=1.0,
            normalTexture=normals,
            occlusionTexture=rough if mesh.occlusion_in_mr else None,
            name=mesh.material or None,
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
        metadata={key: text for key, text in (("name", mesh.name), (_FILE, mesh.source)) if text},
        process=False,
    )


def to_glb(mesh: Mesh, name: str) -> bytes:
    """A GLB file, its mesh and its material called as they are; the mesh ``name`` where it has none."""
    import trimesh

    tm = to_trimesh(replace(mesh, occlusion_in_mr=False))  # its picture would be written twice
    tm.metadata.clear()  # it would be written beside the name

    def add_occlusion(tree: dict[str, Any]) -> None:
        for material in tree.get("materials", ()):
            surface = material.get("pbrMetallicRoughness", {}).get("metallicRoughnessTexture")
            if mesh.occlusion_in_mr and surface is not None:
                material["occlusionTexture"] = dict(surface)

    scene = trimesh.Scene()
    name = clean_name(mesh.name) or clean_name(name) or "mesh"
    scene.add_geometry(tm, node_name=name, geom_name=name)
    made: Any = scene.export(
        file_type="glb", include_normals=mesh.normals is not None, tree_postprocessor=add_occlusion
    )
    return made


def _name_of(tm: Any) -> str:
    """What an object of trimesh says that it is called; a scene, if its only mesh says so."""
    geometries = list(getattr(tm, "geometry", {}).items()) or [("", tm)]
    if len(geometries) > 1:
        return ""
    ((key, geometry),) = geometries
    metadata = getattr(geometry, "metadata", None)
    return clean_name(metadata.get("name") if isinstance(metadata, dict) else None) or clean_name(key)


def _source_of(tm: Any) -> str:
    """What the file is called that an object of trimesh came from; trimesh has had two places for it."""
    metadata = getattr(tm, "metadata", None)
    found = metadata.get(_FILE) if isinstance(metadata, dict) else None
    found = found or getattr(getattr(tm, "source", None), "file_path", None)
    path = PurePath(clean_name(found).replace("\\", "/"))
    return path.stem if path.suffix.lower() in SUPPORTED_SUFFIXES else path.name


def assemble(
    tm: Any, name: str, where: str, srgb_colors: bool, textures: Textures | None = None, material: str = ""
) -> Mesh:
    """All meshes of a trimesh object, placed and joined, with one texture.

    Args:
        tm: a mesh or a scene.
        name: what to call the result.
        where: what messages call ``tm``.
        srgb_colors: whether colours of vertices and faces are sRGB-coded, else linear.
        textures: of a file, the pictures that materials have stand-ins for.
        material: what to call the material; empty is what all parts call theirs.

    Raises:
        ValueError: they cannot be put together; the text says why.
    """
    try:
        mesh = _join_parts(_placed_parts(tm, srgb_colors, textures), name, where)
        return replace(mesh, material=material) if material else mesh
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


def _join_parts(parts: list[Part], name: str, where: str) -> Mesh:
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    repeated = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    if repeated.any():
        log.info("%s: dropped %d faces that repeat a vertex.", where, repeated.sum())
        faces = faces[~repeated]
    if not len(faces):
        raise ValueError(_NO_TRIANGLES.format("a mesh whose faces all repeat a vertex"))

    textures, occluded = merge_textures(parts)
    materials = {part.material for part in parts}
    colors: list[np.ndarray] | None = None
    if any(part.colors is not None for part in parts):
        colors = [np.ones((len(p.vertices), 4)) if p.colors is None else p.colors for p in parts]
        if all((rgba[:, 3] == 1).all() for rgba in colors):
            colors = [rgba[:, :3] for rgba in colors]
    pictures: dict[str, Any] = {
        kind: torch.from_numpy(image).to(torch.float32).div_(255) for kind, image in textures.items()
    }
    return Mesh(
        vertices=_stack([part.vertices for part in parts]),
        faces=torch.from_numpy(faces.astype(np.int32)),
        uvs=_stack_all([part.uvs for part in parts]),
        normals=_stack_all([part.normals for part in parts]),
        vertex_colors=None if colors is None else _stack(colors),
        name=name,
        occlusion_in_mr=occluded,
        material=materials.pop() if len(materials) == 1 else "",
        **pictures,
    )


def _stack(arrays: list[np.ndarray]) -> torch.Tensor:
    """The rows of all arrays as float32."""
    return torch.from_numpy(np.concatenate(arrays).astype(np.float32))


def _stack_all(arrays: list[np.ndarray | None]) -> torch.Tensor | None:
    """The rows of all arrays as float32, or None where one part has none."""
    there = [array for array in arrays if array is not None]
    return _stack(there) if len(there) == len(arrays) else None


def _read_part(tm: trimesh.Trimesh, transform: np.ndarray, srgb_colors: bool, textures: Textures | None) -> Part:
    """One mesh with its material, placed, its colours linear and its UVs from the top.

    Raises:
        ValueError: faces or numbers that cannot be.
    """
    part = _as_given(tm, textures)
    _place(part, transform)
    if part.uvs is not None:
        # OBJ may leave out the second number, which is 0 then.
        u, v = part.uvs[:, 0], part.uvs[:, 1] if part.uvs.shape[1] > 1 else 0.0 * part.uvs[:, 0]
        part.uvs = np.stack([u, 1.0 - v], axis=1)
    part.colors = _linear_rgba(part.colors, srgb_colors)
    for label, values in (("positions", part.vertices), ("UVs", part.uvs), ("colours", part.colors)):
        if values is not None and (bad := (~(np.abs(values) < np.finfo(np.float32).max)).any(axis=1).sum()):
            raise ValueError(
                f"found {bad} of {len(part.vertices)} vertices with NaN or infinite {label}, expected finite "
                "numbers. Repair the mesh where it was made."
            )
    return part


def _as_given(tm: trimesh.Trimesh, textures: Textures | None) -> Part:
    """The arrays of a mesh as trimesh has them: not placed, UVs from the bottom, colours of any depth."""
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
    part = Part(vertices, faces, normals, uvs=None, colors=None, image=None, factor=WHITE)
    visual: Any = tm.visual
    if visual.kind == "texture":
        read_material(part, visual.material, textures)
        part.uvs = _rows(visual.uv, vertices)
        attributes = visual.vertex_attributes
        part.colors = _rows(attributes.get("color", tm.vertex_attributes.get("color")), vertices)
    elif visual.kind == "vertex":
        part.colors = _rows(visual.vertex_colors, vertices)
    elif visual.kind == "face":
        part.colors = np.repeat(visual.face_colors, 3, axis=0)
        part.normals = None if normals is None else normals[faces.ravel()]
        part.vertices, part.faces = vertices[faces.ravel()], np.arange(faces.size).reshape(-1, 3)
    return part


def _place(part: Part, transform: np.ndarray) -> None:
    """Move a part to where ``transform [4, 4]`` puts it, its winding and its normals kept outward."""
    linear = transform[:3, :3]
    with np.errstate(all="ignore"):  # infinite positions are refused later
        part.vertices = part.vertices @ linear.T + transform[:3, 3]
    mirrored = np.linalg.det(linear) < 0
    if mirrored:
        part.faces = part.faces[:, ::-1]
    if part.normals is not None:
        # The cofactor matrix turns normals right under any scale, and flips them under a mirror as the winding was.
        cofactors = np.cross(linear[[1, 2, 0]], linear[[2, 0, 1]])
        normals = part.normals @ (-cofactors if mirrored else cofactors).T
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
        part.normals = normals if np.isfinite(normals).all() else None


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
    return np.hstack([array_to_linear(rgb) if srgb else rgb, alpha])
