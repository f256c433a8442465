"""Apply Texture."""

from __future__ import annotations

import copy
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..rasterizer.meshes.trimesh_objects import to_trimesh
from ..rasterizer.texturing.apply import LAYOUTS, NORMAL_LAYOUTS, apply_textures
from .host import inputs, versions
from .host.factors import plain_factors
from .host.meshes import is_mesh, read_meshes, write_mesh
from .host.pictures import batch_of


class ApplyTextureNode(io.ComfyNode):
    """Textures onto a copy of a mesh."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterApplyTexture",
            display_name="Apply Texture",
            category=inputs.TEXTURING,
            description="Gives a copy of the mesh a base colour and, if connected, metallic and roughness, a normal "
            "map and ambient occlusion.",
            search_aliases=[
                "set texture",
                "pbr material",
                "metallic roughness",
                "Hy3DApplyTexture",
                "normal map",
                "ambient occlusion",
            ],
            inputs=[
                inputs.mesh_input("A mesh with UVs."),
                io.Image.Input(
                    "base_color", tooltip="The texture, for instance from Fill Texture. One, or one for each mesh."
                ),
                io.Image.Input(
                    "metallic_roughness",
                    optional=True,
                    tooltip="How metallic and how rough the surface is, in two channels of an image.",
                ),
                inputs.choice(
                    "mr_layout",
                    LAYOUTS,
                    optional=True,
                    tooltip="Channels of metallic_roughness. hunyuan3d: red metallic, green roughness, as its paint "
                    "model gives them. gltf ORM: green roughness, blue metallic, as files hold them.",
                ),
                io.Image.Input(
                    "normal_map", optional=True, tooltip="Fine relief, as a normal map in tangent space, bluish."
                ),
                inputs.choice(
                    "normal_layout",
                    NORMAL_LAYOUTS,
                    optional=True,
                    tooltip="Which way green of normal_map points. opengl: up, as Blender, Unity and 3D files have it. "
                    "directx: down, as Unreal has it. If dents look like bumps, it is the other one.",
                ),
                io.MultiType.Input(
                    "occlusion",
                    types=[io.Image, io.Mask],
                    optional=True,
                    tooltip="Ambient occlusion, white where the surface is open. Of an image, red counts.",
                ),
            ],
            outputs=inputs.mesh_outputs("The textured copy."),
        )

    @classmethod
    def execute(
        cls,
        mesh: Any,
        base_color: Tensor,
        metallic_roughness: Tensor | None = None,
        mr_layout: str = LAYOUTS[0],
        normal_map: Tensor | None = None,
        normal_layout: str = NORMAL_LAYOUTS[0],
        occlusion: Tensor | None = None,
    ) -> io.NodeOutput:
        """Apply to every mesh."""
        meshes = read_meshes(mesh)
        count = len(meshes)
        colors = _images(base_color, count, "base_color")
        surfaces = _images(metallic_roughness, count, "metallic_roughness")
        bumps = _images(normal_map, count, "normal_map")
        open_ = _images(_with_channels(occlusion), count, "occlusion", channels=1)
        made = [
            apply_textures(item, color, surface, mr_layout, bump, shade, normal_layout)
            for item, color, surface, bump, shade in zip(meshes, colors, surfaces, bumps, open_, strict=True)
        ]
        value = write_mesh(*made)
        if is_mesh(mesh):
            value = _textured(mesh, value, normal_map is not None)
        return io.NodeOutput(value, to_trimesh(made[0]))


def _with_channels(value: Any) -> Any:
    """Masks as images of one channel."""
    return batch_of(value)[..., None] if isinstance(value, Tensor) and value.ndim < 4 else value


def _images(value: Tensor | None, count: int, name: str, channels: int = 3) -> list[Any]:
    """One image for each mesh."""
    if value is None:
        return [None] * count
    if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[-1] < channels or len(value) not in (1, count):
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        expected = f"an IMAGE [1 or {count}, H, W, 3]" + (" or a MASK" if channels == 1 else "")
        raise ValueError(f"{name}: is {found}, expected {expected}, one for all or for each mesh")
    return [value[min(number, len(value) - 1)] for number in range(count)]


def _textured(value: Any, written: Any, bumps: bool) -> Any:
    """A copy of a MESH with the textures of ``written``, ``bumps`` too; what else ComfyUI keeps in it stays."""
    result = copy.copy(value)
    for name in ("texture", "metallic_roughness", "vertex_colors", *["normal_map"] * bumps):
        setattr(result, name, getattr(written, name, None))
    result.occlusion_in_mr = getattr(written, "occlusion_in_mr", False)
    material = getattr(value, "material", None)
    if isinstance(material, dict):
        factors = plain_factors(written)
        if not bumps:  # the mesh's own normal map stays as it is, with its factor
            factors.pop("normal_scale", None)
        result.material = {**material, **factors}
    return result
