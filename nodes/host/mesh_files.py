"""Mesh files and folders of them in ComfyUI's folders, by the names that clients give them."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...rasterizer.meshes.files import SUPPORTED_SUFFIXES
from ...rasterizer.runtime.safe_names import relative_parts, shortened
from .files3d import allowed_folders
from .versions import file_3d_types

NO_FOLDER = "no folder"


def mesh_files() -> list[str]:
    """Mesh files of the input folder itself and, at any depth, of its subfolder 3d; relative, with forward slashes."""
    root = Path(folder_paths.get_input_directory())
    found = [*root.glob("*"), *(root / "3d").rglob("*")]
    return sorted(path.relative_to(root).as_posix() for path in found if path.suffix.lower() in SUPPORTED_SUFFIXES)


def mesh_folders() -> list[str]:
    """The folders below input that :func:`mesh_files` has files of."""
    return sorted({name.rpartition("/")[0] for name in mesh_files()} - {""})


def find_file(name: str) -> Path:
    """A mesh file by its name.

    Raises:
        ValueError: no such file, or a path outside ComfyUI's input, output and temp folders.
    """
    path = _place(name, "mesh_file")
    try:
        found = path.is_file()
    except OSError:  # a name longer than any file's
        found = False
    if not found:
        other = " (any, such as a sample, if model_3d is connected)" if file_3d_types() else ""
        raise ValueError(
            f"mesh_file: no file {shortened(name)!r} in ComfyUI's input folder; upload it or choose another{other}"
        )
    return path


def files_of(folder: str) -> list[Path]:
    """The mesh files that lie in a folder, not those in folders below, by name.

    Raises:
        ValueError: no such folder, none in it, or a path outside ComfyUI's input, output and temp folders.
    """
    place, shown = _place(folder, "folder"), shortened(folder)
    try:
        names = [path for path in place.iterdir() if path.suffix.lower() in SUPPORTED_SUFFIXES and path.is_file()]
    except OSError as error:
        raise ValueError(f"folder: no folder {shown!r} in ComfyUI's input folder: {error.strerror}") from None
    visible = [path for path in names if not path.name.startswith(".")]
    if not visible:
        raise ValueError(f"folder: {shown!r} has no mesh file in it, expected {' '.join(SUPPORTED_SUFFIXES)}")
    return sorted(visible, key=lambda path: (path.name.casefold(), path.name))


def file_at(folder: str, index: int) -> tuple[Path, int]:
    """The mesh file of a folder at an index, and how many there are.

    Raises:
        ValueError: as :func:`files_of`, or the index is none of 0 to one less than there are.
    """
    files = files_of(folder)
    if not 0 <= index < len(files):
        raise ValueError(
            f"index: is {index}, and the folder {shortened(folder)!r} has {len(files)} meshes, expected 0 to "
            f"{len(files) - 1}. After the last one nothing is left to do; to begin anew, set index to 0"
        )
    return _inside(files[index], shortened(f"{folder}/{files[index].name}"), "folder"), len(files)


def _place(text: str, what: str) -> Path:
    if not isinstance(text, str):
        raise ValueError(f"{what}: is {type(text).__name__}, expected the name of a file or folder")
    name, folder = folder_paths.annotated_filepath(text)
    folders = allowed_folders()
    # What the client has sent is looked at as text first: on Windows, resolving a path may connect to a server.
    for allowed in folders:
        start = allowed.as_posix().rstrip("/") + "/"
        if folder is None and name.replace("\\", "/").startswith(start):
            name, folder = name[len(start) :], str(allowed)
    try:
        parts = relative_parts(name)
    except ValueError as error:
        raise _outside(shortened(text), what, str(error)) from None
    return _inside(Path(folder or folders[0], *parts), shortened(text), what)


def _inside(path: Path, shown: str, what: str) -> Path:
    """The path without links, if that lies in one of ComfyUI's folders."""
    try:
        path = path.resolve()
        reason = "" if any(path.is_relative_to(root.resolve()) for root in allowed_folders()) else "is a link"
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        reason = str(error)
    if reason:
        raise _outside(shown, what, reason)
    return path


def _outside(shown: str, what: str, reason: str) -> ValueError:
    return ValueError(f"{what}: {shown!r} lies outside ComfyUI's input, output and temp folders: it {reason}")
