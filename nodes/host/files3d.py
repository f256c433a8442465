"""ComfyUI's 3D files (``FILE_3D`` and its kinds, since 0.12): read as meshes, and made of what was saved.

A file is on disk or in memory. Which it is, is asked of the value itself, whatever class has made it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import folder_paths

from ...rasterizer.meshes.files import load_mesh_data
from ...rasterizer.meshes.mesh import Mesh
from ...rasterizer.runtime.log import log
from .values import named


@dataclass(frozen=True)
class _Loaded:
    """A mesh that was read, and what was said then.

    Attributes:
        state: of the file on disk, which may change.
    """

    state: tuple[Any, ...]
    mesh: Mesh
    warnings: list[str] = field(default_factory=list)


_loaded: WeakKeyDictionary[Any, _Loaded] = WeakKeyDictionary()
"""Of files that are still on a socket: many nodes read the same one."""


def allowed_folders() -> list[Path]:
    """ComfyUI's input, output and temp folders: the only ones that files are read from by name."""
    return [
        Path(folder_paths.get_input_directory()),
        Path(folder_paths.get_output_directory()),
        Path(folder_paths.get_temp_directory()),
    ]


def is_file_3d(value: Any) -> bool:
    """Whether a value came from a FILE_3D socket."""
    return all(hasattr(value, name) for name in ("get_bytes", "get_source", "is_disk_backed", "format"))


def read_file_3d(value: Any, name: str, on_warning: Callable[[str], None] | None = None) -> Mesh:
    """The mesh of a 3D file, read once while the file is on a socket.

    Of a file on disk, those beside it are read as :func:`~rasterizer.meshes.files.load_mesh` does if it lies in one of
    ComfyUI's folders; of one in memory, nothing else is.

    Args:
        value: ComfyUI's ``File3D``.
        name: of the input, for messages.
        on_warning: told of what was left out; None is a warning in the log when the file is read.

    Raises:
        ValueError: it cannot be read, or is of a format that is not read.
    """
    path = Path(value.get_source()).resolve() if value.is_disk_backed else None
    try:
        status = path.stat() if path else None
        state = (path, status.st_mtime_ns, status.st_size) if status else ()
        found = _loaded.get(value)
        if found is None or found.state != state:
            warnings: list[str] = []
            found = _loaded[value] = _Loaded(state, _load(value, path, name, warnings.append), warnings)
            for text in () if on_warning else warnings:
                log.warning(text)
    except OSError as error:
        raise ValueError(
            f"{name}: the 3D file {path.name if path else ''} cannot be read ({error.strerror}); run the node before "
            "again"
        ) from error
    for text in found.warnings if on_warning else ():
        on_warning(text)
    return found.mesh


def _load(value: Any, path: Path | None, name: str, on_warning: Callable[[str], None]) -> Mesh:
    inside = path is not None and any(path.is_relative_to(folder.resolve()) for folder in allowed_folders())
    suffix = f".{str(value.format).lower().lstrip('.')}"

    def warn(text: str) -> None:
        on_warning(text.replace(str(path), path.name) if path else text)  # clients need not know of folders

    with named(name):
        return load_mesh_data(value.get_bytes(), suffix, path.stem if path else "", path if inside else None, warn)
