"""Apply Texture."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.meshes.trimesh_objects import to_trimesh
from ..rasterizer.texturing.apply import LAYOUTS, apply_textures
from .host import inputs, versions
from .host.meshes import is_trimesh, read_meshes, write_mesh


class ApplyTextureNode(io.ComfyNode):
    """Textures onto a copy of a mesh."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterApplyTexture",
            display_name="Apply Texture",
            category=inputs.TEXTURING,
            description="Gives a copy of the mesh a base colour and, if connected, metallic and roughness.",
            search_aliases=["set texture", "pbr material", "metallic roughness", "Hy3DApplyTexture"],
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
            ],
            outputs=inputs.mesh_outputs("The textured copy."),
        )

    @classmethod
    def execute(
        cls, mesh: Any, base_color: Tensor, metallic_roughness: Tensor | None = None, mr_layout: str = LAYOUTS[0]
    ) -> io.NodeOutput:
        """Apply to every mesh."""
        meshes = read_meshes(mesh)
        colors = _images(base_color, len(meshes), "base_color")
        surfaces = _images(metallic_roughness, len(meshes), "metallic_roughness")
        made = [apply_textures(*parts, mr_layout) for parts in zip(meshes, colors, surfaces, strict=True)]
        value = write_mesh(*made) if is_trimesh(mesh) else _textured(mesh, made)
        return io.NodeOutput(value, to_trimesh(made[0]))


def _images(value: Tensor | None, count: int, name: str) -> list[Tensor | None]:
    """One image for each mesh."""
    if value is None:
        return [None] * count
    if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[-1] < 3 or len(value) not in (1, count):
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name}: is {found}, expected an IMAGE [1 or {count}, H, W, 3], one for all or for each mesh")
    return [value[min(number, len(value) - 1)] for number in range(count)]


def _textured(value: Any, meshes: Sequence[Mesh]) -> Any:
    """A copy of a MESH with the textures of ``meshes``; what else ComfyUI keeps in it, such as a normal map, stays."""
    written = write_mesh(*meshes)
    result = copy.copy(value)
    for name in ("texture", "metallic_roughness", "vertex_colors"):
        setattr(result, name, getattr(written, name, None))
    material = getattr(value, "material", None)
    if isinstance(material, dict):
        factors = {"base_color_factor": [1.0, 1.0, 1.0, 1.0]}
        if meshes[0].metallic_roughness is not None:
            factors |= {"metallic_factor": 1.0, "roughness_factor": 1.0, "occlusion_strength": 1.0}
        result.material = {**material, **factors}
    return result
