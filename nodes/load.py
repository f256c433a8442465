"""Load Mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..rasterizer.meshes.files import load_mesh
from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.meshes.sample_meshes import SAMPLES, sample_mesh
from ..rasterizer.meshes.trimesh_objects import to_trimesh
from ..rasterizer.runtime.log import log
from ..rasterizer.runtime.safe_names import shortened
from .host import inputs, versions
from .host.files3d import is_file_3d
from .host.mesh_files import NO_FOLDER, file_at, files_of, find_file, mesh_files, mesh_folders
from .host.meshes import read_meshes, write_mesh

_SAMPLE = "sample: "
_LATER = object()


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
                    [_SAMPLE + name for name in SAMPLES] + mesh_files(),
                    "A built-in sample, or a file in ComfyUI's input or input/3d folder; uploads go to input/3d.",
                ),
                *inputs.file_3d_inputs(
                    "A 3D file from another node, such as Load 3D, Tripo, Meshy, Rodin or Hunyuan3D; connected, it is "
                    "loaded instead of mesh_file. GLB, GLTF, OBJ, STL or PLY."
                ),
                inputs.choice(
                    "folder",
                    [NO_FOLDER, *mesh_folders()],
                    "A folder in ComfyUI's input folder, of whose mesh files one is loaded instead of mesh_file: the "
                    "one at index. Folders in input/3d are listed.",
                    optional=True,
                ),
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=1_000_000,
                    control_after_generate=True,
                    optional=True,
                    tooltip="Which mesh of the folder, counted from 0, by name. Set it to increment, and the number of "
                    "runs to how many meshes there are: each run loads the next one. An index after the last mesh is "
                    "refused, so that no mesh is done twice.",
                ),
            ],
            outputs=[
                *inputs.mesh_outputs(
                    "For ComfyUI's mesh nodes and ours.", for_others="The same for the Hunyuan3D packs."
                ),
                io.String.Output(display_name="info", tooltip="What was loaded, in words, and what was left out."),
                io.String.Output(display_name="name", tooltip="What the file is called, without suffix."),
                io.Int.Output(display_name="count", tooltip="How many meshes the folder has; 1 without a folder."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, mesh_file: Any = _LATER, folder: Any = NO_FOLDER, index: Any = _LATER) -> bool | str:
        """Accept files added since the list was made; name the missing ones. What other nodes give is not known yet."""
        try:
            if folder == NO_FOLDER:
                if mesh_file is not _LATER:
                    _resolve(mesh_file)
            elif index is _LATER:
                files_of(folder)
            else:
                file_at(folder, index)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, mesh_file: str = "", folder: str = NO_FOLDER, **others: Any) -> str:
        """Reload when the file has changed, or any of the folder: which one is at an index depends on all."""
        path = _resolve(mesh_file) if folder == NO_FOLDER else None
        paths = [path] if path else [] if folder == NO_FOLDER else files_of(folder)
        states = [(each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in paths]
        return f"{mesh_file} {folder} {states}"

    @classmethod
    def execute(cls, mesh_file: str, folder: str = NO_FOLDER, index: int = 0, **files: Any) -> io.NodeOutput:
        """Load; ``files`` has ``model_3d`` where it is connected."""
        warnings: list[str] = []
        count = 1
        if "model_3d" in files:
            mesh = _load_file_3d(files["model_3d"], warnings)
        elif folder == NO_FOLDER:
            mesh = _load_named(_resolve(mesh_file), mesh_file, warnings)
        else:
            path, count = file_at(folder, index)
            mesh = _load_named(path, "", warnings)
        for text in warnings:
            log.warning(text)
        if warnings:
            versions.show_text("\n".join(warnings), cls)
        about = "\n".join([_describe(mesh), *warnings])
        return io.NodeOutput(write_mesh(mesh), to_trimesh(mesh), about, mesh.source or mesh.name, count)


def _load_named(path: Path | None, sample: str, warnings: list[str]) -> Mesh:
    if path is None:
        return sample_mesh(sample.removeprefix(_SAMPLE))
    return load_mesh(path, lambda text: warnings.append(text.replace(str(path), path.name)))


def _load_file_3d(value: Any, warnings: list[str]) -> Mesh:
    if value is not None and not is_file_3d(value):
        raise ValueError(f"model_3d: is a {type(value).__name__}, expected a 3D file, such as Load 3D gives")
    (mesh,) = read_meshes(value, "model_3d", warnings.append)
    return mesh


def _resolve(mesh_file: str) -> Path | None:
    """The file's path, None for a sample.

    Raises:
        ValueError: no such sample or file, or a path outside ComfyUI's input, output and temp folders.
    """
    if not isinstance(mesh_file, str):
        raise ValueError(f"mesh_file: is {type(mesh_file).__name__}, expected the name of a mesh file or of a sample")
    if not mesh_file.startswith(_SAMPLE):
        return find_file(mesh_file)
    if mesh_file.removeprefix(_SAMPLE) not in SAMPLES:
        shown = shortened(mesh_file)
        raise ValueError(f"mesh_file: no sample {shown!r}, expected one of {', '.join(_SAMPLE + s for s in SAMPLES)}")
    return None


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
