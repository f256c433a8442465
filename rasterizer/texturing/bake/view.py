"""How one view sees points of a surface: where it shows them, in what colour, and how far that can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from ...cameras.camera import Camera
from ...cameras.projection import Frame, normalization
from ...meshes.mesh import Mesh
from ...pictures.stored import as_numbers
from .corners import apart_from, bilinear, closest
from .vectors import Columns, as_columns, columns, dot, unit

STEEPEST = 20.0
"""Largest slope that tolerances follow; a steeper surface is hardly seen."""

LEVELS = 5
"""Sizes of a picture at most, each half the one before."""

LEAST_SHARE = 0.05
"""Of the four pixels, by weight: less is too far away, or lost in rounding."""


class Sampler(Protocol):
    """What knows better colours than the bilinear ones for some points."""

    def sample_into(self, total: Tensor, face: Tensor, spot: Tensor, places: Tensor) -> None:
        """Better colours for those rows of ``total [n, C]`` for which there are any.

        Args:
            total: colours, and fading behind them.
            face: ``[n]``.
            spot: ``[4, n]`` column, row, depth, and 1 where the four pixels around show the surface, else 0.
            places: ``[4, n]``, these four in all pictures.
        """


@dataclass(frozen=True)
class Lens:
    """How one view sees the mesh.

    ``axes`` (right, up, toward the camera; three numbers each) and ``offset`` take mesh coordinates to camera space, in
    units of the frame the camera looks at. ``pixels`` are per unit, at depth 1 in perspective. ``base`` is the view's
    first row in all pictures, ``flat [F, 3]`` are the normals of the mesh's faces.
    """

    axes: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]
    pixels: float
    perspective: bool
    near: float
    width: int
    height: int
    base: int
    flat: Tensor

    @classmethod
    def of_each(
        cls, cameras: Sequence[Camera], mesh: Mesh, width: int, height: int, frame: Frame | None = None
    ) -> list[Lens]:
        """The lenses of cameras for images of a mesh; ``frame`` is its :func:`~normalization`, where that is known."""
        lenses, flat = [], mesh.face_normals()
        centre, scale = frame or normalization(mesh.vertices)
        *middle, factor = torch.cat((centre, scale[None])).tolist()
        for number, camera in enumerate(cameras):
            position, size = list(camera.position), 1.0
            if camera.normalized:
                position = [at + factor * shift for at, shift in zip(position, middle, strict=True)]
                size = factor
            lens = cls(
                axes=tuple(tuple(value * size for value in row) for row in camera.axes),
                offset=tuple(-math.fsum(a * at for a, at in zip(row, position, strict=True)) for row in camera.axes),
                pixels=max(height - 1, 1) / 2 / camera.half_extent,
                perspective=camera.half_height is None,
                near=camera.near,
                width=width,
                height=height,
                base=number * height * width,
                flat=flat,
            )
            lenses.append(lens)
        return lenses

    @cached_property
    def normals(self) -> Columns:
        """``[F]`` normals of the faces in camera space."""
        return self.turn(columns(self.flat))

    @property
    def facing(self) -> tuple[float, ...]:
        """The direction to a camera without perspective, in mesh coordinates; unit length."""
        length = math.hypot(*self.axes[0])
        return tuple(value / length for value in self.axes[2])

    @property
    def stands(self) -> tuple[float, ...]:
        """Where the camera stands, in mesh coordinates: camera space has its origin there."""
        square = math.hypot(*self.axes[0]) ** 2
        return tuple(-sum(a[k] * o for a, o in zip(self.axes, self.offset, strict=True)) / square for k in range(3))

    def look(
        self,
        points: Columns,
        smooth: Columns,
        face: Tensor,
        pictures: Pictures,
        limit: float,
        exponent: float,
        filtered: Sampler | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Colour ``[n, C]`` and trust ``[n]`` (0..1, without the view's own weight) of points on the surface.

        On a CPU only for those that the view shows, whose rows ``[n]`` come third; None means all. Colours are sampled
        bilinearly, and where ``filtered`` can do better, by that.
        """
        cosine = self.cosine(points, smooth)
        index = None
        if selects(face.device):
            index = (cosine > limit).nonzero().squeeze(1)
            points = as_columns(column.index_select(0, index) for column in points)
            cosine, face = cosine.index_select(0, index), face.index_select(0, index)
        place = self.place(points)
        column, row, depth = self.pixel(place)
        inside = (column > -0.5) & (column < self.width - 0.5) & (row > -0.5) & (row < self.height - 0.5)
        inside &= (depth > self.near) & (cosine > limit)
        slopes = self.slopes(place, as_columns(values.index_select(0, face) for values in self.normals))
        left, top = column.floor(), row.floor()
        corner = (column - left, row - top)
        places, shown, excess = self._pixels(left, top, corner, depth, slopes, pictures)
        reach = self.reach(depth.clamp(min=self.near))
        found = closest(corner, slopes, excess, reach)
        weights = bilinear(*found).mul_(shown)
        share = weights.sum(0).clamp_(min=1e-6)
        apart = apart_from(corner, slopes, excess, weights, share, reach)
        seen = (apart < 1) & (share > LEAST_SHARE) & inside
        spot = torch.stack((left + found[0], top + found[1], depth, shown.all(0).to(depth)))
        if index is not None:
            kept = seen.nonzero().squeeze(1)
            index, seen, apart, cosine, share, face, places, weights, spot = (
                values.index_select(-1, kept)
                for values in (index, seen, apart, cosine, share, face, places, weights, spot)
            )
        total = weigh_rows(pictures.color, places.t(), weights.t())
        total.div_(share[:, None])
        if filtered is not None:
            filtered.sample_into(total, face, spot, places)
        nearness = (1 - apart).clamp_(min=0).square_()
        trust = cosine.clamp(min=0).pow_(exponent).mul_(nearness).mul_(total[:, pictures.channels]).mul_(seen)
        return total[:, : pictures.channels], trust, index

    def _pixels(
        self,
        left: Tensor,
        top: Tensor,
        corner: tuple[Tensor, Tensor],
        depth: Tensor,
        slopes: tuple[Tensor, Tensor],
        pictures: Pictures,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The four pixels around points, upper ones first, ``[4, n]``: place in the pictures, whether they show the
        same surface, and, where they do, how much deeper they are than the plane of the point's face; else 0."""
        slope_x, slope_y = slopes
        tolerance = (slope_x.abs() + slope_y.abs()).mul_(0.5).add_(self.reach(depth))
        x, y = pictures.around
        # What the surface's own plane would show, from the upper left pixel on.
        plane = (depth - slope_x * corner[0] - slope_y * corner[1]).addcmul(x, slope_x).addcmul_(y, slope_y)
        places = self._places(top + y, left + x).add_(self.base)
        deeper = pictures.depth.index_select(0, places.view(-1)).view_as(plane).sub_(plane)
        shown = deeper.abs() <= tolerance
        return places, shown, deeper.mul_(shown)

    def reach(self, depth: Tensor) -> Tensor | float:
        """What a pixel spans on a surface seen squarely."""
        return depth / self.pixels if self.perspective else 1 / self.pixels

    def place(self, points: Columns) -> Columns:
        """Points of the mesh in camera space."""
        return as_columns(dot(points, axis).add_(shift) for axis, shift in zip(self.axes, self.offset, strict=True))

    def turn(self, steps: Columns) -> Columns:
        """Steps between points of the mesh in camera space."""
        return as_columns(dot(steps, axis) for axis in self.axes)

    def cosine(self, points: Columns, normals: Columns) -> Tensor:
        """Between the surface's normal and the direction to the camera."""
        if not self.perspective:
            return dot(normals, self.facing)
        toward = as_columns(at - column for at, column in zip(self.stands, points, strict=True))
        return dot(normals, unit(toward))

    def pixel(self, place: Columns) -> Columns:
        """Column, row (fractional; pixel centres are whole numbers) and depth of points in camera space."""
        depth = -place[2]
        column, row = place[0] * self.pixels, place[1] * -self.pixels
        if self.perspective:
            safe = depth.clamp(min=self.near)
            column, row = column / safe, row / safe
        return column.add_((self.width - 1) / 2), row.add_((self.height - 1) / 2), depth

    def nearest(self, points: Columns, image: Tensor) -> Tensor:
        """``[n]``: what the nearest pixel of an ``image [H, W]`` of this view holds."""
        column, row, _ = self.pixel(self.place(points))
        return image.reshape(-1).index_select(0, self._places(row.round(), column.round()))

    def _places(self, rows: Tensor, columns: Tensor) -> Tensor:
        """int64, where pixels of whole ``rows`` and ``columns``, or those next to them, lie in a picture of this view.

        In 32 bits, which hold the pixels of any picture, as float32 does not. Overwrites its arguments.
        """
        row, column = rows.clamp_(0, self.height - 1).to(torch.int32), columns.clamp_(0, self.width - 1).to(torch.int32)
        place = row.mul_(self.width).add_(column)
        return place.clamp_(0, self.height * self.width - 1).to(torch.int64)  # of a vertex that is NaN, too

    def slopes(self, place: Columns, normal: Columns) -> tuple[Tensor, Tensor]:
        """How depth changes from a pixel to the next, along columns and along rows, on the plane of the face."""
        right, up, toward = normal
        depth = -place[2]
        if self.perspective:
            # A plane's inverse depth is affine in the image; this is what its derivative divides by.
            toward = dot(normal, place).neg_() / depth.clamp(min=self.near)
        toward = torch.where(toward.abs() > 1e-9, toward, 1e-9)
        reach = self.reach(depth)
        return (
            (right / toward).clamp_(-STEEPEST, STEEPEST).mul_(reach),
            (up / toward).clamp_(-STEEPEST, STEEPEST).mul_(-1).mul_(reach),
        )


def selects(device: torch.device) -> bool:
    """Whether to select the rows that need work; elsewhere all are worked on, since selecting waits for the device."""
    return device.type == "cpu"


def weigh_rows(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """``[n, C]``: the sum of some rows of ``table [R, C]``, ``[n, k]`` each with its weight."""
    if selects(table.device):  # many times as fast there, and other devices need not have it
        return embedding_bag(rows.contiguous(), table, mode="sum", per_sample_weights=weights.contiguous())
    found = table.index_select(0, rows.reshape(-1)).view(*rows.shape, table.shape[1])
    return found.mul_(weights[..., None]).sum(1)


@dataclass(frozen=True, eq=False)
class Pictures:
    """All views' pixels.

    Attributes:
        color: ``[V * H * W, C or more]``, of any dtype of :data:`rasterizer.pictures.stored.STORED`; where ``fading``
            is None, float32 with that in the column after the C ``channels``.
        depth: ``[V * H * W]``.
        rough: ``[V, H, W]`` bool, pixels that do not continue the surface next to them.
        channels: C.
        fading: ``[V * H * W]``, or None.
        table: ``[R, ...]``, the memory that ``color`` is the first rows of, with room for smaller pictures; or None.
    """

    color: Tensor
    depth: Tensor
    rough: Tensor
    channels: int
    fading: Tensor | None = None
    table: Tensor | None = None

    def joined(self, smaller: bool = True) -> Pictures:
        """The same with colours and fading in one table, in float32, as operators look them up; ``smaller``: with room
        for smaller pictures."""
        if self.fading is None:
            return self
        pixels, channels = len(self.color), self.channels
        # On a GPU, looking up rows of a multiple of 16 bytes takes twenty times as long as it should.
        wide = channels + 1 if (channels + 1) % 4 or not self.color.is_cuda else channels + 2
        room = sum(_pixels_of(self.rough, level) for level in range(LEVELS if smaller else 1))
        table = torch.empty((room, wide), dtype=torch.float32, device=self.color.device)
        color = table[:pixels]
        color[:, channels:] = 0
        as_numbers(self.color[:, :channels], color[:, :channels])
        color[:, channels] = self.fading
        return replace(self, color=color, fading=None, table=table)

    @cached_property
    def around(self) -> Tensor:
        """``[2, 4, 1]`` columns and rows of the four pixels around a point, from the upper left one."""
        return self.depth.new_tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])[:, :, None]


def _pixels_of(pictures: Tensor, level: int) -> int:
    """Pixels of all views of ``[V, H, W]`` pictures that are halved so many times."""
    views, height, width = pictures.shape
    return views * (height >> level) * (width >> level)
