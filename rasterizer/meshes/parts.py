"""The parts of a scene, between reading them and joining them to one mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..pictures.colors import array_to_bytes, array_to_linear, array_to_srgb
from ..pictures.untrusted import TextureFile, pixels

if TYPE_CHECKING:
    from PIL import Image

WHITE = (1.0, 1.0, 1.0)
"""The factor that changes nothing."""


@dataclass
class Part:
    """One placed mesh of a scene.

    Attributes:
        vertices: ``[N, 3]`` float64, where they are in the scene.
        faces: ``[M, 3]`` int64, 0-based.
        normals: ``[N, 3]``, or None.
        uvs: ``[N, 2]``, or None; ``v = 0`` is the top of ``image``.
        colors: ``[N, 4]`` linear RGBA, 0..1, or None.
        image: the sRGB-coded base colour, to be multiplied by ``factor``; None is white.
        factor: linear RGB.
        orm: the linear metallic-roughness image, to be multiplied by ``orm_factor``; None is white.
        orm_factor: 1, roughness, metallic.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    uvs: np.ndarray | None
    colors: np.ndarray | None
    image: Image.Image | TextureFile | None
    factor: tuple[float, ...]
    orm: Image.Image | TextureFile | None = None
    orm_factor: tuple[float, float, float] = (1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Picture:
    """An image times a linear factor, decoded when its pixels are asked for; one texel where there is no image.

    Attributes:
        image: what to multiply, or None.
        factor: linear RGB.
        srgb: whether image and result are sRGB-coded, else linear.
    """

    image: Image.Image | TextureFile | None
    factor: tuple[float, ...]
    srgb: bool

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``."""
        return (1, 1) if self.image is None else self.image.size

    def pixels(self) -> np.ndarray:
        """``[H, W, 3]`` uint8.

        Raises:
            ValueError: the image cannot be decoded.
        """
        decode, encode = (array_to_linear, array_to_srgb) if self.srgb else (np.asarray, np.asarray)
        if self.image is None:
            return array_to_bytes(encode(np.array(self.factor)))[None, None]
        try:
            texels = pixels(self.image)
        except ValueError as error:
            raise ValueError(f"found a texture that {error}") from error
        if self.factor != WHITE:
            table = array_to_bytes(encode(decode(np.arange(256) / 255)[:, None] * np.array(self.factor)))
            for row in texels:  # at once, the look-up would take eight times the picture
                row[:] = table[row, np.arange(3)]
        return texels
