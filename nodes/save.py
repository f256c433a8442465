"""Save Mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..rasterizer.mesh_io import SAVED_SUFFIXES, save_mesh
from ..rasterizer.validation import check_choice
from . import compat
from .border import read_meshes
from .runtime import Progress

_FORMATS = tuple(suffix[1:] for suffix in SAVED_SUFFIXES)


class SaveMeshNode(io.ComfyNode):
    """Meshes as files in ComfyUI's output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return compat.schema(
            node_id="TorchRasterSaveMesh",
            display_name="Save Mesh",
            category=compat.TEXTURING,
            description="Saves a mesh with its textures to ComfyUI's output folder. Connect 'path' to Preview 3D.",
            search_aliases=["export glb", "save obj", "Hy3DExportMesh", "save 3d"],
            inputs=[
                compat.mesh_input("What to save. A batch makes a file for each mesh."),
                io.String.Input(
                    "filename_prefix",
                    default="3d/torch_raster",
                    tooltip="Folder and name below ComfyUI's output folder; a number and the suffix follow.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(_FORMATS),
                    default=_FORMATS[0],
                    tooltip="glb: everything in one file. obj: with a material file and pictures beside it. ply: "
                    "colours at the vertices, no texture. stl: the shape only.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="path",
                    is_output_list=True,
                    tooltip="The file, relative to ComfyUI's output folder, for Preview 3D. One for each mesh.",
                )
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, mesh: Any, filename_prefix: str, format: str) -> io.NodeOutput:
        """Save every mesh."""
        check_choice(format, _FORMATS, "format")
        meshes = read_meshes(mesh)
        progress = Progress(len(meshes))
        saved = []
        for item in meshes:
            target = _target(filename_prefix, format)
            save_mesh(item, target)
            saved.append(target.relative_to(_output()))
            progress.next_stage()
        shown = [{"filename": path.name, "subfolder": _posix(path.parent), "type": "output"} for path in saved]
        return io.NodeOutput([path.as_posix() for path in saved], ui={"3d": shown})


def _output() -> Path:
    return Path(folder_paths.get_output_directory()).resolve()


def _posix(folder: Path) -> str:
    return "" if folder == Path() else folder.as_posix()


def _target(prefix: str, suffix: str) -> Path:
    """The next free name.

    Raises:
        ValueError: it would lie outside the output folder.
    """
    output = _output()
    # ComfyUI fills in %date% and the like only below, but these bring in no folders above.
    wanted = (output / prefix.strip().replace("\\", "/")).resolve()
    if not wanted.is_relative_to(output) or wanted == output:
        raise ValueError(f"filename_prefix: {prefix!r} lies outside ComfyUI's output folder, expected a place in it")
    folder, name, counter, *_ = folder_paths.get_save_image_path(prefix.strip(), str(output))
    target = Path(folder).resolve() / f"{name}_{counter:05}_.{suffix}"
    if not target.is_relative_to(output):
        raise ValueError(f"filename_prefix: {prefix!r} lies outside ComfyUI's output folder, expected a place in it")
    return target
