"""Baking: view images carried to the texture, texel by texel.

Every texel is projected into every view and compared with what the view itself shows there, so a texel takes colour
only from views in which its own surface is the visible one, and no texel between two pixels is missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...contract.checks import as_tensor, check_integer, check_number, check_resolution
from ...meshes.mesh import Mesh
from ...rendering.raster import Raster, rasterize_mesh
from ...runtime.policy import device_policy
from ...runtime.progress import shares
from ...runtime.threads import on_own_threads, share_rows
from ..need import BakeNeed, check_memory
from ..scale import LARGEST, SMALLEST, largest_coordinate, within_float32
from ..texels import Texels
from .view import Lens, Pictures, columns, unit

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


@on_own_threads
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
        masks: ``[V, H, W]`` float32 0..1, by which the weight of each pixel is multiplied; or of another dtype, where
            what is not 0 is used.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: an argument is unusable, or there is not enough memory for it; the text names it.
    """
    exponent = check_number(exponent, "exponent")
    if not 0 < check_number(max_angle, "max_angle") <= 90:
        raise ValueError(f"max_angle: is {max_angle}, expected degrees above 0 and at most 90")
    border = check_integer(border, 0, 1024, "border")
    images = as_tensor(images, "images")
    if images.ndim != 4 or not images.is_floating_point() or len(images) != len(cameras) or not len(cameras):
        raise ValueError(
            f"images: found {list(images.shape)} {images.dtype} for {len(cameras)} cameras, expected one image for "
            "each camera, floating-point [V, H, W, C]"
        )
    if masks is not None:
        masks = as_tensor(masks, "masks")
        if masks.shape != images.shape[:3]:
            raise ValueError(f"masks: found {list(masks.shape)}, expected {list(images.shape[:3])}, as the images")
        masks = masks if masks.is_floating_point() else masks != 0  # 255 for yes must not weigh 255 times as much
    sides = (texture_size, texture_size) if isinstance(texture_size, Real) else texture_size
    size = check_resolution(sides, "texture_size")
    mesh.require_uvs()
    as_tensor(mesh.vertices, "mesh vertices")
    mesh = _within_float32(mesh, cameras)
    device = mesh.vertices.device
    check_memory("texture_size", size, mesh, bake_need(images, device).bytes, "use fewer or smaller images")
    images = images.to(device, torch.float32).resolve_neg()  # PyTorch makes no new tensor of a negative view's kind
    report = on_progress or (lambda share: None)
    steps = shares(report, 4)

    height, width = images.shape[1:3]
    raster = rasterize_mesh(mesh, cameras, (height, width), on_progress=next(steps))
    border = border or max(1, round(max(height, width) / 256))
    pictures, lenses = _pictures(raster, images, masks, border, next(steps))
    texels = Texels.of(mesh, size, next(steps))

    limit = math.cos(math.radians(max_angle))
    normals = mesh.vertex_normals()
    total = images.new_zeros((len(texels), images.shape[3]))
    weights, best = images.new_zeros(len(texels)), images.new_zeros(len(texels))
    chunk = min(device_policy(device).chunk, _CHUNK)
    step = next(steps)

    def look(part: slice) -> None:
        some = texels[part]
        points = columns(some.interpolate(mesh.vertices))
        smooth = unit(columns(some.interpolate(normals)))
        for camera, lens in zip(cameras, lenses, strict=True):
            color, trust, index = lens.look(points, smooth, some.face, pictures, limit, exponent)
            weight = trust * float(camera.weight)
            if index is None:
                total[part].addcmul_(color, weight[:, None])
                weights[part] += weight
                best[part] = torch.maximum(best[part], trust)
            else:
                total[part].index_add_(0, index, color * weight[:, None])
                weights[part].index_add_(0, index, weight)
                seen = best[part]
                seen[index] = torch.maximum(seen[index], trust)

    share_rows(look, len(texels), device, weight=len(lenses), chunk=chunk, report=step)
    report(1.0)
    painted = weights > 1e-8
    colors = total / weights.clamp(min=1e-8)[:, None] * painted[:, None]
    covered = texels.image(torch.ones_like(painted))
    return Baked(texels.image(colors), texels.image(painted), texels.image(best * painted), covered)


def bake_need(images: Tensor, device: torch.device) -> BakeNeed:
    """How much memory :func:`bake_views` needs on a device, for ``[V, H, W, C]`` images that are there already."""
    return BakeNeed.of(images, device, _CHUNK)


def _within_float32(mesh: Mesh, cameras: Sequence[Camera]) -> Mesh:
    """The mesh in a size whose squares and cubes float32 can hold, where cameras normalise it anyway."""
    size = largest_coordinate(mesh)
    if not SMALLEST < size < LARGEST and len(mesh.vertices) and not (size and all(c.normalized for c in cameras)):
        raise ValueError(
            f"mesh: its largest coordinate is {size:g}, expected {SMALLEST:.0e} to {LARGEST:.0e}; scale the mesh"
        )
    return within_float32(mesh)


def _pictures(
    raster: Raster, images: Tensor, masks: Tensor | None, border: int, report: Callable[[float], None]
) -> tuple[Pictures, list[Lens]]:
    """The pictures, and their lenses."""
    views, height, width, channels = images.shape
    # On a GPU, looking up rows of a multiple of 16 bytes takes twenty times as long as it should.
    wide = channels + 1 if (channels + 1) % 4 or not images.is_cuda else channels + 2
    color = images.new_zeros((views, height, width, wide))
    color[..., :channels] = images
    depth = raster.distance()[:, 0]
    depth.masked_fill_(raster.findices[:, 0] == 0, _NOTHING)
    lenses = Lens.of_each(raster.cameras, raster.mesh, width, height)
    groups = _alike(lenses, device_policy(images.device).views_together)

    def fade(part: slice) -> None:
        for some in groups[part]:
            alike = lenses[some] if isinstance(some, slice) else [lenses[number] for number in some]
            edges = _edges(depth[some], raster.findices[some, 0], alike)
            depth[some] = depth[some].masked_fill_(edges, _NOTHING)
            color[some, ..., channels] = _fade(edges, border)

    share_rows(fade, len(groups), images.device, weight=height * width, report=report)
    if masks is not None:
        color[..., channels] *= masks.to(color)
    around = images.new_tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])[:, :, None]
    return Pictures(color.view(-1, wide), depth.view(-1), around, channels), lenses


def _alike(lenses: Sequence[Lens], together: bool) -> list[list[int] | slice]:
    """Numbers of views that differ in where they look from only, or each alone; slices, which copy nothing, if they can
    be."""
    found: dict[tuple[object, ...], list[int]] = {}
    for number, lens in enumerate(lenses):
        key = (lens.pixels, lens.perspective, lens.near) if together else (number,)
        found.setdefault(key, []).append(number)
    return [slice(some[0], some[-1] + 1) if some[-1] - some[0] < len(some) else some for some in found.values()]


def _edges(depth: Tensor, findices: Tensor, lenses: Sequence[Lens]) -> Tensor:
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
    rows, columns = (torch.arange(n, dtype=depth.dtype, device=depth.device) for n in (lens.height, lens.width))
    row = (rows - (lens.height - 1) / 2)[:, None] * (-1 / lens.pixels)
    column = (columns - (lens.width - 1) / 2)[None] * (1 / lens.pixels)
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
    return 1 - steps.to(torch.float32) / (border + 1.5)
