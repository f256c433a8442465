"""Unwrap UV."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..rasterizer.meshes.mesh import Mesh
from ..rasterizer.meshes.trimesh_objects import to_trimesh
from ..rasterizer.texturing.unwrap.unwrap import MANY_FACES, advice, unwrap_uv
from .host import inputs, versions
from .host.meshes import is_trimesh, read_meshes, write_mesh
from .host.runtime import CPU, Progress, for_each


class UnwrapUVNode(io.ComfyNode):
    """UVs for meshes that have none."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterUnwrapUV",
            display_name="Unwrap UV",
            category=inputs.TEXTURING,
            description="Cuts a mesh into charts and lays them out flat (xatlas), so that it can carry a texture.",
            search_aliases=["xatlas", "Hy3DMeshUVWrap", "uv map", "unwrap mesh"],
            inputs=[
                inputs.mesh_input("What to unwrap. Below 100,000 faces, better 50,000: xatlas is slow above."),
                inputs.texels_input(
                    "resolution",
                    1024,
                    "Side in pixels of the texture that will lie on it. Only the padding depends on it.",
                ),
                io.Int.Input(
                    "padding", default=2, min=0, max=64, step=1, tooltip="Pixels to leave between charts at that size."
                ),
                io.Boolean.Input(
                    "keep_existing",
                    default=True,
                    optional=True,
                    tooltip="A mesh that has UVs passes as it is. Off: new UVs, and the texture, which does not lie on "
                    "them, is dropped.",
                ),
            ],
            outputs=inputs.mesh_outputs("With UVs; vertices are doubled along seams."),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, mesh: Any, resolution: int, padding: int, keep_existing: bool = True) -> io.NodeOutput:
        """Unwrap every mesh."""
        meshes = read_meshes(mesh)
        if keep_existing and all(item.uvs is not None for item in meshes):
            versions.show_text("The mesh has UVs; it passes as it is.", cls)
            if is_trimesh(mesh):
                return io.NodeOutput(write_mesh(*meshes), mesh)
            return io.NodeOutput(mesh, to_trimesh(meshes[0]))
        notes = [advice(len(item.faces)) for item in meshes if len(item.faces) > MANY_FACES]
        if any(item.texture is not None or item.metallic_roughness is not None for item in meshes):
            notes.append("The mesh had textures. They do not lie on the new UVs and are dropped; bake them anew.")
        if notes:
            versions.show_text("\n".join(notes), cls)

        def unwrap(mesh: Mesh, progress: Progress) -> Mesh:
            return unwrap_uv(mesh, resolution, padding, progress)

        made = for_each(unwrap, meshes, device=CPU)  # xatlas knows no other
        return io.NodeOutput(write_mesh(*made), to_trimesh(made[0]))
