"""Colours of a mesh that are known everywhere, and pictures of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..cameras.camera import Camera
from ..cameras.projection import normalization
from ..meshes.mesh import Mesh
from ..rendering.raster import rasterize_mesh


def _smooth(points: Tensor, frequency: float = 9.0) -> Tensor:
    return 0.5 + 0.4 * torch.sin(frequency * points + torch.arange(3).to(points))


def _hard(points: Tensor) -> Tensor:
    checker = (torch.floor(8 * points).sum(dim=-1, keepdim=True) % 2 + 1) / 2
    return (0.25 + 0.5 * (0.5 * torch.sin(14 * points) + 0.5)) * checker + 0.1


FIELDS: dict[str, Callable[[Tensor], Tensor]] = {
    "smooth": _smooth,
    "fine": lambda points: _smooth(points, 60.0),
    "hard": _hard,
}
"""Colours of the normalised position, that views show and textures should hold."""

PICTURES = {"": 1, "antialiased": 3}
"""Kinds of pictures, and from how many points along each axis a pixel of them is averaged: renderers and painters make
the latter, in which pixels at edges mix the colours of both sides."""


def photograph(
    mesh: Mesh, cameras: Sequence[Camera], size: int, color: Callable[[Tensor], Tensor], samples: int
) -> Tensor:
    """``[V, H, W, 3]`` pictures on white in a colour of the normalised position; ``samples`` as in :func:`averaged`."""
    points, fine = normalized(mesh), samples * (size - 1) + 1
    pictures = []
    for camera in cameras:
        raster = rasterize_mesh(mesh, [camera], (fine, fine))
        picture = torch.where(raster.findices[:, 0, ..., None] > 0, color(raster.interpolate(points)[:, 0]), 1.0)
        pictures.append(averaged(picture, samples))
    return torch.cat(pictures)


def averaged(fine: Tensor, samples: int) -> Tensor:
    """``[V, H, W, C]`` pictures each pixel of which is the mean of ``samples`` by ``samples`` others; an odd number.

    ``fine`` has ``samples * (H - 1) + 1`` rows, and columns likewise: then every so many of its pixel centres are those
    of the result.
    """
    channels_first = fine.permute(0, 3, 1, 2)
    means = avg_pool2d(channels_first, samples, samples, padding=samples // 2, count_include_pad=False)
    return means.permute(0, 2, 3, 1).contiguous()


def normalized(mesh: Mesh) -> Tensor:
    """``[N, 3]`` vertices of the mesh as cameras see them: centred, in their normal size."""
    centre, scale = normalization(mesh.vertices)
    return (mesh.vertices - centre) * scale
