"""Pictures that a mesh file brings, kept from trimesh, which gets stand-ins of one pixel for them.

:mod:`rasterizer.pictures.untrusted` says why.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

from ..pictures.untrusted import TextureFile


class Textures:
    """The pictures of one mesh file, and the stand-ins by which they are found in trimesh's materials again."""

    def __init__(self) -> None:
        self._files: list[TextureFile] = []
        self._known: dict[bytes, int] = {}

    def add(self, data: bytes) -> bytes:
        """Take a picture file in; the stand-in for it, a PNG of one pixel whose colour is its number.

        Raises:
            ValueError: as :class:`TextureFile`.
        """
        key = hashlib.sha256(data).digest()
        if key not in self._known:  # a picture that is there many times is kept, and later decoded, once
            self._files.append(TextureFile(data))
            self._known[key] = len(self._files) - 1
        return _stand_in(self._known[key])

    @staticmethod
    def blank() -> bytes:
        """The stand-in for a picture that nobody uses."""
        return _stand_in(0xFFFFFF)

    def find(self, image: Any) -> TextureFile | None:
        """The picture behind what trimesh has as an image; None where that is no stand-in."""
        if getattr(image, "size", None) != (1, 1) or image.mode != "RGB":
            return None
        number = int.from_bytes(bytes(image.getpixel((0, 0))), "big")
        return self._files[number] if number < len(self._files) else None


def _stand_in(number: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (1, 1), tuple(number.to_bytes(3, "big"))).save(stream, format="PNG")
    return stream.getvalue()
