"""Arguments that baking and refining share."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ...contract.checks import as_tensor, check_integer, check_number
from ...pictures.stored import is_stored


def check_trust(exponent: Any, max_angle: Any, border: Any) -> tuple[float, float, int]:
    """How far a view counts: the exponent, the cosine of ``max_angle`` degrees, and pixels of border."""
    exponent = check_number(exponent, "exponent")
    if not 0 < check_number(max_angle, "max_angle") <= 90:
        raise ValueError(f"max_angle: is {max_angle}, expected degrees above 0 and at most 90")
    return exponent, math.cos(math.radians(max_angle)), check_integer(border, 0, 1024, "border")


def check_pictures(images: Tensor, masks: Tensor | None, cameras: int) -> tuple[Tensor, Tensor | None]:
    """Images and masks as tensors that fit each other and the number of cameras."""
    images = as_tensor(images, "images")
    if images.ndim != 4 or not is_stored(images) or len(images) != cameras or not cameras:
        raise ValueError(
            f"images: found {list(images.shape)} {images.dtype} for {cameras} cameras, expected one image for "
            "each camera, floating-point or uint8 [V, H, W, C]"
        )
    if masks is not None:
        masks = as_tensor(masks, "masks")
        if masks.shape != images.shape[:3]:
            raise ValueError(f"masks: found {list(masks.shape)}, expected {list(images.shape[:3])}, as the images")
        masks = masks if masks.is_floating_point() else masks != 0  # 255 for yes must not weigh 255 times as much
    return images, masks
