"""What the benchmark of painted textures paints: photographs with text around a mesh, or a mesh's own picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..cameras.projection import normalization
from ..meshes.mesh import Mesh
from ..pictures.sampling import sample_texture
from ..rendering.raster import Raster

Surface = Callable[[Raster], Tensor]
"""``[V, H, W, 3]`` true colours of what a raster of the original mesh shows."""

_SIDE = 512


@dataclass(frozen=True)
class Subject:
    """What is painted.

    Attributes:
        name: for the table.
        original: the mesh as its colours know it.
        surface: its colours.
        mesh: the same triangles with the layout that is baked to.
    """

    name: str
    original: Mesh
    surface: Surface
    mesh: Mesh


def subjects(meshes: list[tuple[Mesh, Mesh]]) -> list[Subject]:
    """A subject for each pair of an original mesh and the same with the layout to bake to: with the original's own
    texture where it has one, else with photographs."""
    found = []
    for original, mesh in meshes:
        own = original.texture is not None and original.uvs is not None
        found.append(Subject(mesh.name, original, _own(original) if own else _photographs(original), mesh))
    return found


def _own(mesh: Mesh) -> Surface:
    texture, uvs = mesh.texture, mesh.require_uvs()
    assert texture is not None

    def surface(raster: Raster) -> Tensor:
        return sample_texture(texture, raster.interpolate(uvs)[:, 0])

    return surface


def _photographs(mesh: Mesh) -> Surface:
    """Three pictures seen along the axes, each where the surface faces its axis most, softly blended."""
    pictures = [torch.from_numpy(picture) for picture in _pictures()]
    centre, scale = normalization(mesh.vertices)
    points, normals = (mesh.vertices - centre) * scale, mesh.vertex_normals()

    def surface(raster: Raster) -> Tensor:
        place, toward = raster.interpolate(points)[:, 0], raster.interpolate(normals)[:, 0]
        shares = toward.abs() ** 8
        shares = shares / shares.sum(-1, keepdim=True).clamp(min=1e-9)
        total = torch.zeros_like(place)
        for axis, picture in enumerate(pictures):
            across, down = (other for other in range(3) if other != axis)
            uv = torch.stack((place[..., across], -place[..., down]), dim=-1) * 0.75 + 0.5
            total += sample_texture(picture, uv) * shares[..., axis, None]
        return total

    return surface


def _pictures() -> list[np.ndarray]:
    """Three pictures ``[512, 512, 3]`` in 0..1 with text: photographs where scikit-image is installed, else clouds."""
    if importlib.util.find_spec("skimage") is not None:
        from skimage import data

        raw = [data.astronaut(), data.coffee(), data.chelsea()]
    else:
        raw = [_clouds(seed) for seed in range(3)]
    made = []
    for number, pixels in enumerate(raw):
        picture = Image.fromarray(pixels).convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(picture)
        for line in range(6):
            shade = (255, 255, 255) if line % 2 else (20, 20, 20)
            draw.text((30 + 60 * number, 25 + 80 * line), "torch rasterizer 0123456789", fill=shade)
        made.append(np.asarray(picture, dtype=np.float32) / 255)
    return made


def _clouds(seed: int) -> np.ndarray:
    """Noise of all sizes, as natural pictures have it."""
    random = np.random.RandomState(seed)
    total = np.zeros((_SIDE, _SIDE, 3), dtype=np.float64)
    for level in range(1, 8):
        side = 2**level
        coarse = Image.fromarray((random.rand(side, side, 3) * 255).astype(np.uint8))
        total += np.asarray(coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), dtype=np.float64) / side**0.7
    low, high = total.min(), total.max()
    return ((total - low) / (high - low) * 255).astype(np.uint8)
