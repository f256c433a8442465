"""Views as they come to the nodes: meshes, cameras, their pictures, masks that fit them; reports on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...rasterizer.cameras.camera import Camera
from ...rasterizer.meshes.mesh import Mesh
from .cameras import read_cameras
from .meshes import read_meshes


def size_of(images: torch.Tensor) -> str:
    """Width and height, for people."""
    return f"{images.shape[2]} x {images.shape[1]}"


def read_views(mesh: Any, cameras: Any) -> tuple[list[Mesh], list[Camera]]:
    """The meshes, and the cameras that pictures of each of them were made with."""
    meshes, views = read_meshes(mesh), read_cameras(cameras)
    if not views:
        raise ValueError("cameras: nothing is connected, expected the cameras that the images were made with")
    return meshes, views


def check_pictures(images: torch.Tensor, name: str, meshes: int, views: int) -> None:
    """Refuse pictures that are not one for each of the ``views`` of each of the ``meshes``."""
    count = meshes * views
    if images.ndim != 4 or images.shape[-1] < 3:
        raise ValueError(f"{name}: found {list(images.shape)}, expected [B, H, W, 3]")
    if len(images) != count:
        expected = f"{views} cameras" if meshes == 1 else f"{views} cameras and {meshes} meshes"
        raise ValueError(f"{name}: found {len(images)} pictures for {expected}, expected {count}")


def check_textures(texture: torch.Tensor, painted: torch.Tensor, meshes: int) -> torch.Tensor:
    """``painted`` as ``[meshes, H, W]``, which must fit the textures, one for each mesh."""
    painted = batch_of(painted)
    if len(texture) != meshes or len(painted) != meshes:
        raise ValueError(
            f"texture: found {len(texture)} textures and {len(painted)} masks for {meshes} meshes, expected "
            "one of each for every mesh"
        )
    if painted.shape != texture.shape[:3]:
        raise ValueError(f"painted: is {size_of(painted)}, expected {size_of(texture)}, as the texture")
    return painted


def batch_of(masks: torch.Tensor) -> torch.Tensor:
    """``[B, H, W]``: nodes that make a single mask may leave the first axis out."""
    return masks if masks.ndim == 3 else masks[None]


def read_masks(masks: torch.Tensor | None, images: torch.Tensor, meshes: int) -> list[torch.Tensor | None]:
    """For each mesh the masks ``[views, H, W]`` of its images, in their size; None where there are none."""
    if masks is None:
        return [None] * meshes
    count, size = len(images), tuple(images.shape[1:3])
    masks = batch_of(masks)
    if len(masks) not in (1, count):
        raise ValueError(f"masks: found {len(masks)}, expected {count}, one for each image, or 1 for all")
    return list(_resized(masks, size).expand(count, -1, -1).split(count // meshes))


def _resized(masks: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """``[B, H, W]`` masks in another size, ``(height, width)``."""
    if tuple(masks.shape[1:]) == size:
        return masks
    return torch.nn.functional.interpolate(masks[:, None].float(), size, mode="bilinear", antialias=True)[:, 0]


def read_base(
    base: torch.Tensor | None, second: torch.Tensor | None, wants_second: bool, texture_size: int, meshes: int
) -> list[torch.Tensor | None]:
    """For each mesh the texture ``[H, W, C]`` to paint onto; None where there is none.

    Args:
        base: base_texture.
        second: base_metallic_roughness, which becomes further channels.
        wants_second: whether there are pictures for it.
        texture_size: the longer side that they must have.
        meshes: how many there are.
    """
    if base is None:
        if second is not None:
            raise ValueError("base_metallic_roughness: is connected without base_texture, expected both")
        return [None] * meshes
    if (second is not None) != wants_second:
        there, missing = ("metallic_roughness", "base_metallic_roughness")[:: 1 if wants_second else -1]
        raise ValueError(
            f"{missing}: is not connected, but base_texture and {there} are; expected both, or neither. Mesh to Images "
            "gives the metallic_roughness of a mesh"
        )
    parts = []
    for name, value in (("base_texture", base), ("base_metallic_roughness", second)):
        if value is None:
            continue
        if value.ndim != 4 or value.shape[3] < 3 or len(value) not in (1, meshes):
            raise ValueError(
                f"{name}: found {list(value.shape)}, expected [1 or {meshes}, H, W, 3], one for all or for each mesh"
            )
        if value.shape[1:3] != base.shape[1:3]:
            raise ValueError(
                f"{name}: is {size_of(value)}, expected {size_of(base)}, as base_texture; put Upscale Image between"
            )
        parts.append(value[..., :3].expand(meshes, -1, -1, -1))
    longer = max(base.shape[1:3])
    if longer != texture_size:
        raise ValueError(
            f"texture_size: is {texture_size}, but base_texture is {size_of(base)}; set texture_size to {longer}, or "
            f"put Upscale Image between, for {texture_size}"
        )
    return list(torch.cat(parts, dim=3))


def read_paint(paint: torch.Tensor | None, base: torch.Tensor | None, meshes: int) -> list[torch.Tensor | None]:
    """For each mesh the mask ``[H, W]`` of its texture, in the size of that; None where there is none."""
    if paint is None:
        return [None] * meshes
    if base is None:
        raise ValueError(
            "paint_mask: is connected without base_texture, expected both; Mesh to Images gives the texture of a mesh"
        )
    paint = batch_of(paint)
    if len(paint) not in (1, meshes):
        raise ValueError(f"paint_mask: found {len(paint)}, expected {meshes}, one for each mesh, or 1 for all")
    return list(_resized(paint, tuple(base.shape[1:3])).expand(meshes, -1, -1))


def join_reports(texts: Sequence[str]) -> str:
    """One text from those on each mesh of a batch."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"Mesh {number} of {len(texts)}: {text}" for number, text in enumerate(texts, 1))
