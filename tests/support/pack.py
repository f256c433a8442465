"""The pack's nodes in this process, called as ComfyUI calls them."""

from __future__ import annotations

import importlib
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from tests.support.comfyui import enter_any
from tests.support.modules import load_pack

SIZE = 48
RASTERIZE = {
    "width": SIZE,
    "height": SIZE,
    "space": "camera",
    "mode": "auto",
    "tile_size": 32,
    "batch_size": 0,
    "backend": "auto",
    "layers": 1,
}
INTERPOLATE = {"attribute": "normal", "shading": "smooth", "encoding": "hunyuan3d", "background": "#ffffff"}
CAMERAS = {
    "preset": "hunyuan3d-2",
    "azimuths": "",
    "elevations": "",
    "weights": "",
    "views": 6,
    "projection": "orthographic",
    "ortho_scale": 1.2,
    "distance": 1.45,
    "fov": 49.13,
}


@lru_cache
def load_nodes() -> SimpleNamespace:
    """The nodes, the border between sockets and library, and the library as the nodes see it.

    Raises:
        NoComfyUIError: there is nothing that they could run in.
    """
    host = enter_any()
    name = load_pack("torch_rasterizer_pack").__name__
    nodes = importlib.import_module(f"{name}.nodes")
    parts = {
        "compat": "nodes.host.versions",
        "runtime": "nodes.host.runtime",
        "inspector": "nodes.host.inspector",
        "cameras": "rasterizer.cameras.camera",
        "mesh": "rasterizer.meshes.mesh",
        "samples": "rasterizer.meshes.sample_meshes",
        "need": "rasterizer.texturing.need",
        "selftest": "rasterizer.diagnostics.selftest",
    }
    borders = [importlib.import_module(f"{name}.nodes.host.{kind}") for kind in ("meshes", "cameras")]
    return SimpleNamespace(
        host=host,
        nodes={cls.GET_SCHEMA().node_id.removeprefix("TorchRaster"): cls for cls in nodes.NODES},
        **{part: importlib.import_module(f"{name}.{module}") for part, module in parts.items()},
        border=SimpleNamespace(**vars(borders[0]) | vars(borders[1])),
        management=importlib.import_module("comfy.model_management"),
    )


def run(pack: SimpleNamespace, node: str, **inputs: Any) -> tuple[Any, ...]:
    """Outputs of a node."""
    return pack.nodes[node].execute(**inputs).args


def rasterize(pack: SimpleNamespace, mesh: Any, **inputs: Any) -> tuple[Any, ...]:
    """Outputs of Rasterize: raster, face_ids, mask, depth."""
    return run(pack, "Rasterize", mesh=mesh, **{**RASTERIZE, **inputs})


def interpolate(pack: SimpleNamespace, raster: Any, **inputs: Any) -> tuple[Any, ...]:
    """Outputs of Interpolate Attributes: image, mask."""
    return run(pack, "Interpolate", raster=raster, **{**INTERPOLATE, **inputs})


def cameras(pack: SimpleNamespace, **inputs: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Outputs of Camera Views."""
    return run(pack, "Cameras", **{**CAMERAS, **inputs})


def draw(pack: SimpleNamespace, width: int = 40, height: int = 30, layers: int = 1) -> Any:
    """All that Rasterize gives ComfyUI for a torus, what the browser shows included."""
    mesh = run(pack, "LoadMesh", mesh_file="sample: torus")[0]
    size = {"width": width, "height": height, "layers": layers}
    return pack.nodes["Rasterize"].execute(mesh=mesh, **{**RASTERIZE, **size})


def color(pack: SimpleNamespace, raster: Any, attribute: str, encoding: str = "hunyuan3d") -> Any:
    """The same of Interpolate Attributes."""
    chosen = {"attribute": attribute, "encoding": encoding}
    return pack.nodes["Interpolate"].execute(raster=raster, **{**INTERPOLATE, **chosen})


def settle(pack: SimpleNamespace) -> None:
    """Wait until everything is written that the inspector was given."""
    if pack.inspector._pool is not None:
        pack.inspector._pool.shutdown()
        pack.inspector._pool = None
