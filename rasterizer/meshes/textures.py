"""What a mesh file brings that is kept from trimesh, which gets stand-ins for it.

Pictures, for which it gets one pixel each (:mod:`rasterizer.pictures.untrusted` says why); and what it would drop of
materials, whose stand-in is the material's name.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pictures.untrusted import TextureFile, pixels


@dataclass(frozen=True)
class Note:
    """What trimesh drops of a material, or changes.

    Attributes:
        name: what the file calls it.
        normal_scale: of its normal map.
        occlusion_strength: of its occlusion, 0..1.
    """

    name: str = ""
    normal_scale: float = 1.0
    occlusion_strength: float = 1.0


def joint_size(*sizes: tuple[int, int]) -> tuple[int, int]:
    """``(width, height)`` of a picture with channels of several: the larger of each, or those of the picture with most
    texels where that would be more texels than all have, as of a row and a column."""
    wide, high = (max(sides) for sides in zip(*sizes, strict=True))
    areas = [math.prod(size) for size in sizes]
    return (wide, high) if wide * high <= sum(areas) else sizes[areas.index(max(areas))]


@dataclass(frozen=True)
class Apart:
    """Roughness and metallic that are a grey picture each, of which one may be missing and is white.

    Attributes:
        roughness, metallic: the pictures.
    """

    roughness: TextureFile | None
    metallic: TextureFile | None

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``, see :func:`joint_size`."""
        return joint_size(*(each.size for each in (self.roughness, self.metallic) if each is not None))

    def pixels(self) -> np.ndarray:
        """``[H, W, 3]`` uint8: roughness in green, metallic in blue.

        Raises:
            ValueError: one cannot be decoded.
        """
        from PIL import Image

        width, height = self.size
        texels = np.full((height, width, 3), 255, np.uint8)
        for channel, picture in ((1, self.roughness), (2, self.metallic)):
            if picture is not None:
                grey = pixels(picture)[..., 0]
                if picture.size != self.size:
                    grey = np.array(Image.fromarray(grey).resize(self.size, Image.Resampling.BILINEAR))
                texels[..., channel] = grey
        return texels


@dataclass(frozen=True)
class Maps:
    """What the material of an OBJ file has beside its colour, which trimesh does not read.

    Attributes:
        surface: roughness and metallic, if one of them is a picture.
        roughness, metallic: what these are where they are none.
        normal_map: normals in tangent space.
    """

    surface: Apart | None
    roughness: float
    metallic: float
    normal_map: TextureFile | None


class Textures:
    """The pictures of one mesh file and notes on its materials, found again by the stand-ins in trimesh's materials.

    Attributes:
        maps: those of an OBJ file's materials, by what :mod:`.mtl` marks them with.
    """

    def __init__(self) -> None:
        self._files: list[TextureFile] = []
        self._known: dict[bytes, int] = {}
        self._notes: dict[str, Note] = {}
        self.maps: dict[str, Maps] = {}

    def add(self, data: bytes) -> bytes:
        """Take a picture file in; the stand-in for it, a PNG of one pixel whose colour is its number.

        Raises:
            ValueError: as :class:`TextureFile`.
        """
        return _stand_in(self._number(data))

    def take(self, data: bytes) -> TextureFile:
        """Take a picture file in that trimesh does not ask for.

        Raises:
            ValueError: as :class:`TextureFile`.
        """
        return self._files[self._number(data)]

    def _number(self, data: bytes) -> int:
        key = hashlib.sha256(data).digest()
        if key not in self._known:  # a picture that is there many times is kept, and later decoded, once
            self._files.append(TextureFile(data))
            self._known[key] = len(self._files) - 1
        return self._known[key]

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

    def take_note(self, note: Note) -> str:
        """The name that a material shall have for trimesh."""
        name = f"material {len(self._notes)}"
        self._notes[name] = note
        return name

    def note(self, name: Any) -> Note | None:
        """What was noted of the material that trimesh calls ``name``, if anything was."""
        return self._notes.get(name) if isinstance(name, str) else None


def _stand_in(number: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (1, 1), tuple(number.to_bytes(3, "big"))).save(stream, format="PNG")
    return stream.getvalue()
