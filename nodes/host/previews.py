"""Pictures on a node, as ComfyUI's Preview Image shows them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import folder_paths
from torch import Tensor

from ...rasterizer.pictures.files import to_pil
from . import versions

_SUBFOLDER = "torch_raster"
MOST = 36  # pictures
_LONGEST = 4096  # pixels of a side


def show_pictures(images: Tensor) -> dict[str, Any] | None:
    """A node's ``ui`` result with ``images [B, H, W, C]``; None where nobody looks."""
    return {"images": save_pictures(images)} if versions.somebody_watches() else None


def save_pictures(images: Tensor) -> list[dict[str, str]]:
    """Files in ComfyUI's temp folder with ``images [B, H, W, C]``, as its frontend asks for them.

    Of many, the first :data:`MOST` are saved, and of large ones every few pixels.
    """
    folder = Path(folder_paths.get_temp_directory()) / _SUBFOLDER
    folder.mkdir(parents=True, exist_ok=True)
    step = -(-max(images.shape[1:3]) // _LONGEST)
    token, entries = uuid.uuid4().hex[:16], []
    for number, image in enumerate(images[:MOST, ::step, ::step]):
        name = f"{token}_{number}.png"
        to_pil(image.cpu()).save(folder / name, compress_level=1)
        entries.append({"filename": name, "subfolder": _SUBFOLDER, "type": "temp"})
    return entries
