"""ComfyUI's own Render Mesh node, which casts rays, as the benchmark's measure of what is there without this pack."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_MODULE = "comfy_extras.nodes_mesh_postprocess"


def reason_against() -> str:
    """Why there is no such node here; empty if there is."""
    try:
        return "" if hasattr(importlib.import_module(_MODULE), "RenderMesh") else "this ComfyUI has no RenderMesh"
    except ModuleNotFoundError as error:
        return f"not inside a ComfyUI that has it ({error})"
    except Exception as error:
        return f"does not import: {type(error).__name__}: {error}"


def bare_call(
    vertices: Tensor, faces: Tensor, position: tuple[float, float, float], fov: float, size: int
) -> Callable[[], Tensor]:
    """Render the normals of a mesh from ``position``, looking at the origin; the result is the mask ``[H, W]``."""
    node = importlib.import_module(_MODULE).RenderMesh
    mesh = importlib.import_module("comfy_api.latest").Types.MESH(vertices[None], faces[None])
    eye = dict(zip("xyz", position, strict=True))
    camera: dict[str, Any] = {"position": eye, "target": {"x": 0.0, "y": 0.0, "z": 0.0}, "fov": fov, "zoom": 1.0}
    return lambda: node.execute(mesh, "normal", size, size, "#000000", None, camera).result[1][0]


def find_comfyui(device: torch.device) -> None:
    """Make ComfyUI's modules importable, without its server: where this pack lies in its ``custom_nodes``, or where the
    path names it."""
    places = [*map(Path, sys.path), *Path(__file__).resolve().parents]
    root = next((str(place) for place in places if (place / "comfy_extras").is_dir()), None)
    if root is None:
        return
    if sys.path[0] != root:
        sys.path.insert(0, root)  # before the pack's own folder, whose "nodes" would stand in for ComfyUI's
    if device.type == "cpu":
        importlib.import_module("comfy.cli_args").args.cpu = True  # it would look for a GPU and raise
