"""The one place that knows about ComfyUI versions (0.3.64 and newer)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

CATEGORY = "Torch Rasterizer"
TEXTURING = f"{CATEGORY}/texturing"

# Sockets of our own, and those of other packs that have no class in ComfyUI.
TriMesh = io.Custom("TRIMESH")
RasterSocket = io.Custom("RASTER")
HierarchySocket = io.Custom("GRID_HIERARCHY")
Camera = io.Custom("LOAD3D_CAMERA")
Hy3dCamera = io.Custom("HY3DCAMERA")
Hy3d21Camera = io.Custom("HY3D21CAMERA")


def schema(**values: Any) -> io.Schema:
    """An ``io.Schema`` from what the running version knows; an unknown field would cost the whole pack."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in values.items() if name in known})


def mesh_input(tooltip: str, optional: bool = False) -> io.MultiType.Input:
    """An input that takes ComfyUI's meshes and those of the Hunyuan3D packs."""
    return io.MultiType.Input("mesh", types=[io.Mesh, TriMesh], optional=optional, tooltip=tooltip)


def cameras_input(tooltip: str, optional: bool) -> io.MultiType.Input:
    """An input that takes every kind of camera."""
    return io.MultiType.Input("cameras", types=[Camera, Hy3dCamera, Hy3d21Camera], optional=optional, tooltip=tooltip)


def combo(name: str, options: Sequence[str], tooltip: str, **extra: Any) -> io.Combo.Input:
    """A choice whose definition tells the browser more than ComfyUI asks for; the first option is the default."""
    made = io.Combo.Input(name, options=list(options), default=options[0], tooltip=tooltip)
    made.extra_dict = extra  # no argument in 0.3.64
    return made


def upload_combo(name: str, options: Sequence[str], tooltip: str) -> io.Combo.Input:
    """A choice of files with the marks by which frontends that can offer an upload of 3D files."""
    return combo(name, options, tooltip, file_upload=True, mesh_upload=True, upload_subfolder="3d")


def new_mesh(vertices: Any, faces: Any, **attributes: Any) -> Any:
    """ComfyUI's MESH with attributes that its version may not have in the constructor yet."""
    try:
        from comfy_api.latest import Types

        mesh = Types.MESH(vertices, faces)
    except (ImportError, AttributeError):  # before 0.3.71
        from comfy_extras.nodes_hunyuan3d import MESH

        mesh = MESH(vertices, faces)
    for name, value in attributes.items():
        setattr(mesh, name, value)
    return mesh


def show_text(text: str, node_id: str | None) -> None:
    """Show text on a node while and after it runs; clients without a screen simply do not get it."""
    if node_id is None:
        return
    try:
        from server import PromptServer

        # Some frontends show it as Markdown, where only two spaces before the line's end keep the break.
        PromptServer.instance.send_progress_text(text.replace("\n", "  \n"), node_id)
    except (ImportError, AttributeError):  # no server: the nodes are run by another host
        pass


def somebody_watches() -> bool:
    """Whether the running prompt came from a client that gets messages: the browser, or a script that named itself."""
    try:
        from server import PromptServer

        return PromptServer.instance.client_id is not None
    except (ImportError, AttributeError):  # no server: the nodes are run by another host
        return False
