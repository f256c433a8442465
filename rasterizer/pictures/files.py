"""Pictures on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..runtime.files import write_atomically
from .untrusted import FORMATS, TextureFile

_ROWS = 64


def to_pil(image: Tensor) -> Any:
    """A Pillow image from ``[H, W, 3]``, ``[H, W, 4]`` or ``[H, W]`` values in 0..1, rounded to 8 bits."""
    from PIL import Image

    values = image.detach()
    shown = torch.empty(values.shape, dtype=torch.uint8)
    # At once, rounding would take eight times the picture.
    for rows, target in zip(values.split(_ROWS), shown.split(_ROWS), strict=True):
        target.copy_((rows.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8))
    return Image.fromarray(shown.numpy())


def load_images(paths: Sequence[str | Path]) -> Tensor:
    """``[B, H, W, 3]`` float32 0..1 of picture files, which must all be of one size; transparency is put on white.

    Raises:
        ValueError: a file that is no picture of :data:`~rasterizer.pictures.untrusted.FORMATS`, or one of another size
            than the first.
    """
    from PIL import Image

    images = []
    for path in paths:
        try:
            rgba = TextureFile(Path(path).read_bytes()).image().convert("RGBA")
        except Exception as error:  # what the parsers of Pillow raise on damaged files is not limited to any class
            raise ValueError(
                f"picture {path}: cannot be read ({error}), expected one of {', '.join(FORMATS)}"
            ) from None
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        plain = Image.alpha_composite(white, rgba).convert("RGB")
        flat = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
        images.append(flat.view(plain.height, plain.width, 3))
        if images[-1].shape != images[0].shape:
            first = " x ".join(map(str, images[0].shape[1::-1]))
            raise ValueError(f"picture {path}: is {plain.width} x {plain.height}, expected {first} as the first one")
    return torch.stack(images).to(torch.float32) / 255


def save_image(image: Tensor, path: str | Path) -> None:
    """Write an image; the file appears complete or not at all."""
    write_atomically(path, lambda temporary: to_pil(image).save(temporary))
