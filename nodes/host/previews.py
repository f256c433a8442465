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
_MOST = 36  # pictures
_LONGEST = 4096  # pixels of a side


def show_pictures(images: Tensor) -> dict[str, Any] | None:
    """A node's ``ui`` result with ``images [B, H, W, C]``; None where nobody looks.

    Of many, the first are shown, and of large ones every few pixels.
    """
    if not versions.somebody_watches():
        return None
    folder = Path(folder_paths.get_temp_directory()) / _SUBFOLDER
    folder.mkdir(parents=True, exist_ok=True)
    step = -(-max(images.shape[1:3]) // _LONGEST)
    token, entries = uuid.uuid4().hex[:16], []
    for number, image in enumerate(images[:_MOST, ::step, ::step]):
        name = f"{token}_{number}.png"
        to_pil(image.cpu()).save(folder / name, compress_level=1)
        entries.append({"filename": name, "subfolder": _SUBFOLDER, "type": "temp"})
    return {"images": entries}
