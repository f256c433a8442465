"""Picture files that strangers made, decoded by us alone.

No decoder then runs that is not meant to (Pillow hands EPS to Ghostscript), nothing is decoded that is not used, and a
size is known before anything is allocated.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.limits import TEXTURE_SIDE

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "TGA")
"""Of pictures that are decoded, by Pillow's names; TGA last, because nothing marks a TGA file."""

_IN_MEMORY = (None, *FORMATS, "MPO")  # what Pillow calls a JPEG of several pictures


class TextureFile:
    """A picture file of an allowed format and size, not decoded yet.

    Attributes:
        size: ``(width, height)`` in texels.

    Raises:
        ValueError: it is none; the text says why.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        image = _open(data)
        for side in image.size:
            TEXTURE_SIDE.check(side)
        self.size: tuple[int, int] = image.size

    def image(self) -> Image.Image:
        """The picture as Pillow has it, decoded when it is asked for its pixels."""
        return _open(self._data)


def _open(data: bytes) -> Image.Image:
    """Pillow's image of an allowed format. Unlike ``Image.open``, this neither tries other formats nor refuses the
    sizes that :data:`TEXTURE_SIDE` allows."""
    from PIL import Image

    Image.init()
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        try:
            accepted = accept is None or accept(data[:16])  # a text says why this Pillow cannot
            if factory is not None and accepted and not isinstance(accepted, str):
                return factory(io.BytesIO(data), "")
        except Exception:  # what the parsers of Pillow raise on damaged files is not limited to any class
            continue
    raise ValueError(f"is no picture that can be read, expected one of {', '.join(FORMATS)}")


def pixels(image: Image.Image | TextureFile) -> np.ndarray:
    """``[H, W, 3]`` uint8 of a picture.

    Raises:
        ValueError: it cannot be decoded, or is of a format or size that is not allowed.
    """
    if isinstance(image, TextureFile):
        image = image.image()
    elif image.format not in _IN_MEMORY:
        raise ValueError(f"is a {image.format} picture, expected one of {', '.join(FORMATS)}")
    for side in image.size:
        TEXTURE_SIDE.check(side)
    try:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:  # Pillow decodes only now, see above
        raise ValueError(f"cannot be decoded ({error}), expected a complete picture") from error
