"""Baking: view images carried to the texture, texel by texel.

Every texel is projected into every view and compared with what the view itself shows there, so a texel takes colour
only from views in which its own surface is the visible one, and no texel between two pixels is missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cameras import Camera, normalization
from ..device import device_policy
from ..mesh import Mesh
from ..raster import Raster, rasterize_mesh
from ..raster_types import shares
from ..validation import check_integer, check_number
from .texels import Texels

_STEEPEST = 20.0  # largest slope that tolerances follow; a steeper surface is hardly seen
_APART = 0.7  # pixels between a texel and the place its colour is taken from, at which a view no longer counts
_LEAST_SHARE = 0.05  # of the four pixels, by weight: less is too far away, or lost in rounding
_BREAK = 8.0  # pixels that depth must jump, beyond what slopes make, for a pixel to hold the colour of two surfaces
_CHUNK = 1 << 22  # texels at once at most: some 300 bytes each
_NOTHING = 1e30  # depth of pixels that show no surface, or two


@dataclass(frozen=True)
class Baked:
    """A texture made from views.

    Attributes:
        texture: ``[H, W, C]`` float32, 0 where nothing was painted.
        painted: ``[H, W]`` bool.
        confidence: ``[H, W]`` float32, 0..1: how squarely, and how far from an edge, the best view sees the texel.
        covered: ``[H, W]`` bool, texels of the UV layout.
    """

    texture: Tensor
    painted: Tensor
    confidence: Tensor
    covered: Tensor


def bake_views(
    mesh: Mesh,
    images: Tensor,
    cameras: Sequence[Camera],
    texture_size: int | tuple[int, int] = 2048,
    *,
    exponent: float = 4.0,
    max_angle: float = 75.0,
    border: int = 0,
    masks: Tensor | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Baked:
    """Make a texture from images of a mesh.

    A view counts for a texel with its own weight, times the cosine between the surface and the direction to the camera
    to the power of ``exponent``, fading out over ``border`` pixels towards silhouettes and large jumps in depth, where
    pictures are least reliable. Pixels next to these are not used at all: they mix the colours of both sides.

    Colours are sampled bilinearly among the pixels that show the texel's own surface, where the surface between these
    is closest to the texel: halfway between two pixels is not halfway on a surface that bends away from the view. What
    distance remains, of at most 0.7 pixels, lowers the weight.

    Args:
        mesh: with UVs.
        images: ``[V, H, W, C]`` float32, one per camera; any number of channels.
        cameras: ``V`` of them.
        texture_size: texels a side, or ``(height, width)``.
        exponent: how much views that see the surface squarely are preferred.
        max_angle: degrees between surface and view beyond which a view does not count.
        border: pixels; 0 takes 1/256 of the image's longer side.
        masks: ``[V, H, W]`` float32 0..1, by which the weight of each pixel is multiplied.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: an argument is unusable; the text names it.
    """
    check_number(exponent, "exponent")
    if not 0 < check_number(max_angle, "max_angle") <= 90:
        raise ValueError(f"max_angle: is {max_angle}, expected degrees above 0 and at most 90")
    check_integer(border, 0, 1024, "border")
    if images.ndim != 4 or not images.is_floating_point() or len(images) != len(cameras) or not len(cameras):
        raise ValueError(
            f"images: found {list(images.shape)} {images.dtype} for {len(cameras)} cameras, expected one image for "
            "each camera, floating-point [V, H, W, C]"
        )
    if masks is not None and masks.shape != images.shape[:3]:
        raise ValueError(f"masks: found {list(masks.shape)}, expected {list(images.shape[:3])}, as the images")
    size = (texture_size, texture_size) if isinstance(texture_size, int) else tuple(texture_size)
    mesh.require_uvs()
    device = mesh.vertices.device
    images = images.to(device, torch.float32)
    report = on_progress or (lambda share: None)
    steps = shares(report, 4)

    height, width = images.shape[1:3]
    raster = rasterize_mesh(mesh, cameras, (height, width), on_progress=next(steps))
    border = border or max(1, round(max(height, width) / 256))
    pictures, lenses = _pictures(raster, images, masks, border, next(steps))
    texels = Texels.of(mesh, size, next(steps))

    limit = math.cos(math.radians(max_angle))
    normals = mesh.vertex_normals()
    total = torch.zeros((len(texels), images.shape[3]), device=device)
    weights, best = torch.zeros(len(texels), device=device), torch.zeros(len(texels), device=device)
    chunk = min(device_policy(device).chunk, _CHUNK)
    step = next(steps)
    for start in range(0, len(texels), chunk):
        step(start / len(texels))
        part = slice(start, start + chunk)
        some = texels[part]
        points = _columns(some.interpolate(mesh.vertices))
        smooth = _unit(_columns(some.interpolate(normals)))
        for camera, lens in zip(cameras, lenses, strict=True):
            color, trust, index = lens.look(points, smooth, some.face, pictures, limit, exponent)
            weight = trust * camera.weight
            if index is None:
                total[part].addcmul_(color, weight[:, None])
                weights[part] += weight
                best[part] = torch.maximum(best[part], trust)
            else:
                total[part].index_add_(0, index, color * weight[:, None])
                weights[part].index_add_(0, index, weight)
                seen = best[part]
                seen[index] = torch.maximum(seen[index], trust)
    report(1.0)
    painted = weights > 1e-8
    colors = total / weights.clamp(min=1e-8)[:, None] * painted[:, None]
    covered = texels.image(torch.ones_like(painted))
    return Baked(texels.image(colors), texels.image(painted), texels.image(best * painted), covered)


Columns = tuple[Tensor, Tensor, Tensor]
"""x, y and z of n vectors, ``[n]`` each: arithmetic on contiguous columns is several times as fast as on rows."""


def _columns(vectors: Tensor) -> Columns:
    x, y, z = vectors.t().contiguous().unbind(0)
    return x, y, z


def _dot(one: Columns, other: Columns | tuple[float, ...]) -> Tensor:
    x, y, z = one
    if isinstance(other[0], Tensor):
        return (x * other[0]).addcmul_(y, other[1]).addcmul_(z, other[2])
    return (x * other[0]).add_(y, alpha=other[1]).add_(z, alpha=other[2])


def _unit(vectors: Columns) -> Columns:
    inverse = _dot(vectors, vectors).clamp_(min=1e-24).rsqrt_()
    x, y, z = vectors
    return x * inverse, y * inverse, z * inverse


@dataclass(frozen=True)
class _Lens:
    """How one view sees the mesh.

    ``axes`` (right, up, toward the camera; three numbers each) and ``offset`` take mesh coordinates to camera space, in
    units of the frame the camera looks at. ``pixels`` are per unit, at depth 1 in perspective. ``base`` is the view's
    first row in all pictures, ``normals [F]`` are those of the faces in camera space.
    """

    axes: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]
    pixels: float
    perspective: bool
    near: float
    width: int
    height: int
    base: int
    normals: Columns

    @classmethod
    def of_each(cls, cameras: Sequence[Camera], mesh: Mesh, width: int, height: int) -> list[_Lens]:
        """The lenses of cameras for images of a mesh."""
        lenses, normals = [], _columns(mesh.face_normals())
        centre, scale = (value.cpu().double() for value in normalization(mesh.vertices))
        for number, camera in enumerate(cameras):
            axes = torch.tensor(camera.axes, dtype=torch.float64)
            offset = -(axes @ torch.tensor(camera.position, dtype=torch.float64))
            if camera.normalized:
                offset = offset - (axes @ centre) * scale
                axes = axes * scale
            rows = tuple(tuple(row) for row in axes.tolist())
            lens = cls(
                axes=rows,
                offset=tuple(offset.tolist()),
                pixels=max(height - 1, 1) / 2 / camera.half_extent,
                perspective=camera.half_height is None,
                near=camera.near,
                width=width,
                height=height,
                base=number * height * width,
                normals=tuple(_dot(normals, axis) for axis in rows),
            )
            lenses.append(lens)
        return lenses

    def look(
        self,
        points: Columns,
        smooth: Columns,
        face: Tensor,
        pictures: _Pictures,
        limit: float,
        exponent: float,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Colour ``[n, C]`` and trust ``[n]`` (0..1, without the view's own weight) of points on the surface.

        On a CPU only for those that the view shows, whose rows ``[n]`` come third; None means all.
        """
        cosine = self._cosine(points, smooth)
        index = None
        if face.device.type == "cpu":
            index = (cosine > limit).nonzero().squeeze(1)
            points = tuple(column.index_select(0, index) for column in points)
            cosine, face = cosine.index_select(0, index), face.index_select(0, index)
        place = tuple(_dot(points, axis).add_(shift) for axis, shift in zip(self.axes, self.offset, strict=True))
        column, row, depth = self._pixel(place)
        inside = (column > -0.5) & (column < self.width - 0.5) & (row > -0.5) & (row < self.height - 0.5)
        inside &= (depth > self.near) & (cosine > limit)
        slopes = self.slopes(place, tuple(values.index_select(0, face) for values in self.normals))
        left, top = column.floor(), row.floor()
        corner = (column - left, row - top)
        places, shown, excess = self._pixels(left, top, corner, depth, slopes, pictures)
        reach = self.reach(depth.clamp(min=self.near))
        weights = _bilinear(*_closest(corner, slopes, excess, reach)).mul_(shown)
        share = weights.sum(0).clamp_(min=1e-6)
        # From the texel to the place its colour comes from, along columns, rows and depth.
        off_x = (weights[1] + weights[3]).div_(share).sub_(corner[0])
        off_y = (weights[2] + weights[3]).div_(share).sub_(corner[1])
        off_z = excess.mul_(weights).sum(0).div_(share)
        off_z.addcmul_(slopes[0], off_x).addcmul_(slopes[1], off_y).div_(reach)
        apart = off_x.square_().addcmul_(off_y, off_y).addcmul_(off_z, off_z).mul_(1 / _APART**2)
        seen = (apart < 1) & (share > _LEAST_SHARE) & inside
        if index is not None:
            kept = seen.nonzero().squeeze(1)
            index, seen, apart, cosine, share, places, weights = (
                values.index_select(-1, kept) for values in (index, seen, apart, cosine, share, places, weights)
            )
        total = torch.zeros((len(share), pictures.color.shape[1]), device=share.device)
        for place, weight in zip(places, weights, strict=True):
            total.addcmul_(pictures.color.index_select(0, place), weight[:, None])
        total.div_(share[:, None])
        nearness = (1 - apart).clamp_(min=0).square_()
        trust = cosine.clamp(min=0).pow_(exponent).mul_(nearness).mul_(total[:, pictures.channels]).mul_(seen)
        return total[:, : pictures.channels], trust, index

    def _pixels(
        self,
        left: Tensor,
        top: Tensor,
        corner: tuple[Tensor, Tensor],
        depth: Tensor,
        slopes: Columns,
        pictures: _Pictures,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The four pixels around points, upper ones first, ``[4, n]``: place in the pictures, whether they show the
        same surface, and, where they do, how much deeper they are than the plane of the point's face; else 0."""
        slope_x, slope_y = slopes
        tolerance = (slope_x.abs() + slope_y.abs()).mul_(0.5).add_(self.reach(depth))
        x, y = pictures.around
        # What the surface's own plane would show, from the upper left pixel on.
        plane = (depth - slope_x * corner[0] - slope_y * corner[1]).addcmul(x, slope_x).addcmul_(y, slope_y)
        places = (top + y).clamp_(0, self.height - 1).mul_(self.width)
        places = places.add_((left + x).clamp_(0, self.width - 1)).to(torch.int64).add_(self.base)
        deeper = pictures.depth.index_select(0, places.view(-1)).view_as(plane).sub_(plane)
        shown = deeper.abs() <= tolerance
        return places, shown, deeper.mul_(shown)

    def reach(self, depth: Tensor) -> Tensor | float:
        """What a pixel spans on a surface seen squarely."""
        return depth / self.pixels if self.perspective else 1 / self.pixels

    def _cosine(self, points: Columns, normals: Columns) -> Tensor:
        """Between the surface's normal and the direction to the camera."""
        length = math.hypot(*self.axes[0])
        if not self.perspective:
            return _dot(normals, tuple(value / length for value in self.axes[2]))
        # The camera stands where camera space has its origin.
        stands = [-sum(a[k] * o for a, o in zip(self.axes, self.offset, strict=True)) / length**2 for k in range(3)]
        toward = tuple(at - column for at, column in zip(stands, points, strict=True))
        return _dot(normals, _unit(toward))

    def _pixel(self, place: Columns) -> Columns:
        """Column, row (fractional; pixel centres are whole numbers) and depth of points in camera space."""
        depth = -place[2]
        column, row = place[0] * self.pixels, place[1] * -self.pixels
        if self.perspective:
            safe = depth.clamp(min=self.near)
            column, row = column / safe, row / safe
        return column.add_((self.width - 1) / 2), row.add_((self.height - 1) / 2), depth

    def slopes(self, place: Columns, normal: Columns) -> tuple[Tensor, Tensor]:
        """How depth changes from a pixel to the next, along columns and along rows, on the plane of the face."""
        right, up, toward = normal
        depth = -place[2]
        if self.perspective:
            # A plane's inverse depth is affine in the image; this is what its derivative divides by.
            toward = _dot(normal, place).neg_() / depth.clamp(min=self.near)
        toward = torch.where(toward.abs() > 1e-9, toward, 1e-9)
        reach = self.reach(depth)
        return (
            (right / toward).clamp_(-_STEEPEST, _STEEPEST).mul_(reach),
            (up / toward).clamp_(-_STEEPEST, _STEEPEST).mul_(-1).mul_(reach),
        )


def _bilinear(x: Tensor, y: Tensor) -> Tensor:
    """``[4, n]`` weights of the pixels at (0, 0), (1, 0), (0, 1) and (1, 1)."""
    across, down = torch.stack((1 - x, x)), torch.stack((1 - y, y))
    return (across * down[:, None]).view(4, -1)


def _closest(
    corner: tuple[Tensor, Tensor], slopes: tuple[Tensor, Tensor], excess: Tensor, reach: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Where among four pixels, 0..1, the surface that they show is closest to a point that projects to ``corner``.

    One step of Newton's method: the foot of the perpendicular on the tangent plane of the bilinear surface.

    Args:
        corner: columns and rows from the upper left pixel.
        slopes: of the plane of the point's face.
        excess: ``[4, n]``, how much deeper than that plane the pixels are.
        reach: what a pixel spans, in units of depth.
    """
    x, y = corner
    a, b, c, d = excess
    slope_x = torch.lerp(b - a, d - c, y).add_(slopes[0]).div_(reach)
    slope_y = torch.lerp(c - a, d - b, x).add_(slopes[1]).div_(reach)
    deeper = torch.lerp(torch.lerp(a, b, x), torch.lerp(c, d, x), y).div_(reach)
    step = deeper.div_(slope_x.square().addcmul_(slope_y, slope_y).add_(1))
    return (x - step * slope_x).clamp_(0, 1), (y - step * slope_y).clamp_(0, 1)


@dataclass(frozen=True)
class _Pictures:
    """All views' pixels: ``color [V * H * W, C + 1 or more]``, with fading after the C ``channels``, and ``depth``.

    ``around [2, 4, 1]`` are columns and rows of the four pixels around a point, from the upper left one.
    """

    color: Tensor
    depth: Tensor
    around: Tensor
    channels: int


def _pictures(
    raster: Raster, images: Tensor, masks: Tensor | None, border: int, report: Callable[[float], None]
) -> tuple[_Pictures, list[_Lens]]:
    """The pictures, and their lenses."""
    views, height, width, channels = images.shape
    # On a GPU, looking up rows of a multiple of 16 bytes takes twenty times as long as it should.
    columns = channels + 1 if (channels + 1) % 4 or not images.is_cuda else channels + 2
    color = images.new_zeros((views, height, width, columns))
    color[..., :channels] = images
    depth = raster.distance()[:, 0]
    depth.masked_fill_(raster.findices[:, 0] == 0, _NOTHING)
    lenses = _Lens.of_each(raster.cameras, raster.mesh, width, height)
    edges = torch.empty((views, height, width), dtype=torch.bool, device=images.device)
    for some in _alike(lenses, device_policy(images.device).views_together):
        report(some[0] / views)
        edges[some] = _edges(depth[some], raster.findices[some, 0], [lenses[number] for number in some])
    depth.masked_fill_(edges, _NOTHING)
    color[..., channels] = _fade(edges, border)
    if masks is not None:
        color[..., channels] *= masks.to(color)
    around = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]], device=images.device)[:, :, None]
    return _Pictures(color.view(-1, columns), depth.view(-1), around, channels), lenses


def _alike(lenses: Sequence[_Lens], together: bool) -> list[list[int]]:
    """Numbers of views that differ in where they look from only, or each alone."""
    found: dict[tuple[object, ...], list[int]] = {}
    for number, lens in enumerate(lenses):
        key = (lens.pixels, lens.perspective, lens.near) if together else (number,)
        found.setdefault(key, []).append(number)
    return list(found.values())


def _edges(depth: Tensor, findices: Tensor, lenses: Sequence[_Lens]) -> Tensor:
    """``[V, H, W]`` bool: pixels next to one that shows another surface, far before or behind theirs, or none.

    The lenses are alike.
    """
    lens, faces = lenses[0], lenses[0].normals[0].shape[0]
    first = torch.arange(len(lenses), device=depth.device)[:, None, None] * faces
    face = (findices.long() - 1).clamp_(min=0).add_(first).view(-1)
    normal = tuple(
        torch.cat(values).index_select(0, face) for values in zip(*(each.normals for each in lenses), strict=True)
    )
    shown = torch.where(depth < _NOTHING, depth, 1.0)
    row = (torch.arange(lens.height, device=depth.device) - (lens.height - 1) / 2)[:, None] * (-1 / lens.pixels)
    column = (torch.arange(lens.width, device=depth.device) - (lens.width - 1) / 2)[None] * (1 / lens.pixels)
    spread = shown if lens.perspective else torch.ones_like(shown)
    place = tuple(value.reshape(-1) for value in (spread * column, spread * row, -shown))
    slope_x, slope_y = (slope.view_as(depth) for slope in lens.slopes(place, normal))
    edges = torch.zeros_like(depth, dtype=torch.bool)
    for axis, slope in ((2, slope_x), (1, slope_y)):
        length = depth.shape[axis] - 1
        step = depth.narrow(axis, 1, length) - depth.narrow(axis, 0, length)
        one, other = slope.narrow(axis, 0, length), slope.narrow(axis, 1, length)
        # Continuous if the step is what either of the two faces makes it, give or take how they bend.
        slack = (one.abs() + other.abs()).mul_(0.5).add_(lens.reach(shown.narrow(axis, 0, length)) * _BREAK)
        broken = ~(torch.minimum((step - one).abs_(), (step - other).abs_()) <= slack)
        edges.narrow(axis, 0, length).logical_or_(broken)
        edges.narrow(axis, 1, length).logical_or_(broken)
    return edges


def _fade(edges: Tensor, border: int) -> Tensor:
    """``[V, H, W]`` float32: small on an edge, 1 from ``border`` pixels away from any."""
    near, steps = edges, edges.to(torch.int16)
    for _ in range(border):
        wide = near.clone()
        wide[..., 1:] |= near[..., :-1]
        wide[..., :-1] |= near[..., 1:]
        near = wide.clone()
        near[:, 1:] |= wide[:, :-1]
        near[:, :-1] |= wide[:, 1:]
        steps += near
    # An edge pixel is counted border + 1 times, a pixel k away border + 1 - k times.
    return 1 - steps / (border + 1.5)
