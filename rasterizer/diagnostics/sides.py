"""What a texture looks like: seen from other sides than those it was painted from, beside the true colour."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cameras.views import View
from ..meshes.mesh import Mesh
from ..pictures.sampling import by_pixel, sample_texture
from ..rendering.raster import rasterize_mesh
from .fields import normalized

SIDES = tuple(View(azimuth, elevation) for azimuth, elevation in ((35, 20), (125, -15), (215, 30), (305, -25)))
"""From where textures are looked at."""

_SAMPLES = 3  # along a pixel's side


@dataclass(frozen=True)
class Sides:
    """The pixels of pictures from all :data:`SIDES` that show nothing but the mesh, ``P`` of them, nine samples each.

    Attributes:
        uv: ``[P, 9, 2]``.
        positions: ``[P, 9, 3]`` on the normalised mesh.
    """

    uv: Tensor
    positions: Tensor

    @classmethod
    def of(cls, mesh: Mesh, size: int) -> Sides:
        """Pictures of ``size x size`` pixels."""
        attributes = torch.cat((mesh.require_uvs(), normalized(mesh)), dim=1)
        found = []
        for view in SIDES:
            raster = rasterize_mesh(mesh, [view.camera()], (size * _SAMPLES, size * _SAMPLES))
            shown = by_pixel(raster.findices[0, 0, ..., None] > 0, _SAMPLES).all(1).squeeze(1)
            found.append(by_pixel(raster.interpolate(attributes)[0, 0], _SAMPLES)[shown.nonzero().squeeze(1)])
        samples = torch.cat(found)
        return cls(samples[..., :2].contiguous(), samples[..., 2:].contiguous())

    def truth(self, color: Callable[[Tensor], Tensor]) -> Tensor:
        """``[P, C]``, what the pixels should show of a colour of the normalised position."""
        return color(self.positions).mean(1)

    def error(self, texture: Tensor, painted: Tensor, truth: Tensor) -> float:
        """PSNR in dB of ``texture [H, W, C]`` by a bilinear look-up, where that needs only what is ``painted``."""
        cover = sample_texture(painted.to(texture)[..., None], self.uv)
        whole = (cover > 1 - 1e-5).all(1).squeeze(1).nonzero().squeeze(1)
        return psnr(sample_texture(texture, self.uv[whole]).mean(1), truth[whole])


def psnr(found: Tensor, wanted: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..1; 120 for equal ones."""
    return -10 * math.log10(max(float((found - wanted).square().mean()), 1e-12))
