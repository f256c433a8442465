"""Render Mesh."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.cameras.camera import Camera
from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.pictures.colors import parse_color
from ..rasterizer.rendering.attributes import SHADINGS
from ..rasterizer.rendering.lit import (
    BACKGROUNDS,
    ENCODINGS,
    LIGHTS,
    MOST_SAMPLES,
    TONE_MAPPINGS,
    Environment,
    prefilter,
    radiance,
    render_bytes,
    render_mesh,
)
from ..rasterizer.runtime.progress import staged
from .host import inputs, versions
from .host.cameras import read_cameras
from .host.meshes import read_meshes
from .host.previews import show_pictures
from .host.runtime import Progress, compute, for_each, result_device


def _share(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


class RenderMeshNode(io.ComfyNode):
    """A mesh as a person wants to see it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterRender",
            display_name="Render Mesh",
            category=inputs.CATEGORY,
            description="Lit pictures of a textured mesh with soft edges: base colour, metallic, roughness, normal map "
            "and occlusion, under lights that follow the camera or under a panorama. With the turntable of Camera "
            "Views, the frames of a video.",
            search_aliases=["turntable", "pbr render", "hdri", "environment map", "render 3d", "preview mesh", "lit"],
            inputs=[
                inputs.drawn_mesh_input(),
                inputs.pixels_input("width", "Image width in pixels."),
                inputs.pixels_input("height", "Image height in pixels."),
                inputs.choice(
                    "light",
                    LIGHTS,
                    tooltip="studio: large soft lights, as for photographs of products. headlight: one light at the "
                    "camera. Both follow the camera. Not used where an environment is connected.",
                ),
                io.Float.Input(
                    "exposure",
                    default=0.0,
                    min=-16.0,
                    max=16.0,
                    step=0.1,
                    tooltip="In stops: 1 is twice as bright, -1 half.",
                ),
                inputs.choice(
                    "tone_mapping",
                    TONE_MAPPINGS,
                    tooltip="How bright light becomes what a screen shows. neutral keeps the texture's colours. aces "
                    "has the contrast of film. none cuts off what is too bright.",
                ),
                inputs.choice(
                    "background",
                    BACKGROUNDS,
                    tooltip="color: background_color. transparent: pictures with an alpha channel, for Save Image. "
                    "environment: the connected panorama.",
                ),
                io.String.Input(
                    "background_color", default="#d9d9d9", tooltip="Such as #ffffff or black, for background color."
                ),
                inputs.choice(
                    "shading",
                    SHADINGS,
                    tooltip="smooth: round from face to face. flat: every face plane, for low-poly looks.",
                ),
                _share("metallic", 0.0, "1 is metal. Only for meshes without a metallic-roughness texture."),
                _share(
                    "roughness", 0.5, "0 is a mirror, 1 is matt. Only for meshes without a metallic-roughness texture."
                ),
                io.Int.Input(
                    "samples",
                    default=8,
                    min=1,
                    max=MOST_SAMPLES,
                    step=1,
                    tooltip="Points a pixel is the mean of: edges and fine textures get smoother with more. 1 is hard "
                    "and fast.",
                ),
                inputs.cameras_input(
                    "Views to draw, such as the turntable of Camera Views. Not connected: one orthographic view from "
                    "the front.",
                    optional=True,
                ),
                io.Image.Input(
                    "environment",
                    optional=True,
                    tooltip="A panorama (equirectangular, twice as wide as high) that lights the mesh and is mirrored "
                    "in it. It stays where it is while cameras move.",
                ),
                inputs.choice(
                    "environment_encoding",
                    ENCODINGS,
                    optional=True,
                    tooltip="How the panorama holds light. auto: linear if it has values above 1, as from HDR and EXR "
                    "files, else sRGB as pictures are.",
                ),
                io.Float.Input(
                    "environment_rotation",
                    default=0.0,
                    min=-360.0,
                    max=360.0,
                    step=1.0,
                    optional=True,
                    tooltip="Degrees. At 0 the middle of the panorama is to the right of the mesh, at azimuth 90; 90 "
                    "brings it behind the mesh, -90 before it, where a front camera stands.",
                ),
                io.Float.Input(
                    "environment_strength",
                    default=1.0,
                    min=0.0,
                    max=1000.0,
                    step=0.05,
                    optional=True,
                    tooltip="What the panorama's light is multiplied by.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="One picture per view, mesh by mesh; with a transparent background in RGBA.",
                ),
                io.Mask.Output(display_name="masks", tooltip="1 where the mesh covers the pixel, with soft edges."),
            ],
            is_output_node=True,  # a picture is for looking at
        )

    @classmethod
    def execute(
        cls,
        mesh: Any,
        width: int,
        height: int,
        light: str,
        exposure: float,
        tone_mapping: str,
        background: str,
        background_color: str,
        shading: str,
        metallic: float,
        roughness: float,
        samples: int,
        cameras: Any = None,
        environment: torch.Tensor | None = None,
        environment_encoding: str = ENCODINGS[0],
        environment_rotation: float = 0.0,
        environment_strength: float = 1.0,
    ) -> io.NodeOutput:
        """Render every mesh in every view."""
        meshes, views = read_meshes(mesh), read_cameras(cameras)
        if background == "environment" and environment is None:
            raise ValueError(
                "background: is 'environment' but nothing is connected to environment; connect a panorama (Load "
                "Image), or take another background"
            )
        settings = {
            "light": light,
            "exposure": exposure,
            "tone_mapping": tone_mapping,
            "background": background,
            "background_color": parse_color(background_color, "background_color"),
            "shading": shading,
            "metallic": metallic,
            "roughness": roughness,
            "samples": samples,
            "environment_rotation": environment_rotation,
            "environment_strength": environment_strength,
        }
        around = None if environment is None else _prepared(environment, environment_encoding)
        need = [render_bytes(item, (height, width)) for item in meshes]
        draw = partial(_draw, views, (height, width), settings)
        images, masks = zip(*for_each(draw, meshes, [around] * len(meshes), need=need), strict=True)
        pictures = torch.cat(images)
        return io.NodeOutput(pictures, torch.cat(masks), ui=show_pictures(pictures))


def _prepared(environment: torch.Tensor, encoding: str) -> Environment:
    if environment.ndim != 4 or len(environment) != 1 or environment.shape[3] < 3:
        raise ValueError(f"environment: found {list(environment.shape)}, expected one picture, [1, H, W, 3]")
    progress = Progress(2)
    light = radiance(environment[0, ..., :3], encoding, staged("environment", progress))
    progress.next_stage()
    made = compute(partial(prefilter, light, staged("environment", progress)))
    progress.next_stage()
    return made


def _draw(
    views: list[Camera] | None,
    resolution: tuple[int, int],
    settings: dict[str, Any],
    mesh: Mesh,
    environment: Environment | None,
    progress: Progress,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures and masks of one mesh."""
    drawn = render_mesh(
        mesh, views, resolution, environment=environment, keep_on=result_device(), on_progress=progress, **settings
    )
    if settings["background"] == "transparent":
        return torch.cat((drawn.color, drawn.alpha[..., None]), dim=-1), drawn.alpha
    return drawn.color, drawn.alpha
