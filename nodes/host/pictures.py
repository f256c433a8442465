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
    if tuple(masks.shape[1:]) != size:
        masks = torch.nn.functional.interpolate(masks[:, None].float(), size, mode="bilinear", antialias=True)[:, 0]
    return list(masks.expand(count, -1, -1).split(count // meshes))


def join_reports(texts: Sequence[str]) -> str:
    """One text from those on each mesh of a batch."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"Mesh {number} of {len(texts)}: {text}" for number, text in enumerate(texts, 1))
