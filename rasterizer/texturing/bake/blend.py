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
from ...rendering.raster import rasterize_mesh
from ...runtime.policy import device_policy
from ...runtime.progress import shares
from ...runtime.threads import on_own_threads, share_rows
from ..need import BakeNeed, check_memory
from ..scale import LARGEST, SMALLEST, largest_coordinate, within_float32
from ..texels import Texels
from .pictures import prepare_pictures
from .view import Lens, Pictures, columns, unit

_CHUNK = 1 << 22  # texels at once at most: some 300 bytes each
_PAINTED = 1e-8  # weight of all views together above which a texel has a colour


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
    images, masks = _check_pictures(images, masks, len(cameras))
    sides = (texture_size, texture_size) if isinstance(texture_size, Real) else texture_size
    size = check_resolution(sides, "texture_size")
    mesh.require_uvs()
    as_tensor(mesh.vertices, "mesh vertices")
    mesh = _within_float32(mesh, cameras)
    device = mesh.vertices.device
    check_memory("texture_size", size, mesh, bake_need(images, device).bytes, "use fewer or smaller images")
    images = images.to(device, torch.float32).resolve_neg()  # PyTorch makes no new tensor of a negative view's kind
    steps = shares(on_progress or (lambda share: None), 4)
    height, width = images.shape[1:3]
    raster = rasterize_mesh(mesh, cameras, (height, width), on_progress=next(steps))
    border = border or max(1, round(max(height, width) / 256))
    pictures, lenses = prepare_pictures(raster, images, masks, border, next(steps))
    texels = Texels.of(mesh, size, next(steps))
    views = [(lens, float(camera.weight)) for lens, camera in zip(lenses, cameras, strict=True)]
    return _blend(texels, views, pictures, exponent, math.cos(math.radians(max_angle)), next(steps))


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


def _check_pictures(images: Tensor, masks: Tensor | None, cameras: int) -> tuple[Tensor, Tensor | None]:
    """Images and masks as tensors that fit each other and the number of cameras."""
    images = as_tensor(images, "images")
    if images.ndim != 4 or not images.is_floating_point() or len(images) != cameras or not cameras:
        raise ValueError(
            f"images: found {list(images.shape)} {images.dtype} for {cameras} cameras, expected one image for "
            "each camera, floating-point [V, H, W, C]"
        )
    if masks is not None:
        masks = as_tensor(masks, "masks")
        if masks.shape != images.shape[:3]:
            raise ValueError(f"masks: found {list(masks.shape)}, expected {list(images.shape[:3])}, as the images")
        masks = masks if masks.is_floating_point() else masks != 0  # 255 for yes must not weigh 255 times as much
    return images, masks


def _blend(
    texels: Texels,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    exponent: float,
    limit: float,
    report: Callable[[float], None],
) -> Baked:
    """The mean colour of each texel over the views that see it, by trust and weight.

    Args:
        texels: where to look.
        views: lens and weight of each.
        pictures: of all views.
        exponent: of the cosine between surface and view.
        limit: cosine from which on a view counts.
        report: takes the share done.
    """
    mesh = texels.mesh
    normals = mesh.vertex_normals()
    colors = pictures.color.new_zeros((len(texels), pictures.channels))
    weights, best = colors.new_zeros(len(texels)), colors.new_zeros(len(texels))

    def look(part: slice) -> None:
        some = texels[part]
        points = columns(some.interpolate(mesh.vertices))
        smooth = unit(columns(some.interpolate(normals)))
        for lens, view_weight in views:
            color, trust, index = lens.look(points, smooth, some.face, pictures, limit, exponent)
            weight = trust * view_weight
            if index is None:
                colors[part].addcmul_(color, weight[:, None])
                weights[part] += weight
                best[part] = torch.maximum(best[part], trust)
            else:
                colors[part].index_add_(0, index, color * weight[:, None])
                weights[part].index_add_(0, index, weight)
                seen = best[part]
                seen[index] = torch.maximum(seen[index], trust)

    chunk = min(device_policy(colors.device).chunk, _CHUNK)
    share_rows(look, len(texels), colors.device, weight=len(views), chunk=chunk, report=report)
    report(1.0)
    painted = weights > _PAINTED
    colors = colors / weights.clamp(min=_PAINTED)[:, None] * painted[:, None]
    covered = texels.image(torch.ones_like(painted))
    return Baked(texels.image(colors), texels.image(painted), texels.image(best * painted), covered)
