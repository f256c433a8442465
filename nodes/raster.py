"""Rasterize and Interpolate Attributes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.cameras.camera import Camera
from ..rasterizer.contract.types import MODES
from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.ops import TILE_SIZE, backend_names
from ..rasterizer.pictures.colors import parse_color
from ..rasterizer.rendering.attributes import ATTRIBUTES, ENCODINGS, SHADINGS, attribute_image, depth_to_unit
from ..rasterizer.rendering.raster import SPACES, Raster, rasterize_mesh
from .host import inputs, inspector, versions
from .host.cameras import read_cameras
from .host.meshes import read_meshes
from .host.runtime import Progress, for_each, result_device
from .host.values import RasterValue, read_raster

_BYTES_PER_PIXEL = 48  # z-buffer, fragments, and the pictures made of them


class RasterizeNode(io.ComfyNode):
    """Mesh and cameras to fragments."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterRasterize",
            display_name="Rasterize",
            category=inputs.CATEGORY,
            description="Finds the nearest face at every pixel of every view: face ids, barycentrics, mask and depth. "
            "Connect 'raster' to Interpolate Attributes for normals, positions, textures and more.",
            search_aliases=[
                "render mesh",
                "z-buffer",
                "face id",
                "object id",
                "id map",
                "segmentation map",
                "wireframe",
                "uv layout",
                "depth map",
                "custom_rasterizer",
            ],
            has_intermediate_output=True,  # the inspector's pictures come again from the cache
            inputs=[
                inputs.drawn_mesh_input(),
                inputs.pixels_input("width", "Image width in pixels."),
                inputs.pixels_input("height", "Image height in pixels."),
                inputs.choice(
                    "space",
                    SPACES,
                    tooltip="camera: as the cameras see the mesh. uv: the UV layout, lying on the texture pixel "
                    "for pixel; needs UVs.",
                ),
                inputs.choice(
                    "mode",
                    MODES,
                    tooltip="How candidates are found; the result is the same to the last bit. batched is fast "
                    "for dense meshes, tiled for few large triangles, auto decides by the mesh.",
                ),
                io.Int.Input(
                    "tile_size",
                    default=TILE_SIZE,
                    min=8,
                    max=512,
                    step=8,
                    tooltip="Side of the tiled mode's tiles in pixels. 32 is good nearly always.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    step=1,
                    tooltip="Triangles set up at once. 0 follows the memory that is free.",
                ),
                inputs.choice(
                    "backend",
                    ("auto", *backend_names()),
                    "auto takes the fastest exact one that works here; see Backend Info.",
                ),
                inputs.layers_input(
                    "layers",
                    1,
                    "Surfaces to peel, nearest first: 2 also gives what lies behind the first. "
                    "The images of a view's layers follow each other in the batch.",
                ),
                inputs.cameras_input(
                    "Views to draw. Not connected: one orthographic view from the front.", optional=True
                ),
            ],
            outputs=[
                inputs.RasterSocket.Output(display_name="raster", tooltip="Fragments, for Interpolate Attributes."),
                io.Image.Output(display_name="face_ids", tooltip="A colour per face."),
                inputs.drawn_output(),
                io.Image.Output(display_name="depth", tooltip="Nearest point of a view 1, farthest 0, background 0."),
            ],
        )

    @classmethod
    def execute(
        cls,
        mesh: Any,
        width: int,
        height: int,
        space: str,
        mode: str,
        tile_size: int,
        batch_size: int,
        backend: str,
        layers: int,
        cameras: Any = None,
    ) -> io.NodeOutput:
        """Rasterize every mesh in every view."""
        meshes, views = read_meshes(mesh), read_cameras(cameras)
        settings = {
            "resolution": (height, width),
            "space": space,
            "layers": layers,
            "mode": mode,
            "tile_size": tile_size,
            "batch_size": batch_size,
            "backend": backend,
        }
        need = len(views or [None]) * layers * width * height * _BYTES_PER_PIXEL
        drawn = for_each(partial(_draw, views, settings), meshes, need=need)
        rasters, faces, depths, distances = zip(*drawn, strict=True)
        masks = [raster.mask.flatten(0, 1) for raster in rasters]
        value = RasterValue(rasters)
        shown = inspector.show_fragments(value, distances)
        return io.NodeOutput(value, torch.cat(faces), torch.cat(masks), torch.cat(depths), ui=shown)


def _draw(
    views: list[Camera] | None, settings: dict[str, Any], mesh: Mesh, progress: Progress
) -> tuple[Raster, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Raster, face ids, depth and, seen by cameras, distance ``[V, L, H, W]`` of one mesh."""

    def stop(share: float) -> None:
        progress(1.0)  # the pictures take little of the time, but a stop is answered while they are made, too

    raster = rasterize_mesh(mesh, views, **settings, on_progress=progress)
    faces = attribute_image(raster, "face id", background=(0, 0, 0), on_progress=stop)
    if not raster.cameras:
        return raster, _flat(faces), _flat(torch.zeros_like(raster.barycentric)), None
    distances, depths = [], []
    for number in range(len(raster.findices)):
        stop(0.0)
        view = raster.view(number)
        distances.append(view.distance())
        depths.append(depth_to_unit(distances[-1], view.findices > 0))
    depth = torch.cat(depths)[..., None].expand(*raster.findices.shape, 3)
    return raster, _flat(faces), _flat(depth), torch.cat(distances)


class InterpolateNode(io.ComfyNode):
    """Fragments to pictures of an attribute."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterInterpolate",
            display_name="Interpolate Attributes",
            category=inputs.CATEGORY,
            description="Pictures of one attribute over the fragments of Rasterize: positions, normals, UVs, "
            "colours, texture, depth, barycentrics or face ids, encoded as Hunyuan3D's paint models expect or plainly.",
            search_aliases=["normal map", "position map", "render attributes"],
            has_intermediate_output=True,  # the inspector's pictures come again from the cache
            inputs=[
                inputs.RasterSocket.Input("raster", tooltip="From Rasterize."),
                inputs.choice(
                    "attribute",
                    ATTRIBUTES,
                    default="normal",
                    tooltip="What to show. uv and texture need UVs, vertex color needs vertex colours.",
                ),
                inputs.choice(
                    "shading",
                    SHADINGS,
                    tooltip="For normals. smooth: interpolated vertex normals (Hunyuan3D-2). flat: one per face "
                    "(Hunyuan3D-2.1).",
                ),
                inputs.choice(
                    "encoding",
                    ENCODINGS,
                    tooltip="How positions and normals become colours. hunyuan3d: its axes (x, -z, y). world: x, y, z. "
                    "camera: right, up, toward the viewer. raw: the numbers themselves, also below 0 and above 1.",
                ),
                io.String.Input(
                    "background",
                    default="#ffffff",
                    tooltip="Colour where nothing is drawn, such as #ffffff or black. Depth is always 0 there.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="One picture per view and layer."),
                inputs.drawn_output(),
            ],
        )

    @classmethod
    def execute(
        cls, raster: RasterValue, attribute: str, shading: str, encoding: str, background: str
    ) -> io.NodeOutput:
        """Interpolate over every raster of the batch."""
        rasters, color = read_raster(raster).rasters, parse_color(background)

        def draw(raster: Raster, progress: Progress) -> torch.Tensor:
            return _flat(attribute_image(raster, attribute, shading, encoding, color, progress))

        images = for_each(draw, rasters, need=[4 * item.barycentric.numel() * 4 for item in rasters])
        masks = [item.mask.flatten(0, 1).to(result_device()) for item in rasters]
        return io.NodeOutput(torch.cat(images), torch.cat(masks), ui=inspector.show_images(raster, images))


def _flat(image: torch.Tensor) -> torch.Tensor:
    """``[V, L, H, W, C]`` to a batch of images."""
    return image.flatten(0, 1).contiguous()
