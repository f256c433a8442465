"""Refine Texture."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.texturing import refine_texture
from ..rasterizer.texturing.refine.refine import STEPS, refine_need
from .host import inputs, versions
from .host.pictures import check_pictures, check_textures, join_reports, read_masks, read_views
from .host.runtime import Progress, for_each


class RefineTextureNode(io.ComfyNode):
    """A baked texture to the one that gives back the pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterRefineTexture",
            display_name="Refine Texture",
            category=inputs.TEXTURING,
            description="Cures softness: sharpens a baked texture until the mesh, drawn with it "
            "through the same cameras, gives back the pictures pixel by pixel. Between Bake Views to Texture and Fill "
            "Texture.",
            search_aliases=["sharpen texture", "super resolution", "optimize texture", "texture detail"],
            inputs=[
                io.Image.Input("texture", tooltip="From Bake Views to Texture."),
                io.Mask.Input("painted", tooltip="Where the texture is painted; the rest stays as it is."),
                inputs.mesh_input("The mesh that the texture belongs to, with the same UVs."),
                io.Image.Input(
                    "images",
                    tooltip="agreed_images of Bake Views to Texture: the pictures as that node matched and aligned "
                    "them. Pictures that do not agree would be doubled again.",
                ),
                inputs.cameras_input("The cameras the pictures were made with, as for the bake."),
                io.Int.Input(
                    "steps",
                    default=STEPS,
                    min=1,
                    max=200,
                    step=1,
                    tooltip="Of the solver. The default is enough; time grows with them.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How far to go: 0 leaves the texture as it is, 1 goes as far as the pictures agree with "
                    "each other, 2 all the way, which sharpens what they disagree in, too.",
                ),
                *inputs.trust_inputs(),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="Where each picture may be used: one mask per picture, or one for all; as for the bake.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="texture", tooltip="The refined texture, for Fill Texture."),
                io.String.Output(
                    display_name="report",
                    tooltip="How well the texture gives back the pictures, before and after; also on the node.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        texture: torch.Tensor,
        painted: torch.Tensor,
        mesh: Any,
        images: torch.Tensor,
        cameras: Any,
        steps: int,
        strength: float,
        exponent: float,
        max_angle: float,
        border: int,
        masks: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Refine the texture of every mesh."""
        meshes, views = read_views(mesh, cameras)
        painted = check_textures(texture, painted, len(meshes))
        check_pictures(images, "images", len(meshes), len(views))
        trusted = read_masks(masks, images, len(meshes))
        for item in meshes:
            item.require_uvs()

        def refine(
            texture: torch.Tensor,
            known: torch.Tensor,
            mesh: Mesh,
            pictures: torch.Tensor,
            trusted: torch.Tensor | None,
            progress: Progress,
        ) -> tuple[torch.Tensor | str, ...]:
            refined = refine_texture(
                mesh,
                texture,
                known,
                pictures,
                views,
                steps=steps,
                strength=strength,
                exponent=exponent,
                max_angle=max_angle,
                border=border,
                masks=trusted,
                on_progress=progress,
            )
            return refined.texture, f"Difference to each picture, before and after:\n{refined}"

        pictures = images[..., :3].split(len(views))
        known = painted > 0.5
        needs = [
            4 * (seen.numel() + 3 * of.numel()) + refine_need(seen, int(where.sum()))
            for seen, of, where in zip(pictures, texture[..., :3], known, strict=True)
        ]
        made = for_each(refine, texture[..., :3], known, meshes, pictures, trusted, need=needs)
        textures, texts = zip(*made, strict=True)
        report = join_reports(texts)
        versions.show_text(report, cls)
        return io.NodeOutput(torch.stack(textures), report)
