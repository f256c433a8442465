"""Pictures of views as they come to the nodes, with masks that fit them; reports on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def size_of(images: torch.Tensor) -> str:
    """Width and height, for people."""
    return f"{images.shape[2]} x {images.shape[1]}"


def check_pictures(images: torch.Tensor, name: str, count: int, meshes: int, views: int) -> None:
    """Refuse pictures that are not ``count``, one for each of the ``views`` of each of the ``meshes``."""
    if images.ndim != 4 or images.shape[-1] < 3:
        raise ValueError(f"{name}: found {list(images.shape)}, expected [B, H, W, 3]")
    if len(images) != count:
        expected = f"{views} cameras" if meshes == 1 else f"{views} cameras and {meshes} meshes"
        raise ValueError(f"{name}: found {len(images)} pictures for {expected}, expected {count}")


def check_textures(texture: torch.Tensor, painted: torch.Tensor, meshes: int) -> torch.Tensor:
    """``painted`` as ``[meshes, H, W]``, which must fit the textures, one for each mesh."""
    painted = painted if painted.ndim == 3 else painted[None]
    if len(texture) != meshes or len(painted) != meshes:
        raise ValueError(
            f"texture: found {len(texture)} textures and {len(painted)} masks for {meshes} meshes, expected "
            "one of each for every mesh"
        )
    if painted.shape != texture.shape[:3]:
        raise ValueError(f"painted: is {size_of(painted)}, expected {size_of(texture)}, as the texture")
    return painted


def read_masks(masks: torch.Tensor | None, count: int, size: tuple[int, int]) -> torch.Tensor | None:
    """``[count, H, W]`` masks in the size of the images."""
    if masks is None:
        return None
    masks = masks if masks.ndim == 3 else masks[None]
    if len(masks) not in (1, count):
        raise ValueError(f"masks: found {len(masks)}, expected {count}, one for each image, or 1 for all")
    if tuple(masks.shape[1:]) != size:
        masks = torch.nn.functional.interpolate(masks[:, None].float(), size, mode="bilinear", antialias=True)[:, 0]
    return masks.expand(count, -1, -1)


def join_reports(texts: Sequence[str]) -> str:
    """One text from those on each mesh of a batch."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"Mesh {number} of {len(texts)}: {text}" for number, text in enumerate(texts, 1))
