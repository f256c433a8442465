"""Save Mesh."""

from __future__ import annotations

import os
import posixpath
import re
import time
from itertools import count
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..rasterizer.contract.checks import check_choice
from ..rasterizer.meshes.files import SAVED_SUFFIXES, save_mesh, saved_files
from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.runtime.safe_names import check_new, is_reserved, relative_parts, shortened
from .host import inputs, versions
from .host.meshes import read_meshes
from .host.runtime import CPU, Progress, for_each

_FORMATS = tuple(suffix[1:] for suffix in SAVED_SUFFIXES)


class SaveMeshNode(io.ComfyNode):
    """Meshes as files in ComfyUI's output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterSaveMesh",
            display_name="Save Mesh",
            category=inputs.TEXTURING,
            description="Saves a mesh with its textures to ComfyUI's output folder. Connect 'path' to Preview 3D.",
            search_aliases=["export glb", "save obj", "Hy3DExportMesh", "save 3d"],
            inputs=[
                inputs.mesh_input("What to save. A batch makes a file for each mesh."),
                io.String.Input(
                    "filename_prefix",
                    default="3d/torch_raster",
                    tooltip="Folder and name below ComfyUI's output folder; a number and the suffix follow. "
                    "%source% is what the mesh's file is called: 3d/%source% names results after their meshes.",
                ),
                inputs.choice(
                    "format",
                    _FORMATS,
                    tooltip="glb: everything in one file. obj: with a material file and pictures beside it. ply: "
                    "colours at the vertices, no texture. stl: the shape only.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="path",
                    is_output_list=True,
                    tooltip="The file, relative to ComfyUI's output folder, for Preview 3D. One for each mesh.",
                ),
                inputs.File3D.Output(
                    display_name="model_3d",
                    is_output_list=True,
                    tooltip="The same file for nodes that take a 3D file, such as Preview 3D (Advanced) and 3D "
                    "services. Empty in versions of ComfyUI that have no such nodes.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, mesh: Any, filename_prefix: str, format: str) -> io.NodeOutput:
        """Save every mesh."""
        check_choice(format, _FORMATS, "format")
        filename_prefix = _with_dates(filename_prefix)
        _check_prefix(filename_prefix, format)  # also where nothing can be read
        meshes = read_meshes(mesh)
        prefixes = [_with_source(filename_prefix, item) for item in meshes]
        for prefix in prefixes:
            _check_prefix(prefix, format)

        def save(mesh: Mesh, prefix: str, progress: Progress) -> list[Path]:
            return save_mesh(mesh, _target(prefix, format, mesh))

        saved = for_each(save, meshes, prefixes, device=CPU)
        places = [[path.relative_to(_output()) for path in files] for files in saved]
        # The frontend shows the first file; clients of the server download all.
        listed = [files[0] for files in places] + [path for files in places for path in files[1:]]
        shown = [{"filename": path.name, "subfolder": _posix(path.parent), "type": "output"} for path in listed]
        files_3d = [versions.new_file_3d(str(files[0])) for files in saved]
        return io.NodeOutput([files[0].as_posix() for files in places], files_3d, ui={"3d": shown})


def _output() -> Path:
    return Path(folder_paths.get_output_directory()).resolve()


def _posix(folder: Path) -> str:
    return "" if folder == Path() else folder.as_posix()


_DATE_PARTS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "hh": "%H", "mm": "%M", "ss": "%S"}


def _with_dates(prefix: str) -> str:
    """The prefix with ``%date:yyyy-MM-dd%`` and the like filled in, which ComfyUI's frontend does for its own nodes."""
    now = time.localtime()

    def fill(match: re.Match[str]) -> str:
        parts = "|".join(_DATE_PARTS)
        return re.sub(parts, lambda part: time.strftime(_DATE_PARTS[part[0]], now), match[1])

    return re.sub("%date:([^%]*)%", fill, prefix)


_SOURCE = "%source%"
_LONGEST = 150  # bytes: with what else is in the prefix, number and suffix, a name of any system


def _with_source(prefix: str, mesh: Mesh) -> str:
    """The prefix with what a mesh came from filled in, as one plain name: a stranger may have chosen it."""
    called = re.sub(r'[<>:"/\\|?*%\x00-\x1f]', "_", mesh.source or mesh.name)
    called = called.encode("utf-8", "replace")[:_LONGEST].decode(errors="ignore").strip(". ") or "mesh"
    return prefix.replace(_SOURCE, f"_{called}" if is_reserved(called) else called)


def _check_prefix(prefix: str, suffix: str) -> None:
    """Look at the text alone: on Windows, already resolving a path may connect to a server.

    Raises:
        ValueError: no file of that name can be made in the output folder.
    """
    plain = prefix.strip().replace("\\", "/")
    for output in {Path(folder_paths.get_output_directory()), _output()}:
        plain = plain.removeprefix(output.as_posix().rstrip("/") + "/")
    try:
        parts = relative_parts(plain if plain.startswith("/") else posixpath.normpath(plain))
        check_new((*parts[:-1], f"{parts[-1]}_{0:05}_.{suffix}"))
    except ValueError as error:
        raise ValueError(
            f"filename_prefix: {shortened(prefix)!r} lies outside ComfyUI's output folder, or no file can have that "
            f"name: it {error}. Choose a folder and a name such as 3d/statue."
        ) from None


def _target(prefix: str, suffix: str, mesh: Mesh) -> Path:
    """The next name for which none of the files is there.

    Raises:
        ValueError: it would lie outside the output folder.
    """
    output = _output()
    outside = f"filename_prefix: {shortened(prefix)!r} lies outside ComfyUI's output folder, expected a place in it"
    try:
        # ComfyUI fills in %date% and the like only below, but none of those brings in folders above.
        wanted = (output / prefix.strip().replace("\\", "/")).resolve()
        if not wanted.is_relative_to(output) or wanted == output:
            raise ValueError(outside)
        folder, name, counter, *_ = folder_paths.get_save_image_path(prefix.strip(), str(output))
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise ValueError(
            f"filename_prefix: {shortened(prefix)!r} has a folder that cannot be made or read: {error}"
        ) from error
    # ComfyUI's counter looks only at files with this very prefix.
    names = (Path(folder).resolve() / f"{name}_{number:05}_.{suffix}" for number in count(counter))
    target = next(path for path in names if not any(map(os.path.lexists, saved_files(mesh, path))))
    if not target.is_relative_to(output):
        raise ValueError(outside)
    return target
