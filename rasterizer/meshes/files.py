"""Mesh files, read and written: the front of this room."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..contract.checks import as_tensor, check_faces
from ..pictures.colors import linear_to_srgb, srgb_to_linear
from ..pictures.sampling import sample_texture
from ..pictures.untrusted import TextureFile
from ..runtime.files import write_atomically
from ..runtime.log import log
from ..runtime.safe_names import check_new, relative_parts, shortened
from .folder import MeshFolder, resolver
from .formats import SAVED_SUFFIXES, SUPPORTED_SUFFIXES, unreadable
from .gltf.header import prepare_gltf
from .gltf.write import with_integers
from .headers import check_ply, check_stl
from .mesh import Mesh
from .mtl import read_maps
from .obj import files_beside, prepare_obj, save_obj
from .off import read_off
from .texts import one_line, to_utf8
from .textures import Textures
from .trimesh_objects import assemble, from_trimesh, to_glb, to_trimesh

if TYPE_CHECKING:
    import trimesh

__all__ = [
    "SAVED_SUFFIXES",
    "SUPPORTED_SUFFIXES",
    "from_trimesh",
    "load_mesh",
    "load_mesh_data",
    "save_mesh",
    "saved_files",
    "to_trimesh",
]

_GLTF_SUFFIXES = (".glb", ".gltf")


def load_mesh(path: str | Path, on_warning: Callable[[str], None] | None = None) -> Mesh:
    """Read a mesh file as one mesh, its scene flattened, every instance placed by its node transforms.

    Of the files that it refers to, only regular ones in its own folder or below are opened, and no link is followed.
    A texture or a material elsewhere is left out, with a warning in the log; without its data no mesh is made.

    Vertices stay as the file has them, polygons are triangulated, faces that repeat a vertex are dropped. Colours of
    vertices are linear in glTF and taken as sRGB in other formats. Several textures become one atlas. Base-colour
    factors are multiplied into it, or become vertex colours where the file has no texture at all.

    The mesh is called as the file calls all its meshes, or the only root of its scene, or else as the file is called;
    the material likewise, if all parts have one.

    Args:
        path: a file with one of ``SUPPORTED_SUFFIXES``.
        on_warning: told of what is left out, such as a texture that is not there; None is a warning in the log.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: another suffix, an unreadable file, no triangles, coordinates that are NaN or infinite, or more than
            the limits allow (:mod:`rasterizer.runtime.limits`): reading takes at most 256 MiB, 40 times the size of the
            file and those it refers to, of which what is compressed counts 16 times, and 16 bytes for each texel of its
            pictures, or of the texture where that has more, because it repeats them.
    """
    path = Path(path)
    where = f"mesh file {path}"
    suffix = _readable(path.suffix, where)
    if not path.is_file():
        raise FileNotFoundError(f"{where}: found no such file, expected a {suffix} file.")
    return _load(path.read_bytes, suffix, path, where, on_warning)


def load_mesh_data(
    data: bytes, suffix: str, name: str = "", path: Path | None = None, on_warning: Callable[[str], None] | None = None
) -> Mesh:
    """As :func:`load_mesh`, from the bytes of a file.

    Args:
        data: what is in the file.
        suffix: one of ``SUPPORTED_SUFFIXES``.
        name: what to call the mesh in messages, and where the data say nothing.
        path: where the file is, if the files beside it may be read; None if nothing may.
        on_warning: as for :func:`load_mesh`.

    Raises:
        ValueError: as :func:`load_mesh`.
    """
    where = f"mesh data{f' {name!r}' if name else ''}"
    suffix = _readable(suffix, where)
    return _load(lambda: data, suffix, path, where, on_warning, name)


def _readable(suffix: str, where: str) -> str:
    if suffix.lower() not in SUPPORTED_SUFFIXES:
        raise ValueError(f"{where}: {unreadable(suffix)}")
    return suffix.lower()


def _load(
    get: Callable[[], bytes],
    suffix: str,
    path: Path | None,
    where: str,
    on_warning: Callable[[str], None] | None,
    name: str = "",
) -> Mesh:
    warnings: dict[str, None] = {}  # each once
    textures = Textures()
    try:
        read = _read(get(), suffix, MeshFolder(path), textures, lambda text: warnings.setdefault(text))
    except Exception as error:  # what the parsers of trimesh raise on damaged files is not limited to any class
        what = "not enough memory" if isinstance(error, MemoryError) else one_line(f"{type(error).__name__}: {error}")
        raise ValueError(
            f"{where}: not readable as {suffix} ({what}). Expected a complete file "
            "and beside it the files it refers to; export it again, or as GLB."
        ) from error
    for text in warnings:
        (on_warning or log.warning)(f"{path or where} {one_line(text)}.")
    loaded, own_name, material = read
    source = name or (path.stem if path else "")
    mesh = assemble(loaded, own_name or source, where, suffix not in _GLTF_SUFFIXES, textures, material)
    return replace(mesh, source=source)


def _read(
    data: bytes, suffix: str, folder: MeshFolder, textures: Textures, warn: Callable[[str], None]
) -> tuple[trimesh.parent.Geometry, str, str]:
    """What trimesh makes of a file, its pictures replaced by stand-ins that ``textures`` knows; the mesh's own name,
    and that of the material where ``textures`` does not know it."""
    import trimesh

    name = material = ""
    if suffix == ".off":
        return read_off(data), name, material
    if suffix in _GLTF_SUFFIXES:
        data, name = prepare_gltf(data, folder, textures, warn)
    elif suffix == ".obj":
        data, name, material = prepare_obj(data)
    else:
        data = {".stl": check_stl, ".ply": check_ply}[suffix](data)
    asked: list[str] = []

    def get(name: str) -> bytes:
        asked.append(name)
        try:
            found = folder.read(name)
            if suffix in _GLTF_SUFFIXES:  # a buffer: the pictures are stand-ins already
                return found
            if suffix == ".obj" and len(asked) == 1:
                text, textures.maps = read_maps(to_utf8(found), picture)
                return text
            return textures.add(found)
        except FileNotFoundError as error:
            warn(f"refers to a file that is left out: {error}")
            raise
        except ValueError as error:  # trimesh goes on without it, and says nothing
            warn(f"refers to '{name}', which is left out: it {error}")
            raise

    def picture(name: str) -> TextureFile | None:
        try:
            return textures.take(folder.read(name))
        except (FileNotFoundError, ValueError) as error:
            warn(f"refers to a texture, '{name[:100]}', that is left out: {error}")
            return None

    # trimesh gets no path, from which it would read on its own account.
    stream, file_type = io.BytesIO(data), "glb" if data[:4] == b"glTF" else suffix[1:]
    loaded = trimesh.load(stream, file_type=file_type, resolver=resolver(get), force="scene", process=False)
    return loaded, name, material


def save_mesh(mesh: Mesh, path: str | Path, quantize: bool = False) -> list[Path]:
    """Write a mesh file; it appears complete or not at all.

    A file of this path is replaced. Of the files beside an OBJ file, only those that were written for it are.

    Args:
        mesh: what to write.
        path: with one of ``SAVED_SUFFIXES``; missing folders are made.

            * ``.glb``: everything, textures as PNG inside.
            * ``.obj``: with UVs, normals, colours, and beside it a ``.mtl`` and a PNG for each texture, called as the
              OBJ file where these names are free; without occlusion, which MTL has no word for.
            * ``.ply``: positions, normals and colours of vertices, which take the texture's where there is one.
            * ``.stl``: positions only.
        quantize: write positions, normals and UVs as integers of 16 bits, which takes half the bytes; GLB only. A
            position is off by 1/131068 of the longest side of the mesh's box at most, a UV by 1/131070; UVs outside
            0..1 stay floats. Programs must know KHR_mesh_quantization, as most viewers and engines do.

    Returns:
        The files that were written, the mesh file first.

    Raises:
        ValueError: another suffix, a name that not every system can have, a face of a vertex that is not there, or
            ``quantize`` where there are no integers to be had.
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
    if quantize and suffix != ".glb":
        raise ValueError(f"mesh file {path}: quantize is asked for with the suffix '{suffix}', expected .glb")
    if suffix == ".obj":
        return save_obj(mesh, path)
    if suffix == ".ply":
        mesh = replace(mesh, vertex_colors=_shown_colors(mesh), uvs=None)
    elif suffix == ".stl":
        mesh = Mesh(mesh.vertices, mesh.faces)
    options: dict[str, Any] = {"vertex_normal": mesh.normals is not None} if suffix == ".ply" else {}
    data: Any = (
        to_glb(mesh, path.stem) if suffix == ".glb" else to_trimesh(mesh).export(file_type=suffix[1:], **options)
    )
    if quantize:
        data = with_integers(data, mesh)
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
