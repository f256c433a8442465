"""How good textures are that come from views which do not agree: painted on purpose, baked, and seen from other sides.

Six views of 512 pixels go to a texture of 1024. Four other cameras look at the result, and are compared with what they
would see of the true surface, where at least one view has painted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..cameras.camera import Camera
from ..cameras.views import PRESETS, View
from ..meshes.mesh import Mesh
from ..pictures.sampling import sample_texture
from ..rendering.raster import Raster, rasterize_mesh
from ..texturing import spread
from ..texturing.bake.flow import find_flow, luminance, masked_blur, warp
from ..texturing.bake.view import Lens, columns, unit
from .fields import averaged
from .painters import PAINTERS
from .seams import seam_difference, seam_sides
from .sides import SIDES

VIEW_SIZE, TEXTURE_SIZE = 512, 1024
_SAMPLES = 2  # a pixel's side, of the four cameras
_LIMIT = math.cos(math.radians(75))

Surface = Callable[[Raster], Tensor]
"""``[V, H, W, 3]`` true colours of what a raster of the original mesh shows."""

Texture = tuple[Tensor, Tensor]
"""``[H, W, 3]``, and ``[H, W]`` bool of what is painted; the rest is filled."""

Method = Callable[[Mesh, Tensor, Sequence[View]], Texture]
"""The mesh with the layout to bake to, pictures and views, to a texture."""


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


@dataclass(frozen=True)
class Row:
    """One texture.

    Attributes:
        subject, painter, method: what, disturbed by whom, baked how.
        psnr_g: dB over what is painted, after one gain a channel.
        psnr_reg: dB where two views or more overlap, after a smooth flow to the truth too: what remains is ghosting,
            blur and colour.
        sharp: gradient over the truth's.
        gcorr: correlation of the gradients of both after the flow, there.
        jump: mean step of colour (of 255) across borders between the views that weigh most, beyond the truth's, less
            the same inside.
        seam: mean difference of colour (of 255) between the two sides of UV seams.
        seconds: for the bake, and what goes with it.
    """

    subject: str
    painter: str
    method: str
    psnr_g: float
    psnr_reg: float
    sharp: float
    gcorr: float
    jump: float
    seam: float
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


class Examiner:
    """The four cameras, and what they would see of the truth."""

    def __init__(self, subject: Subject, views: Sequence[View]) -> None:
        cameras = [view.camera() for view in SIDES]
        fine = VIEW_SIZE * _SAMPLES
        self._mesh = subject.mesh
        raster = rasterize_mesh(subject.mesh, cameras, (fine, fine))
        original = rasterize_mesh(subject.original, cameras, (fine, fine))
        self._shown = raster.findices[:, 0] > 0
        self._uv = raster.interpolate(subject.mesh.require_uvs())[:, 0]
        self.truth = _reduced(subject.surface(original))
        weights = _weights(subject.mesh, raster, views)
        coarse = weights[:, :, ::_SAMPLES, ::_SAMPLES]
        self._views = (coarse > 0).sum(0)
        self._heaviest = coarse.argmax(0)
        self._seams = seam_sides(subject.mesh)

    def row(self, texture: Tensor, painted: Tensor) -> dict[str, float]:
        """All figures of a texture."""
        cover = sample_texture(painted.to(texture)[..., None], self._uv)[..., 0] * self._shown
        mask = _reduced(cover[..., None])[..., 0] > 0.999
        seen = _reduced(sample_texture(texture, self._uv))
        overlap = mask & (self._views >= 2)
        gains = _gains(seen, self.truth, mask)
        even = seen * gains
        moved, trust = self._registered(even, mask)
        overlap = overlap & trust
        return {
            "psnr_g": _psnr(even, self.truth, mask),
            "psnr_reg": _psnr(moved, self.truth, overlap),
            "sharp": float(_slope(even, mask).mean() / _slope(self.truth, mask).mean()),
            "gcorr": _correlation(moved, self.truth, overlap),
            "jump": self._jump(even, mask),
            "seam": seam_difference(texture, self._seams),
        }

    def _registered(self, seen: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The picture brought to the truth by a smooth flow, and where that shows what is painted."""
        picture, target = (value.permute(0, 3, 1, 2) for value in (seen, self.truth))
        valid = mask[:, None].to(seen)
        flow = find_flow(luminance(picture), luminance(target), valid)
        flow = masked_blur(flow, valid, 6.0)
        moved = warp(picture, flow).permute(0, 2, 3, 1)
        return moved, (warp(valid, flow)[:, 0] > 0.999) & mask

    def _jump(self, seen: Tensor, mask: Tensor) -> float:
        across, inside, count_across, count_inside = 0.0, 0.0, 0, 0
        for axis in (1, 2):
            length = mask.shape[axis] - 1
            low, high = slice(0, length), slice(1, length + 1)

            def step(values: Tensor, axis: int = axis, low: slice = low, high: slice = high) -> Tensor:
                return _cut(values, axis, high) - _cut(values, axis, low)

            both = _cut(mask, axis, low) & _cut(mask, axis, high)
            border = both & (_cut(self._heaviest, axis, low) != _cut(self._heaviest, axis, high))
            excess = (step(seen).abs() - step(self.truth).abs()).mean(-1)
            across += float(excess[border].sum())
            inside += float(excess[both & ~border].sum())
            count_across += int(border.sum())
            count_inside += int((both & ~border).sum())
        return 255 * (across / max(count_across, 1) - inside / max(count_inside, 1))


def _cut(values: Tensor, axis: int, part: slice) -> Tensor:
    return values[:, part] if axis == 1 else values[:, :, part]


def _reduced(fine: Tensor) -> Tensor:
    """``[V, H, W, C]``, each pixel the mean of its samples."""
    views, height, width, channels = fine.shape
    parts = fine.view(views, height // _SAMPLES, _SAMPLES, width // _SAMPLES, _SAMPLES, channels)
    return parts.mean((2, 4))


def _weights(mesh: Mesh, raster: Raster, views: Sequence[View]) -> Tensor:
    """``[P, V, H, W]``: how much each painting view counts at what a raster shows: cosine to the fourth, where seen."""
    cameras = [view.camera() for view in views]
    pictures = rasterize_mesh(mesh, cameras, (VIEW_SIZE, VIEW_SIZE))
    depth = pictures.distance()[:, 0]
    points = columns(raster.interpolate(mesh.vertices)[:, 0].reshape(-1, 3))
    normals = unit(columns(raster.interpolate(mesh.vertex_normals())[:, 0].reshape(-1, 3)))
    shape = raster.findices[:, 0].shape
    found = []
    for number, lens in enumerate(Lens.of_each(cameras, mesh, VIEW_SIZE, VIEW_SIZE)):
        cosine = lens.cosine(points, normals)
        x, y, away = lens.pixel(lens.place(points))
        column, row = (value.round().clamp(0, VIEW_SIZE - 1).long() for value in (x, y))
        shown = depth[number, row, column]
        visible = (cosine > _LIMIT) & ((away - shown).abs() < 0.02) & (shown > 0)
        found.append((cosine.clamp(min=0) ** 4 * views[number].weight * visible).view(shape))
    return torch.stack(found)


def _gains(seen: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """One factor a channel that brings the picture closest to the truth."""
    one, other = seen[mask], truth[mask]
    return (one * other).sum(0) / one.square().sum(0).clamp(min=1e-9)


def _psnr(found: Tensor, wanted: Tensor, mask: Tensor) -> float:
    return -10 * math.log10(max(float((found - wanted)[mask].square().mean()), 1e-12))


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


def measure(
    subjects: Sequence[Subject], methods: dict[str, Method], painters: Sequence[str], seed: int
) -> Iterator[Row]:
    """Every subject by every painter and method."""
    views = PRESETS["hunyuan3d-2"]
    for subject in subjects:
        exact, shown = _photograph(subject, [view.camera() for view in views])
        examiner = Examiner(subject, views)
        for painter in painters:
            pictures = PAINTERS[painter](exact, shown, seed)
            for name, method in methods.items():
                start = time.perf_counter()
                texture, painted = method(subject.mesh, pictures, views)
                seconds = time.perf_counter() - start
                filled = spread(texture, painted)
                yield Row(subject.name, painter, name, **examiner.row(filled, painted), seconds=seconds)


def _photograph(subject: Subject, cameras: Sequence[Camera]) -> tuple[Tensor, Tensor]:
    """Pictures on white, averaged over 3 x 3 samples a pixel, and where they show the mesh."""
    pictures, shown, fine = [], [], 3 * (VIEW_SIZE - 1) + 1
    for camera in cameras:
        raster = rasterize_mesh(subject.original, [camera], (fine, fine))
        there = raster.findices[:, 0] > 0
        pictures.append(averaged(torch.where(there[..., None], subject.surface(raster), 1.0), 3))
        shown.append(there[:, ::3, ::3])
    return torch.cat(pictures), torch.cat(shown)
