"""What the definitions of several nodes share: categories, sockets, inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from .versions import file_3d_types, with_extras

CATEGORY = "Torch Rasterizer"
TEXTURING = f"{CATEGORY}/texturing"

# Sockets of the pack's own, and those of other packs that have no class in ComfyUI.
TriMesh = io.Custom("TRIMESH")
RasterSocket = io.Custom("RASTER")
HierarchySocket = io.Custom("GRID_HIERARCHY")
ViewGrid = io.Custom("VIEW_GRID")
File3D = io.Custom("FILE_3D")  # whose class ComfyUI has only since 0.12
Camera = io.Custom("LOAD3D_CAMERA")
Hy3dCamera = io.Custom("HY3DCAMERA")
Hy3d21Camera = io.Custom("HY3D21CAMERA")


def mesh_input(tooltip: str, optional: bool = False) -> io.MultiType.Input:
    """An input that takes ComfyUI's meshes and 3D files, and the meshes of the Hunyuan3D packs."""
    types = [io.Mesh, TriMesh, *file_3d_types()]
    return io.MultiType.Input("mesh", types=types, optional=optional, tooltip=tooltip)


def file_3d_inputs(tooltip: str) -> list[Any]:
    """An optional input for 3D files, where this version of ComfyUI has them."""
    types = file_3d_types()
    return [io.MultiType.Input("model_3d", types=types, optional=True, tooltip=tooltip)] if types else []


def drawn_mesh_input() -> io.MultiType.Input:
    """The mesh that a node draws."""
    return mesh_input("The mesh, or a batch of meshes: each is drawn in every view.")


def cameras_input(tooltip: str, optional: bool = False) -> io.MultiType.Input:
    """An input that takes every kind of camera."""
    return io.MultiType.Input("cameras", types=[Camera, Hy3dCamera, Hy3d21Camera], optional=optional, tooltip=tooltip)


def choice(
    name: str, options: Sequence[str], tooltip: str, default: str | None = None, optional: bool = False
) -> io.Combo.Input:
    """A choice; the first option is the default unless another is named."""
    return io.Combo.Input(
        name, options=list(options), default=default or options[0], optional=optional, tooltip=tooltip
    )


def file_choice(name: str, options: Sequence[str], tooltip: str) -> io.Combo.Input:
    """A choice of files with the marks by which frontends that can offer an upload of 3D files."""
    return with_extras(choice(name, options, tooltip), file_upload=True, mesh_upload=True, upload_subfolder="3d")


def pixels_input(name: str, tooltip: str) -> io.Int.Input:
    """One side of a picture of any shape."""
    return io.Int.Input(name, default=1024, min=1, max=16384, step=1, tooltip=tooltip)


def size_input(default: int, tooltip: str) -> io.Int.Input:
    """The side of square pictures."""
    return io.Int.Input("size", default=default, min=16, max=8192, step=8, tooltip=tooltip)


def texels_input(name: str, default: int, tooltip: str) -> io.Int.Input:
    """The side of a square texture."""
    return io.Int.Input(name, default=default, min=16, max=16384, step=16, tooltip=tooltip)


def trust_inputs() -> list[Any]:
    """How far a pixel of a view is trusted: the same where a texture is baked and where it is refined."""
    return [
        io.Float.Input(
            "exponent",
            default=4.0,
            min=0.0,
            max=32.0,
            step=0.1,
            tooltip="How much views that see the surface squarely are preferred over slanting ones: the cosine "
            "of the angle to this power. Hunyuan3D uses 4.",
        ),
        io.Float.Input(
            "max_angle",
            default=75.0,
            min=1.0,
            max=90.0,
            step=0.5,
            tooltip="Degrees between the surface and the view beyond which a view is not used. "
            "Lower it if slanting views smear.",
        ),
        io.Int.Input(
            "border",
            default=0,
            min=0,
            max=1024,
            step=1,
            tooltip="Pixels over which a view fades out towards silhouettes and edges in depth, where painted "
            "pictures are least reliable. 0 follows the pictures' size: 4 pixels at 1024. 6 to 8 cure halos.",
        ),
    ]


def layers_input(name: str, default: int, tooltip: str) -> io.Int.Input:
    """How many surfaces behind one another to peel."""
    return io.Int.Input(name, default=default, min=1, max=64, step=1, tooltip=tooltip)


def mesh_outputs(
    tooltip: str, for_others: str = "The same for the Hunyuan3D packs; the first one of a batch."
) -> list[Any]:
    """The same mesh for ComfyUI's nodes and for those of the Hunyuan3D packs."""
    return [
        io.Mesh.Output(display_name="mesh", tooltip=tooltip),
        TriMesh.Output(display_name="trimesh", tooltip=for_others),
    ]


def drawn_output(name: str = "mask") -> io.Mask.Output:
    """Where a mesh covers its pictures."""
    return io.Mask.Output(display_name=name, tooltip="1 where the mesh was drawn.")
