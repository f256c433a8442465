"""Unwrap UV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io

from ..rasterizer.meshes.mesh import TEXTURES, Mesh
from ..rasterizer.meshes.trimesh_objects import to_trimesh
from ..rasterizer.texturing.carry import carried_detail, carried_sizes, carry_need, carry_textures
from ..rasterizer.texturing.unwrap.unwrap import MANY_FACES, advice, unwrap_uv
from .host import inputs, versions
from .host.factors import plain_factors
from .host.meshes import as_it_is, read_meshes, write_mesh
from .host.pictures import size_of
from .host.runtime import CPU, Progress, for_each

_SOFTER = 0.9
"""Texels for a length of the surface, by those before, below which it is told that detail is lost."""


class UnwrapUVNode(io.ComfyNode):
    """UVs for meshes that have none."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterUnwrapUV",
            display_name="Unwrap UV",
            category=inputs.TEXTURING,
            description="Cuts a mesh into charts and lays them out flat (xatlas), so that it can carry a texture. "
            "Textures that it has are carried over.",
            search_aliases=["xatlas", "Hy3DMeshUVWrap", "uv map", "unwrap mesh", "transfer texture", "uv layout"],
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
                    tooltip="A mesh that has UVs passes as it is. Off: it gets new UVs.",
                ),
                io.Boolean.Input(
                    "keep_textures",
                    default=True,
                    optional=True,
                    tooltip="Where a mesh with textures gets new UVs: draw its textures anew, each texel from the same "
                    "place of the surface. Off: they are dropped.",
                ),
                io.Int.Input(
                    "texture_size",
                    default=0,
                    min=0,
                    max=16384,
                    step=16,
                    optional=True,
                    tooltip="Texels a side of the textures that are kept. 0: as before, more where the old UVs repeat "
                    "them.",
                ),
            ],
            outputs=inputs.mesh_outputs("With UVs; vertices are doubled along seams."),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        mesh: Any,
        resolution: int,
        padding: int,
        keep_existing: bool = True,
        keep_textures: bool = True,
        texture_size: int = 0,
    ) -> io.NodeOutput:
        """Unwrap every mesh."""
        meshes = read_meshes(mesh)
        if keep_existing and all(item.uvs is not None for item in meshes):
            versions.show_text("The mesh has UVs; it passes as it is.", cls)
            return io.NodeOutput(*as_it_is(mesh, meshes))
        notes = [advice(len(item.faces)) for item in meshes if len(item.faces) > MANY_FACES]
        if notes:
            versions.show_text("\n".join(notes), cls)

        def unwrap(mesh: Mesh, progress: Progress) -> Mesh:
            return unwrap_uv(mesh, resolution, padding, progress)

        made = for_each(unwrap, meshes, device=CPU)  # xatlas knows no other
        glowing = _emissive(mesh, meshes)
        value = write_mesh(*made)
        if not glowing and not any(getattr(meshes[0], name) is not None for name in TEXTURES):
            return io.NodeOutput(value, to_trimesh(made[0]))
        if not keep_textures:
            notes.append("The mesh had textures. They do not lie on the new UVs and are dropped.")
        elif any(item.uvs is None for item in meshes):
            notes.append("The mesh had textures but no UVs, which say how textures lie. They are dropped.")
        else:
            kept = _carry(meshes, made, texture_size)
            value = write_mesh(*kept)
            if glowing:
                value.emissive = torch.stack([item.texture for item in _carry(glowing, made, texture_size)])
            # ComfyUI's own, on how textures are to be shown; the factors that multiplied them are in them.
            value.unlit = getattr(mesh, "unlit", False)
            if isinstance(getattr(mesh, "material", None), dict):
                value.material = {**mesh.material, **plain_factors(value)}
            notes.append(_report(meshes, kept, value))
            made = kept
        versions.show_text("\n".join(notes), cls)
        return io.NodeOutput(value, to_trimesh(made[0]))


def _emissive(value: Any, meshes: Sequence[Mesh]) -> list[Mesh]:
    """The meshes with the texture that a MESH glows with as their only one; none where it does not glow."""
    image = getattr(value, "emissive", None)
    if not isinstance(image, torch.Tensor):
        return []
    images = image if image.ndim == 4 else image[None]
    plain = [replace(item, **dict.fromkeys(TEXTURES), occlusion_in_mr=False) for item in meshes]
    return [
        replace(item, texture=images[min(number, len(images) - 1), ..., :3].to(item.vertices))
        for number, item in enumerate(plain)
    ]


def _carry(meshes: Sequence[Mesh], made: Sequence[Mesh], texture_size: int) -> list[Mesh]:
    """The meshes that were made, with the textures of those that they were made of."""
    each = [carried_sizes(old, new, texture_size) for old, new in zip(meshes, made, strict=True)]
    sizes = {name: max(proposed[name] for proposed in each) for name in each[0]}  # a batch has textures of one size

    def carry(old: Mesh, new: Mesh, progress: Progress) -> Mesh:
        return carry_textures(old, new, sizes, progress)

    # ComfyUI is asked for that many bytes on a GPU only.
    texels = max(sizes.values(), default=0) ** 2
    need = max(carry_need(old, torch.device("cuda"))(texels, 1.0) for old in meshes)
    return for_each(carry, meshes, made, need=need)


def _report(meshes: Sequence[Mesh], kept: Sequence[Mesh], value: Any) -> str:
    """What was carried over, for people."""
    found = {name.replace("_", " "): getattr(value, name, None) for name in (*TEXTURES, "emissive")}
    sizes = [f"{name} {size_of(image)}" for name, image in found.items() if image is not None]
    lines = [f"Kept on the new UVs: {', '.join(sizes)}."]
    old, new = meshes[0], kept[0]
    if old.texture is not None and new.texture is not None:
        side = len(new.texture)
        detail = carried_detail(old, new, "texture", side)
        if detail < _SOFTER:
            lines.append(
                f"On the surface, {detail:.2f} times as many texels a length as before: texture_size "
                f"{math.ceil(side / detail / 16) * 16} keeps all detail."
            )
    return "\n".join(lines)
