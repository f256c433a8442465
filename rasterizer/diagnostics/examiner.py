"""Figures of a texture painted by views that do not agree: seen from four other sides, beside the truth.

Pixels count whose bilinear look-ups need only what is painted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..cameras.views import View
from ..meshes.mesh import Mesh
from ..pictures.sampling import sample_texture
from ..rendering.raster import Raster, rasterize_mesh
from ..texturing.bake.flow import find_flow, luminance, masked_blur, warp
from ..texturing.bake.vectors import columns, unit
from ..texturing.bake.view import Lens
from .seams import seam_difference, seam_sides
from .sides import SIDES, psnr
from .subjects import Subject

_SAMPLES = 2  # a pixel's side, of the four cameras
_LIMIT = math.cos(math.radians(75))
_WHOLE = 0.999


@dataclass(frozen=True)
class Made:
    """A texture.

    Attributes:
        texture: ``[H, W, 3]``, filled.
        painted: ``[H, W]`` bool, what was not filled.
        mesh: with the UVs by which it is looked up.
    """

    texture: Tensor
    painted: Tensor
    mesh: Mesh


class Examiner:
    """The four cameras, and what they would see of the truth."""

    def __init__(self, subject: Subject, views: Sequence[View], size: int) -> None:
        """``views`` paint pictures of ``size x size`` pixels, which is also what the four cameras see."""
        cameras = [view.camera() for view in SIDES]
        fine = size * _SAMPLES
        raster = self._raster = rasterize_mesh(subject.mesh, cameras, (fine, fine))
        original = rasterize_mesh(subject.original, cameras, (fine, fine))
        self._shown = raster.findices[:, 0] > 0
        self._inside = _reduced(self._shown[..., None].to(raster.barycentric))[..., 0] > _WHOLE
        self.truth = _reduced(subject.surface(original))
        weights = _weights(subject.mesh, raster, views, size)
        coarse = weights[:, :, ::_SAMPLES, ::_SAMPLES]
        self._views = (coarse > 0).sum(0)
        self._heaviest = coarse.argmax(0)

    def row(self, made: Made) -> dict[str, float]:
        """The figures of a :class:`.painted.Row`."""
        uv = self._raster.interpolate(made.mesh.require_uvs())[:, 0]
        cover = sample_texture(made.painted.to(made.texture)[..., None], uv)[..., 0] * self._shown
        mask = _reduced(cover[..., None])[..., 0] > _WHOLE
        seen = _reduced(sample_texture(made.texture, uv))
        overlap = mask & (self._views >= 2)
        gains = _gains(seen, self.truth, mask)
        even = seen * gains
        moved, trust = self._registered(even, mask)
        overlap = overlap & trust
        return {
            "share": float(mask.sum() / self._inside.sum()),
            "psnr_g": psnr(even[mask], self.truth[mask]),
            "psnr_reg": psnr(moved[overlap], self.truth[overlap]),
            "sharp": float(_slope(even, mask).mean() / _slope(self.truth, mask).mean()),
            "gcorr": _correlation(moved, self.truth, overlap),
            "jump": self._jump(even, mask),
            "uvseam": seam_difference(made.texture, seam_sides(made.mesh)),
        }

    def _registered(self, seen: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The picture brought to the truth by a smooth flow, and where that shows what is painted."""
        picture, target = (value.permute(0, 3, 1, 2) for value in (seen, self.truth))
        valid = mask[:, None].to(seen)
        flow = find_flow(luminance(picture), luminance(target), valid)
        flow = masked_blur(flow, valid, 6.0)
        moved = warp(picture, flow).permute(0, 2, 3, 1)
        return moved, (warp(valid, flow)[:, 0] > _WHOLE) & mask

    def _jump(self, seen: Tensor, mask: Tensor) -> float:
        across, inside, count_across, count_inside = 0.0, 0.0, 0, 0
        off = seen - self.truth
        for axis in (1, 2):
            length = mask.shape[axis] - 1
            low, high = (partial(torch.narrow, dim=axis, start=start, length=length) for start in (0, 1))
            both = low(mask) & high(mask)
            border = both & (low(self._heaviest) != high(self._heaviest))
            step = (high(off) - low(off)).norm(dim=-1)
            across += float(step[border].sum())
            inside += float(step[both & ~border].sum())
            count_across += int(border.sum())
            count_inside += int((both & ~border).sum())
        return 255 * (across / max(count_across, 1) - inside / max(count_inside, 1))


def _reduced(fine: Tensor) -> Tensor:
    """``[V, H, W, C]``, each pixel the mean of its samples."""
    views, height, width, channels = fine.shape
    parts = fine.view(views, height // _SAMPLES, _SAMPLES, width // _SAMPLES, _SAMPLES, channels)
    return parts.mean((2, 4))


def _weights(mesh: Mesh, raster: Raster, views: Sequence[View], size: int) -> Tensor:
    """``[P, V, H, W]``: how much each painting view counts at what a raster shows: cosine to the fourth, where seen."""
    cameras = [view.camera() for view in views]
    pictures = rasterize_mesh(mesh, cameras, (size, size))
    depth = pictures.distance()[:, 0]
    points = columns(raster.interpolate(mesh.vertices)[:, 0].reshape(-1, 3))
    normals = unit(columns(raster.interpolate(mesh.vertex_normals())[:, 0].reshape(-1, 3)))
    shape = raster.findices[:, 0].shape
    found = []
    for number, lens in enumerate(Lens.of_each(cameras, mesh, size, size)):
        cosine = lens.cosine(points, normals)
        x, y, away = lens.pixel(lens.place(points))
        column, row = (value.round().clamp(0, size - 1).long() for value in (x, y))
        shown = depth[number, row, column]
        visible = (cosine > _LIMIT) & ((away - shown).abs() < 0.02) & (shown > 0)
        found.append((cosine.clamp(min=0) ** 4 * views[number].weight * visible).view(shape))
    return torch.stack(found)


def _gains(seen: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """One factor a channel that brings the picture closest to the truth."""
    one, other = seen[mask], truth[mask]
    return (one * other).sum(0) / one.square().sum(0).clamp(min=1e-9)


def _gradient(picture: Tensor) -> Tensor:
    gray = luminance(picture.permute(0, 3, 1, 2))[:, 0]
    x, y = torch.zeros_like(gray), torch.zeros_like(gray)
    x[:, :, 1:-1] = (gray[:, :, 2:] - gray[:, :, :-2]) / 2
    y[:, 1:-1] = (gray[:, 2:] - gray[:, :-2]) / 2
    return torch.stack((x, y), dim=-1)


def _inner(mask: Tensor) -> Tensor:
    inner = mask.clone()
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    inner[:, :, 1:] &= mask[:, :, :-1]
    inner[:, :, :-1] &= mask[:, :, 1:]
    return inner


def _slope(picture: Tensor, mask: Tensor) -> Tensor:
    return _gradient(picture)[_inner(mask)].norm(dim=-1)


def _correlation(found: Tensor, wanted: Tensor, mask: Tensor) -> float:
    one, other = (_gradient(picture)[_inner(mask)].flatten() for picture in (found, wanted))
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-12))
