"""Mesh to Images."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.texturing.images import MeshImages, mesh_images
from ..rasterizer.texturing.layout import uv_layout_image
from ..rasterizer.texturing.need import images_bytes
from .host import inputs, versions
from .host.meshes import read_meshes
from .host.pictures import join_reports, size_of
from .host.previews import show_pictures
from .host.runtime import Progress, for_each

BACKGROUNDS = ("black", "base color")
PICTURES = ("base_color", "metallic_roughness", "normal_map", "occlusion")


class MeshToImagesNode(io.ComfyNode):
    """The textures of a mesh, to look at or to paint on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterMeshToImages",
            display_name="Mesh to Images",
            category=inputs.TEXTURING,
            description="The textures of a mesh as images, to look at, change, and put back with Apply Texture; and "
            "its UV layout, to draw masks over.",
            search_aliases=[
                "extract texture",
                "get texture",
                "mesh texture to image",
                "uv layout",
                "uv template",
                "wireframe",
                "vertex color to texture",
                "normal map",
            ],
            inputs=[
                inputs.mesh_input("A mesh with UVs (Unwrap UV makes them)."),
                inputs.texels_input(
                    "size",
                    1024,
                    "Pixels a side of the UV layout, and of pictures that the mesh does not have. Textures keep their "
                    "own.",
                ),
                inputs.choice(
                    "layout_over",
                    BACKGROUNDS,
                    tooltip="What the UV layout is drawn over.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="base_color",
                    tooltip="The texture, times the vertex colours where there are some; white if there is neither.",
                ),
                io.Image.Output(
                    display_name="metallic_roughness",
                    tooltip="As glTF has it: green roughness, blue metallic; for Apply Texture set to gltf ORM. Rough "
                    "and not metallic if there is none.",
                ),
                io.Image.Output(
                    display_name="normal_map", tooltip="In tangent space, green up (opengl); flat if there is none."
                ),
                io.Image.Output(
                    display_name="occlusion", tooltip="Ambient occlusion, white where open; white if there is none."
                ),
                io.Image.Output(
                    display_name="uv_layout",
                    tooltip="The faces as they lie on the texture, each chart in a colour of its own.",
                ),
                io.Mask.Output(display_name="covered", tooltip="1 where a face lies on base_color; 0 in the gutters."),
                io.String.Output(display_name="report", tooltip="What the mesh has, and what not; also on the node."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,  # the pictures are worth a look before anything is done with them
        )

    @classmethod
    def execute(cls, mesh: Any, size: int, layout_over: str) -> io.NodeOutput:
        """The pictures of every mesh."""
        meshes = read_meshes(mesh)
        for item in meshes:
            item.require_uvs()

        def take(mesh: Mesh, progress: Progress) -> tuple[torch.Tensor | str, ...]:
            found = mesh_images(mesh, size, lambda share: progress(share / 4))
            over = None if layout_over == BACKGROUNDS[0] else found.base_color
            layout = uv_layout_image(mesh, size, over, lambda share: progress(0.25 + 0.75 * share))
            images = [getattr(found, name) for name in PICTURES]
            return *images, layout, found.covered, _report(found)

        # ComfyUI is asked for that many bytes on a GPU only.
        textures = [item.texture for item in meshes if item.texture is not None]
        texels = max([size * size, *(texture[..., 0].numel() for texture in textures)])
        *parts, texts = zip(*for_each(take, meshes, need=images_bytes(texels, size * size)), strict=True)
        *images, covered = map(torch.stack, parts)
        report = join_reports(texts)
        versions.show_text(report, cls)
        shown = [show_pictures(image) for image in (images[0], images[-1])]
        ui = {"images": [entry for each in shown if each for entry in each["images"]]} if all(shown) else None
        return io.NodeOutput(*images, covered.float(), report, ui=ui)


def _report(found: MeshImages) -> str:
    """What the mesh has, for people."""
    has = [f"{name} {size_of(getattr(found, name)[None])}" for name in PICTURES if name not in found.missing]
    lines = [f"The mesh has {', '.join(has)}." if has else "The mesh has no textures."]
    if found.tinted:
        lines.append("Its vertex colours are in base_color.")
    if found.missing:
        lines.append(f"Plain stand-ins for what it has not: {', '.join(found.missing)}.")
    return "\n".join(lines)
