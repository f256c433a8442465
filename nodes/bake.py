"""Bake Views to Texture and Fill Texture."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.pictures.colors import distinct_colors
from ..rasterizer.texturing import BLENDS, METHODS, Baked, bake_over, bake_views, fill_texture
from ..rasterizer.texturing.bake.views import bake_need
from ..rasterizer.texturing.need import fill_bytes
from .host import inputs, versions
from .host.meshes import read_meshes
from .host.pictures import (
    check_pictures,
    check_textures,
    join_reports,
    read_base,
    read_masks,
    read_paint,
    read_views,
    size_of,
)
from .host.runtime import Progress, for_each


class BakeViewsNode(io.ComfyNode):
    """View images to a texture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterBakeViews",
            display_name="Bake Views to Texture",
            category=inputs.TEXTURING,
            description="Carries pictures of a mesh, one per camera, to its texture: every texel looks up the views in "
            "which its own surface is visible and blends them. What no view shows stays empty: Fill Texture is next.",
            search_aliases=["projection", "back project", "texture baking", "hunyuan3d bake"],
            inputs=[
                inputs.mesh_input("The mesh, with UVs (Unwrap UV makes them)."),
                io.Image.Input(
                    "images",
                    tooltip="One picture per camera, in the order of the cameras; for a batch of meshes, mesh by mesh. "
                    "Any size, square or not.",
                ),
                inputs.cameras_input("The cameras the pictures were made with, such as Camera Views."),
                inputs.texels_input(
                    "texture_size", 2048, "Texels a side. Twice the views' size keeps all their detail."
                ),
                *inputs.trust_inputs(),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="Where each picture may be used: one mask per picture, or one for all.",
                ),
                io.Image.Input(
                    "metallic_roughness",
                    optional=True,
                    tooltip="A second set of pictures from the same cameras, baked in the same pass.",
                ),
                io.Boolean.Input(
                    "match_colors",
                    default=True,
                    optional=True,
                    tooltip="Cures seams in colour: each picture is made brighter or darker, warmer or cooler, until "
                    "overlapping views agree; pixels at outlines into which background bleeds are left out. Off for "
                    "renders and photographs of one exposure.",
                ),
                io.Int.Input(
                    "align_views",
                    default=3,
                    min=0,
                    max=5,
                    step=1,
                    optional=True,
                    tooltip="Cures doubled and blurred features: rounds in which the features of each picture are "
                    "moved, smoothly and by a few pixels, towards what the other views show. 3 for painted pictures, "
                    "0 for renders.",
                ),
                inputs.choice(
                    "blend",
                    BLENDS,
                    optional=True,
                    tooltip="weighted: the mean of the views, smooth. sharp: near the view that sees best, for "
                    "details that differ too much to be aligned and come out doubled or washed out.",
                ),
                io.Image.Input(
                    "base_texture",
                    optional=True,
                    tooltip="The texture there is, such as from Mesh to Images, to paint a part of it anew: the rest "
                    "is kept to the bit. texture_size must be its size.",
                ),
                io.Mask.Input(
                    "paint_mask",
                    optional=True,
                    tooltip="Where base_texture may be painted, on the texture: white may, black stays, grey blends. "
                    "Draw it over the UV layout of Mesh to Images. masks does the same on the pictures.",
                ),
                io.Image.Input(
                    "base_metallic_roughness",
                    optional=True,
                    tooltip="As base_texture, for the second set of pictures; of the same size.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="texture", tooltip="Black where nothing was painted, or base_texture if connected."
                ),
                io.Mask.Output(
                    display_name="painted",
                    tooltip="1 where at least one view shows the texel, and everywhere with base_texture.",
                ),
                io.Mask.Output(
                    display_name="confidence",
                    tooltip="How squarely, and how far from an edge, the best view shows the texel.",
                ),
                io.Image.Output(
                    display_name="metallic_roughness_texture",
                    tooltip="From the second set of pictures; black if there is none.",
                ),
                io.Image.Output(
                    display_name="view_map",
                    tooltip="Each texel in the colour of the view that weighs most in it; black where nothing was "
                    "painted.",
                ),
                io.Image.Output(
                    display_name="agreed_images",
                    tooltip="The pictures as matched and aligned, for Refine Texture; as they came with both off.",
                ),
                io.String.Output(
                    display_name="report", tooltip="What is painted, and how each view was changed; also on the node."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        mesh: Any,
        images: torch.Tensor,
        cameras: Any,
        texture_size: int,
        exponent: float,
        max_angle: float,
        border: int,
        masks: torch.Tensor | None = None,
        metallic_roughness: torch.Tensor | None = None,
        match_colors: bool = True,
        align_views: int = 3,
        blend: str = BLENDS[0],
        base_texture: torch.Tensor | None = None,
        paint_mask: torch.Tensor | None = None,
        base_metallic_roughness: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Bake every mesh of the batch."""
        meshes, views = read_views(mesh, cameras)
        check_pictures(images, "images", len(meshes), len(views))
        stacked = [images[..., :3]]
        if metallic_roughness is not None:
            check_pictures(metallic_roughness, "metallic_roughness", len(meshes), len(views))
            if metallic_roughness.shape[1:3] != images.shape[1:3]:
                raise ValueError(
                    f"metallic_roughness: is {size_of(metallic_roughness)}, expected {size_of(images)}, as images"
                )
            stacked.append(metallic_roughness[..., :3])
        pictures = torch.cat(stacked, dim=-1).split(len(views))
        trusted = read_masks(masks, images, len(meshes))
        bases = read_base(
            base_texture, base_metallic_roughness, metallic_roughness is not None, texture_size, len(meshes)
        )
        paints = read_paint(paint_mask, base_texture, len(meshes))
        for item in meshes:
            item.require_uvs()
        options: dict[str, Any] = {
            "exponent": exponent,
            "max_angle": max_angle,
            "border": border,
            "match_colors": match_colors,
            "align_views": align_views,
            "blend": blend,
        }

        def bake(
            mesh: Mesh,
            pictures: torch.Tensor,
            trusted: torch.Tensor | None,
            base: torch.Tensor | None,
            paint: torch.Tensor | None,
            progress: Progress,
        ) -> tuple[torch.Tensor | str, ...]:
            how: dict[str, Any] = {**options, "masks": trusted, "on_progress": progress}
            if base is None:
                baked = bake_views(mesh, pictures, views, texture_size, **how)
            else:
                baked = bake_over(mesh, pictures, views, base, paint, **how)
            there = baked.painted if base is None else torch.ones_like(baked.painted)
            agreed = (pictures if baked.images is None else baked.images)[..., :3]
            return baked.texture, there, baked.confidence, _view_map(baked, len(views)), agreed, _report(baked, base)

        # ComfyUI is asked for that many bytes on a GPU only.
        need = bake_need(pictures[0], torch.device("cuda"), match_colors or align_views > 0)
        wanted = pictures[0].numel() * 4 + need.bytes(texture_size * texture_size)
        wanted += 0 if bases[0] is None else bases[0].numel() * 12
        made = for_each(bake, meshes, pictures, trusted, bases, paints, need=wanted)
        *baked, texts = zip(*made, strict=True)
        textures, painted, confidence, view_map, agreed = map(torch.stack, baked)
        second = textures[..., 3:] if metallic_roughness is not None else torch.zeros_like(textures)
        report = join_reports(texts)
        versions.show_text(report, cls)
        return io.NodeOutput(
            textures[..., :3].contiguous(),
            painted.float(),
            confidence,
            second.contiguous(),
            view_map,
            agreed.flatten(0, 1),
            report,
        )


def _view_map(baked: Baked, views: int) -> torch.Tensor:
    """``[H, W, 3]``: each texel in the colour of its heaviest view."""
    colors = torch.nn.functional.pad(distinct_colors(views), (0, 0, 1, 0))  # black first, for -1
    return colors.to(baked.texture.device)[(baked.heaviest + 1).long()]


def _report(baked: Baked, base: torch.Tensor | None) -> str:
    share = float((baked.painted & baked.covered).sum() / baked.covered.sum().clamp(min=1))
    changed = "Pictures baked as they came." if baked.agreement is None else str(baked.agreement)
    how = "painted" if base is None else "painted anew, the others as in base_texture"
    return f"{100 * share:.0f} % of the texels {how}.\n{changed}"


class FillTextureNode(io.ComfyNode):
    """A texture with gaps to a whole one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterFillTexture",
            display_name="Fill Texture",
            category=inputs.TEXTURING,
            description="Fills the parts of a texture that no view has painted, then the gutters between the charts, "
            "so that no seam shows when the texture is filtered.",
            search_aliases=["inpaint texture", "dilate", "texture padding", "vertex inpaint"],
            inputs=[
                io.Image.Input("texture", tooltip="From Bake Views to Texture."),
                io.Mask.Input("painted", tooltip="Where the texture is painted; these texels stay as they are."),
                inputs.mesh_input("The mesh that the texture belongs to, with the same UVs."),
                inputs.choice(
                    "method",
                    METHODS,
                    tooltip="surface: colours spread over the surface, across UV seams, never to another sheet nearby "
                    "(best). vertex smooth, vertex forward: Hunyuan3D's way, over the mesh's vertices. dilate: in the "
                    "plane of the texture (fast).",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="texture", tooltip="The whole texture, gutters included."),
                io.Mask.Output(display_name="filled", tooltip="1 where a texel of the mesh was filled."),
            ],
        )

    @classmethod
    def execute(cls, texture: torch.Tensor, painted: torch.Tensor, mesh: Any, method: str) -> io.NodeOutput:
        """Fill the texture of every mesh."""
        meshes = read_meshes(mesh)
        painted = check_textures(texture, painted, len(meshes))

        def fill(
            texture: torch.Tensor, known: torch.Tensor, mesh: Mesh, progress: Progress
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return fill_texture(texture, known, mesh, method, progress)

        need = texture[0].numel() * 4 + fill_bytes(painted[0].numel(), texture.shape[3], method)
        made = for_each(fill, texture, painted > 0.5, meshes, need=need)
        textures, filled = map(torch.stack, zip(*made, strict=True))
        return io.NodeOutput(textures, filled.float())
