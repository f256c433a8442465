"""Render Maps."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.rendering.maps import STYLES, render_maps
from .host import inputs, versions
from .host.cameras import read_cameras
from .host.meshes import read_meshes, uv_advice
from .host.runtime import Progress, for_each

_BYTES_PER_PIXEL = 160  # z-buffer, fragments, three maps, and what is interpolated for them


class RenderMapsNode(io.ComfyNode):
    """What a paint model is shown of a mesh."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterRenderMaps",
            display_name="Render Maps",
            category=inputs.TEXTURING,
            description="Normal, position and depth maps and masks of a mesh from all views, as Hunyuan3D's paint "
            "models expect them; also for depth and normal ControlNets.",
            search_aliases=[
                "hunyuan3d",
                "controlnet depth",
                "Hy3DRenderMultiView",
                "conditioning maps",
                "normal map",
                "position map",
                "depth map",
            ],
            inputs=[
                inputs.drawn_mesh_input(),
                inputs.cameras_input("The views, such as those of Camera Views. Use the same list for baking."),
                inputs.size_input(1024, "Width and height of the maps in pixels."),
                inputs.choice(
                    "style",
                    STYLES,
                    tooltip="Of the normal maps. hunyuan3d-2: smooth across faces and UV seams. hunyuan3d-2.1: one "
                    "normal per face.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="normal_maps", tooltip="World normals as x, -z, y on white."),
                io.Image.Output(display_name="position_maps", tooltip="Positions as x, -z, y on white."),
                io.Image.Output(display_name="depth_maps", tooltip="Nearest point 1, farthest 0, background 0."),
                inputs.drawn_output("masks"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, mesh: Any, cameras: Any, size: int, style: str) -> io.NodeOutput:
        """Draw every mesh in every view."""
        meshes, views = read_meshes(mesh), read_cameras(cameras)
        if advice := uv_advice(meshes):  # now, and not when Bake fails, after minutes of painting
            versions.show_text(advice, cls)

        def draw(mesh: Mesh, progress: Progress) -> tuple[torch.Tensor, ...]:
            maps = render_maps(mesh, views, (size, size), style, progress)
            return tuple(value.contiguous() for value in (maps.normal, maps.position, maps.depth, maps.mask))

        drawn = for_each(draw, meshes, need=len(views or [None]) * size * size * _BYTES_PER_PIXEL)
        return io.NodeOutput(*map(torch.cat, zip(*drawn, strict=True)))
