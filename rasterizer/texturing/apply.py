"""Textures onto meshes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..contract.checks import as_tensor, check_choice
from ..meshes.mesh import Mesh

LAYOUTS = ("hunyuan3d", "gltf ORM")
NORMAL_LAYOUTS = ("opengl", "directx")


def apply_textures(
    mesh: Mesh,
    base_color: Tensor,
    metallic_roughness: Tensor | None = None,
    mr_layout: str = "hunyuan3d",
    normal_map: Tensor | None = None,
    occlusion: Tensor | None = None,
    normal_layout: str = "opengl",
) -> Mesh:
    """A mesh with these textures instead of its own, and without vertex colours, which would tint them.

    What is None stays what the mesh has. Images may be of any size each. Occlusion lies in red of metallic-roughness:
    the smaller of the two is resampled, and where there is no metallic-roughness, a plain one is made, roughness 1 and
    metallic 0.

    Args:
        mesh: has UVs; it is left as it is.
        base_color: ``[H, W, 3]`` or more channels, 0..1, sRGB-coded, row 0 at ``v = 0``.
        metallic_roughness: ``[H, W, 3]``, 0..1.
        mr_layout: one of :data:`LAYOUTS`. ``hunyuan3d`` has metallic in red and roughness in green, as its paint model
            gives them; ``gltf ORM`` has roughness in green and metallic in blue; its red is taken, too, and means
            occlusion where the mesh's own does.
        normal_map: ``[H, W, 3]``, 0..1, in tangent space.
        occlusion: ``[H, W]``, or ``[H, W, C]`` with it in the first channel, 0..1, 1 = open.
        normal_layout: one of :data:`NORMAL_LAYOUTS`: whether green of ``normal_map`` is up, as meshes have it, or
            down.

    Raises:
        ValueError: no UVs, another layout, or something that is no image.
    """
    check_choice(mr_layout, LAYOUTS, "mr_layout")
    check_choice(normal_layout, NORMAL_LAYOUTS, "normal_layout")
    mesh.require_uvs()
    surface, bumps = mesh.metallic_roughness, mesh.normal_map
    if metallic_roughness is not None:
        surface = _image(metallic_roughness, mesh, "metallic_roughness")
        if mr_layout == "hunyuan3d":
            metallic, roughness, _ = surface.unbind(-1)
            surface = torch.stack((torch.ones_like(metallic), roughness, metallic), dim=-1)
            if mesh.occlusion_in_mr and mesh.metallic_roughness is not None:
                surface = _occluded(surface, mesh.metallic_roughness)
    if occlusion is not None:
        open_ = _image(occlusion[..., None] if occlusion.ndim == 2 else occlusion, mesh, "occlusion", channels=1)
        surface = open_.new_tensor([1.0, 1.0, 0.0]).view(1, 1, 3) if surface is None else surface
        surface = _occluded(surface, open_)
    if normal_map is not None:
        bumps = _image(normal_map, mesh, "normal_map")
        if normal_layout == "directx":
            bumps = torch.stack((bumps[..., 0], 1 - bumps[..., 1], bumps[..., 2]), dim=-1)
    return replace(
        mesh,
        texture=_image(base_color, mesh, "base_color"),
        metallic_roughness=surface,
        vertex_colors=None,
        normal_map=bumps,
        occlusion_in_mr=mesh.occlusion_in_mr or occlusion is not None,
    )


def _occluded(surface: Tensor, occlusion: Tensor) -> Tensor:
    """``[H, W, 3]``: the first channel of ``occlusion [h, w, C]`` in red of ``surface``, at the larger size of both."""
    height, width = (max(sides) for sides in zip(surface.shape[:2], occlusion.shape[:2], strict=True))

    def resized(image: Tensor) -> Tensor:
        if image.shape[:2] == (height, width):
            return image
        channels = image.permute(2, 0, 1)[None]
        return interpolate(channels, (height, width), mode="bilinear", antialias=True)[0].permute(1, 2, 0)

    return torch.cat((resized(occlusion[..., :1]), resized(surface)[..., 1:]), dim=-1)


def _image(value: Tensor, mesh: Mesh, name: str, channels: int = 3) -> Tensor:
    value = as_tensor(value, name)
    if value.ndim != 3 or value.shape[-1] < channels or not value.numel():
        raise ValueError(f"{name}: is {list(value.shape)}, expected an image [H, W, {channels}]")
    return value[..., :channels].detach().to(mesh.vertices.device, torch.float32).clamp(0.0, 1.0)
