"""Build Grid Hierarchy and Show Grid Hierarchy."""

from __future__ import annotations

import time
from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.cameras.camera import orbit_camera
from ..rasterizer.hierarchy import COLORINGS, GridHierarchy, voxel_mesh
from ..rasterizer.hierarchy.report import describe
from ..rasterizer.rendering.attributes import attribute_image
from ..rasterizer.rendering.raster import rasterize_mesh
from .host import inputs, versions
from .host.cameras import read_cameras
from .host.meshes import read_meshes
from .host.runtime import Progress, for_each, result_device
from .host.values import HierarchyValue, read_hierarchy

_BYTES_PER_CELL = 3 * 8 * 64  # of the R x R grid, over three views: layers, samples and tables
_BYTES_PER_CUBE = 24 * 64  # 4 corners for each of 6 sides


class GridHierarchyNode(io.ComfyNode):
    """A mesh to the cells its surface passes through, at several resolutions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterGridHierarchy",
            display_name="Build Grid Hierarchy",
            category=inputs.CATEGORY,
            description="Divides the space around a mesh into cells, keeps those that the surface passes through, and "
            "links each to its neighbours on the surface, level by level. Fill Texture and filters that follow "
            "the surface build on it.",
            search_aliases=["voxel", "sparse grid", "build_hierarchy", "octree"],
            inputs=[
                inputs.mesh_input("What to build it from. Each mesh of a batch gets a hierarchy of its own."),
                io.Int.Input(
                    "resolution",
                    default=128,
                    min=8,
                    max=1024,
                    step=8,
                    tooltip="Cells along the longest side of the mesh at level 0. 128 is enough to fill textures; time "
                    "and memory grow with its square.",
                ),
                io.Int.Input(
                    "levels",
                    default=4,
                    min=1,
                    max=11,
                    step=1,
                    tooltip="How many levels. Each has half the resolution of the one before.",
                ),
                inputs.layers_input(
                    "max_layers",
                    8,
                    "Most surfaces taken in behind one another along an axis. Info says when there are more.",
                ),
            ],
            outputs=[
                inputs.HierarchySocket.Output(display_name="hierarchy", tooltip="For Show Grid Hierarchy."),
                io.String.Output(display_name="info", tooltip="Cells, neighbours, memory and time."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, mesh: Any, resolution: int, levels: int, max_layers: int) -> io.NodeOutput:
        """Build one for every mesh."""
        meshes = read_meshes(mesh)

        def build(
            vertices: torch.Tensor, faces: torch.Tensor, name: str, progress: Progress
        ) -> tuple[GridHierarchy, str]:
            start = time.perf_counter()
            hierarchy = GridHierarchy.from_mesh(vertices, faces, resolution, levels, max_layers, progress)
            where = str(hierarchy.positions.device)
            hierarchy = hierarchy.to(result_device())  # waits for what the device has not done yet
            return hierarchy, describe(hierarchy, name, time.perf_counter() - start, where)

        made = for_each(
            build,
            [item.vertices for item in meshes],
            [item.faces for item in meshes],
            [item.name for item in meshes],
            need=resolution * resolution * _BYTES_PER_CELL,
        )
        built, texts = zip(*made, strict=True)
        text = "\n\n".join(texts)
        versions.show_text(text, cls)
        return io.NodeOutput(HierarchyValue(built), text)


class ShowHierarchyNode(io.ComfyNode):
    """The cells of a level as cubes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterShowHierarchy",
            display_name="Show Grid Hierarchy",
            category=inputs.CATEGORY,
            description="Draws the cells of one level of a grid hierarchy as cubes.",
            search_aliases=["voxel", "preview hierarchy"],
            inputs=[
                inputs.HierarchySocket.Input("hierarchy", tooltip="From Build Grid Hierarchy."),
                io.Int.Input("level", default=0, min=0, max=10, step=1, tooltip="0 is the finest."),
                inputs.choice(
                    "coloring",
                    COLORINGS,
                    tooltip="coarser cell: all that lie in one cell of the next level have the same colour. normal: "
                    "where the surface faces. position: where the cell is.",
                ),
                inputs.size_input(768, "Of the picture, pixels a side."),
                inputs.cameras_input(
                    "Views to draw. Not connected: one orthographic view from the front, above right.", optional=True
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="A picture for each mesh and view.")],
        )

    @classmethod
    def execute(
        cls, hierarchy: HierarchyValue, level: int, coloring: str, size: int, cameras: Any = None
    ) -> io.NodeOutput:
        """Draw every hierarchy in every view."""
        hierarchies = read_hierarchy(hierarchy).hierarchies
        views = read_cameras(cameras) or [orbit_camera(30, 25)]

        def draw(hierarchy: GridHierarchy, progress: Progress) -> torch.Tensor:
            cubes = voxel_mesh(hierarchy, level, coloring)
            raster = rasterize_mesh(cubes, views, (size, size), on_progress=progress)
            return attribute_image(raster, "vertex color").flatten(0, 1)

        needs = [item.count(min(level, item.levels - 1)) * _BYTES_PER_CUBE for item in hierarchies]
        return io.NodeOutput(torch.cat(for_each(draw, hierarchies, need=needs)))
