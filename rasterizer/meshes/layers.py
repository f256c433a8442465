"""The pictures of one material, decoded when their pixels are asked for: base colour, surface and normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..pictures.colors import array_to_bytes, array_to_linear, array_to_srgb
from ..pictures.untrusted import TextureFile, pixels
from .parts import WHITE
from .textures import Apart, joint_size

if TYPE_CHECKING:
    from PIL import Image

_ROWS = 64  # of a picture that are worked on at once, in floating point


class Picture(Protocol):
    """One kind of texture of one material; a texel where the material has no image of it."""

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``."""

    def pixels(self) -> np.ndarray:
        """``[H, W, 3]`` uint8.

        Raises:
            ValueError: an image cannot be decoded.
        """


@dataclass(frozen=True)
class BaseColor:
    """An sRGB-coded image times a factor.

    Attributes:
        image: what to multiply; None is white.
        factor: linear RGB.
    """

    image: Image.Image | TextureFile | None
    factor: tuple[float, ...]

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``."""
        return _size(self.image)

    def pixels(self) -> np.ndarray:
        """``[H, W, 3]`` uint8, sRGB-coded."""
        texels = _decode(self.image)
        if self.factor != WHITE:
            table = array_to_srgb(array_to_linear(np.arange(256) / 255)[:, None] * np.array(self.factor))
            _look_up(texels, table)
        return texels


@dataclass(frozen=True)
class Surface:
    """Occlusion, roughness and metallic as glTF packs them, of one image or of two.

    Attributes:
        orm: whose green is roughness and whose blue is metallic; None is 1.
        factor: 1, roughness, metallic.
        occluded: whether red shall be occlusion, else it is what ``orm`` has there.
        occlusion: whose red is ambient occlusion; None is 1.
        strength: what of the occlusion counts; the rest is 1 (glTF 2.0, 3.9.3, occlusionTextureInfo.strength).
    """

    orm: Image.Image | TextureFile | Apart | None
    factor: tuple[float, float, float]
    occluded: bool = False
    occlusion: Image.Image | TextureFile | None = None
    strength: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``, see :func:`.textures.joint_size`."""
        return joint_size(_size(self.orm), _size(self.occlusion))

    def pixels(self) -> np.ndarray:
        """``[H, W, 3]`` uint8, linear."""
        texels = _resized(_decode(self.orm), self.size)
        if self.occluded and self.occlusion is None:
            texels[..., 0] = 255
        elif self.occluded and self.occlusion is not self.orm:
            texels[..., 0] = _resized(_decode(self.occlusion)[..., 0], self.size)
        values = np.arange(256)[:, None] / 255
        table = values * np.array(self.factor)
        if self.occluded:
            table[:, 0] = 1 + self.strength * (values[:, 0] - 1)
        if self.factor != WHITE or self.strength != 1:
            _look_up(texels, table)
        return texels


@dataclass(frozen=True)
class NormalMap:
    """Normals in tangent space.

    Attributes:
        image: of ``n / 2 + 0.5``; None is flat.
        scale: what the tangential parts are multiplied by (glTF 2.0, 3.9.3, normalTextureInfo.scale).
    """

    image: Image.Image | TextureFile | None
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``."""
        return _size(self.image)

    def pixels(self) -> np.ndarray:
        """``[H, W, 3]`` uint8, linear."""
        if self.image is None:
            return np.array([[[128, 128, 255]]], np.uint8)
        texels = _decode(self.image)
        for start in range(0, len(texels) if self.scale != 1 else 0, _ROWS):
            rows = texels[start : start + _ROWS]
            normals = rows / np.float32(127.5) - 1
            normals[..., :2] *= np.float32(self.scale)
            normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
            rows[:] = np.rint((normals + 1) * 127.5)
        return texels


def _size(image: Image.Image | TextureFile | Apart | None) -> tuple[int, int]:
    return (1, 1) if image is None else image.size


def _decode(image: Image.Image | TextureFile | Apart | None) -> np.ndarray:
    """``[H, W, 3]`` uint8 of nobody else; white where there is no image."""
    if image is None:
        return np.full((1, 1, 3), 255, np.uint8)
    try:
        return image.pixels() if isinstance(image, Apart) else pixels(image)
    except ValueError as error:
        raise ValueError(f"found a texture that {error}") from error


def _look_up(texels: np.ndarray, table: np.ndarray) -> None:
    """Replace each value of a channel by what ``table [256, 3]``, 0..1, has for it."""
    values = array_to_bytes(table)
    for row in texels:  # at once, the look-up would take eight times the picture
        row[:] = values[row, np.arange(3)]


def _resized(texels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    if texels.shape[1::-1] == size:
        return texels
    return np.array(Image.fromarray(texels).resize(size, Image.Resampling.BILINEAR))
