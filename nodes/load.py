"""Load Mesh."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..rasterizer.meshes.files import SUPPORTED_SUFFIXES, load_mesh
from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.meshes.sample_meshes import SAMPLES, sample_mesh
from ..rasterizer.meshes.trimesh_objects import to_trimesh
from ..rasterizer.runtime.log import log
from ..rasterizer.runtime.safe_names import relative_parts, shortened
from .host import inputs, versions
from .host.meshes import write_mesh

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
            search_aliases=["hunyuan3d", "load 3d", "import glb", "load obj", "load model"],
            inputs=[
                inputs.file_choice(
                    "mesh_file",
                    [_SAMPLE + name for name in SAMPLES] + _mesh_files(),
                    "A built-in sample, or a file in ComfyUI's input or input/3d folder; uploads go to input/3d.",
                )
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
    def execute(cls, mesh_file: str) -> io.NodeOutput:
        """Load."""
        path = _resolve(mesh_file)
        warnings: list[str] = []

        def warn(text: str) -> None:
            log.warning(text)
            warnings.append(text.replace(str(path), path.name))

        mesh = sample_mesh(mesh_file.removeprefix(_SAMPLE)) if path is None else load_mesh(path, warn)
        if warnings:
            versions.show_text("\n".join(warnings), cls)
        return io.NodeOutput(write_mesh(mesh), to_trimesh(mesh), "\n".join([_describe(mesh), *warnings]))


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
    folders = [
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.get_temp_directory(),
    ]
    # What the client has sent is looked at as text first: on Windows, resolving a path may connect to a server.
    for allowed in folders:
        start = Path(allowed).as_posix().rstrip("/") + "/"
        if folder is None and name.replace("\\", "/").startswith(start):
            name, folder = name[len(start) :], allowed
    try:
        path = Path(folder or folders[0], *relative_parts(name)).resolve()
        outside = "" if any(path.is_relative_to(Path(root).resolve()) for root in folders) else "is a link"
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        outside = str(error)
    if outside:
        raise ValueError(f"mesh_file: {shown!r} lies outside ComfyUI's input, output and temp folders: it {outside}")
    try:
        found = path.is_file()
    except OSError:  # a name longer than any file's
        found = False
    if not found:
        raise ValueError(f"mesh_file: no file {shown!r} in ComfyUI's input folder; upload it or choose another")
    return path


def _describe(mesh: Mesh) -> str:
    low, high = mesh.bounds()
    size = " x ".join(f"{side:.3g}" for side in (high - low).tolist())
    texture = mesh.texture
    parts = [
        f"{mesh.name}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces, size {size}",
        "UVs" if mesh.uvs is not None else "no UVs",
        "vertex colours" if mesh.vertex_colors is not None else "no vertex colours",
        f"texture {texture.shape[1]} x {texture.shape[0]}" if texture is not None else "no texture",
    ]
    return ", ".join(parts)
