"""The parts of a scene, between reading them and joining them to one mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..pictures.untrusted import TextureFile
from .textures import Apart

if TYPE_CHECKING:
    from PIL import Image

WHITE = (1.0, 1.0, 1.0)
"""The factor that changes nothing."""

MATT = (1.0, 1.0, 0.0)
"""Of a material that says nothing of its surface: rough, and no metal."""


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
        occlusion: the linear image whose red is ambient occlusion; None is 1 everywhere.
        occlusion_strength: 0..1, how much of it counts.
        normal_map: the linear image of normals in tangent space; None is flat.
        normal_scale: what their tangential parts are multiplied by.
        material: what the file calls the material, or empty.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    uvs: np.ndarray | None
    colors: np.ndarray | None
    image: Image.Image | TextureFile | None
    factor: tuple[float, ...]
    orm: Image.Image | TextureFile | Apart | None = None
    orm_factor: tuple[float, float, float] = MATT
    occlusion: Image.Image | TextureFile | None = None
    occlusion_strength: float = 1.0
    normal_map: Image.Image | TextureFile | None = None
    normal_scale: float = 1.0
    material: str = ""
