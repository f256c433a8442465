"""Load Mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..rasterizer.meshes.files import SUPPORTED_SUFFIXES, load_mesh
from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.meshes.sample_meshes import SAMPLES, sample_mesh
from ..rasterizer.meshes.trimesh_objects import to_trimesh
from ..rasterizer.runtime.log import log
from ..rasterizer.runtime.safe_names import relative_parts, shortened
from .host import inputs, versions
from .host.files3d import allowed_folders, is_file_3d
from .host.meshes import read_meshes, write_mesh

_SAMPLE = "sample: "


class LoadMeshNode(io.ComfyNode):
    """A mesh file of ComfyUI's input folder, or a built-in sample."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterLoadMesh",
            display_name="Load Mesh",
            category=inputs.CATEGORY,
            description="Loads a triangle mesh (GLB, GLTF, OBJ, STL, PLY, OFF) with its UVs, vertex colours "
            "and base-colour texture, or a built-in sample that needs no file.",
            search_aliases=["load 3d", "import glb", "load obj", "load model", "file 3d to mesh", "hunyuan3d"],
            inputs=[
                inputs.file_choice(
                    "mesh_file",
                    [_SAMPLE + name for name in SAMPLES] + _mesh_files(),
                    "A built-in sample, or a file in ComfyUI's input or input/3d folder; uploads go to input/3d.",
                ),
                *inputs.file_3d_inputs(
                    "A 3D file from another node, such as Load 3D, Tripo, Meshy, Rodin or Hunyuan3D; connected, it is "
                    "loaded instead of mesh_file. GLB, GLTF, OBJ, STL or PLY."
                ),
            ],
            outputs=[
                *inputs.mesh_outputs(
                    "For ComfyUI's mesh nodes and ours.", for_others="The same for the Hunyuan3D packs."
                ),
                io.String.Output(display_name="info", tooltip="What was loaded, in words, and what was left out."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, mesh_file: str) -> bool | str:
        """Accept files added since the list was made; name the missing ones."""
        try:
            _resolve(mesh_file)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, mesh_file: str) -> str:
        """Reload when the file has changed."""
        path = _resolve(mesh_file)
        if path is None:
            return mesh_file
        status = path.stat()
        return f"{mesh_file} {status.st_mtime_ns} {status.st_size}"

    @classmethod
    def execute(cls, mesh_file: str, **files: Any) -> io.NodeOutput:
        """Load; ``files`` has ``model_3d`` where it is connected."""
        warnings: list[str] = []
        given = "model_3d" in files
        mesh = _load_file_3d(files["model_3d"], warnings) if given else _load_named(mesh_file, warnings)
        for text in warnings:
            log.warning(text)
        if warnings:
            versions.show_text("\n".join(warnings), cls)
        return io.NodeOutput(write_mesh(mesh), to_trimesh(mesh), "\n".join([_describe(mesh), *warnings]))


def _load_named(mesh_file: str, warnings: list[str]) -> Mesh:
    path = _resolve(mesh_file)
    if path is None:
        return sample_mesh(mesh_file.removeprefix(_SAMPLE))
    return load_mesh(path, lambda text: warnings.append(text.replace(str(path), path.name)))


def _load_file_3d(value: Any, warnings: list[str]) -> Mesh:
    if value is not None and not is_file_3d(value):
        raise ValueError(f"model_3d: is a {type(value).__name__}, expected a 3D file, such as Load 3D gives")
    (mesh,) = read_meshes(value, "model_3d", warnings.append)
    return mesh


def _mesh_files() -> list[str]:
    """Mesh files of the input folder itself and, at any depth, of its subfolder 3d; relative, with forward slashes."""
    root = Path(folder_paths.get_input_directory())
    found = [*root.glob("*"), *(root / "3d").rglob("*")]
    return sorted(path.relative_to(root).as_posix() for path in found if path.suffix.lower() in SUPPORTED_SUFFIXES)


def _resolve(mesh_file: str) -> Path | None:
    """The file's path, None for a sample.

    Raises:
        ValueError: no such sample or file, or a path outside ComfyUI's input, output and temp folders.
    """
    if not isinstance(mesh_file, str):
        raise ValueError(f"mesh_file: is {type(mesh_file).__name__}, expected the name of a mesh file or of a sample")
    shown = shortened(mesh_file)
    if mesh_file.startswith(_SAMPLE):
        if mesh_file.removeprefix(_SAMPLE) not in SAMPLES:
            raise ValueError(
                f"mesh_file: no sample {shown!r}, expected one of {', '.join(_SAMPLE + s for s in SAMPLES)}"
            )
        return None
    name, folder = folder_paths.annotated_filepath(mesh_file)
    folders = allowed_folders()
    # What the client has sent is looked at as text first: on Windows, resolving a path may connect to a server.
    for allowed in folders:
        start = allowed.as_posix().rstrip("/") + "/"
        if folder is None and name.replace("\\", "/").startswith(start):
            name, folder = name[len(start) :], str(allowed)
    try:
        path = Path(folder or folders[0], *relative_parts(name)).resolve()
        outside = "" if any(path.is_relative_to(root.resolve()) for root in folders) else "is a link"
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        outside = str(error)
    if outside:
        raise ValueError(f"mesh_file: {shown!r} lies outside ComfyUI's input, output and temp folders: it {outside}")
    try:
        found = path.is_file()
    except OSError:  # a name longer than any file's
        found = False
    if not found:
        other = " (any, such as a sample, if model_3d is connected)" if versions.file_3d_types() else ""
        raise ValueError(f"mesh_file: no file {shown!r} in ComfyUI's input folder; upload it or choose another{other}")
    return path


def _describe(mesh: Mesh) -> str:
    """What a mesh is; its name is the one in the file, which may be another than the file's."""
    low, high = mesh.bounds()
    size = " x ".join(f"{side:.3g}" for side in (high - low).tolist())
    texture = mesh.texture
    parts = [
        f"{mesh.name}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces, size {size}",
        "UVs" if mesh.uvs is not None else "no UVs",
        "vertex colours" if mesh.vertex_colors is not None else "no vertex colours",
        f"texture {texture.shape[1]} x {texture.shape[0]}" if texture is not None else "no texture",
        *(text for text, there in _others(mesh) if there),
    ]
    return ", ".join(parts)


def _others(mesh: Mesh) -> list[tuple[str, bool]]:
    return [
        ("metallic-roughness", mesh.metallic_roughness is not None),
        ("occlusion", mesh.occlusion_in_mr),
        ("normal map", mesh.normal_map is not None),
    ]
