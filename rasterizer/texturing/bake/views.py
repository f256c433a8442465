"""Baking: view images carried to the texture, texel by texel.

Every texel is projected into every view and compared with what the view itself shows there, so a texel takes colour
only from views in which its own surface is the visible one, and no texel between two pixels is missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from numbers import Real

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...cameras.projection import normalization
from ...contract.checks import as_tensor, check_choice, check_devices, check_integer, check_resolution
from ...meshes.mesh import Mesh
from ...pictures.stored import STORED
from ...rendering.face_ids import FaceIds
from ...rendering.raster import check_drawable
from ...runtime.progress import stages
from ...runtime.several import shares_of
from ...runtime.threads import on_own_threads
from ..need import BakeNeed, check_memory
from ..scale import LARGEST, SMALLEST, largest_coordinate, within_float32
from ..texels import Layout
from .agree import agree
from .blend import Baked, blend_views
from .breaks import views_at_once
from .checks import check_pictures, check_trust
from .choice import takes_kernels
from .filter import filter_bytes
from .operators import CHUNK
from .pictures import prepare_pictures
from .shared import see_views
from .view import Lens

BLENDS = ("weighted", "sharp")
"""Ways to blend views."""


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
    match_colors: bool = False,
    align_views: int = 0,
    blend: str = "weighted",
    on_progress: Callable[[float], None] | None = None,
    devices: Iterable[torch.device | str] | None = None,
) -> Baked:
    """Make a texture from images of a mesh.

    A view counts for a texel with its own weight, times the cosine between the surface and the direction to the camera
    to the power of ``exponent``, fading out over ``border`` pixels towards silhouettes and large jumps in depth, where
    pictures are least reliable. Pixels next to these are not used at all: they mix the colours of both sides.

    Colours are sampled over the texel's footprint by a cubic filter where a picture shows the surface around it without
    a break (:mod:`.filter`), else bilinearly among the pixels that show it; where the surface between these is closest
    to the texel: halfway between two pixels is not halfway on a surface that bends away from the view. What
    distance remains, of at most 0.7 pixels, lowers the weight.

    Args:
        mesh: with UVs.
        images: ``[V, H, W, C]``, one per camera; any number of channels, all finite. For ``match_colors`` and
            ``align_views`` the first three are colours, 0..1; others, alpha too, are data. Float32, float16 or
            bfloat16, or uint8, whose 0..255 stand for 0..1; they are read as they are, without a copy in float32 where
            kernels do the work. The texture is float32.
        cameras: ``V`` of them.
        texture_size: texels a side, or ``(height, width)``.
        exponent: how much views that see the surface squarely are preferred.
        max_angle: degrees between surface and view beyond which a view does not count.
        border: pixels; 0 takes 1/256 of the image's longer side.
        masks: ``[V, H, W]`` float32 0..1, by which the weight of each pixel is multiplied; or of another dtype, where
            what is not 0 is used.
        match_colors: give each view's first three channels the gains with which overlapping views agree
            (:mod:`.level`), for pictures that were painted or exposed one by one. Pixels next to outlines are left out
            where background is found to bleed into them (:mod:`.bleed`).
        align_views: rounds in which features of the views are moved towards each other (:mod:`.align`), for pictures
            that were painted one by one; 3 are usual, 0 leaves features where they are.
        blend: ``weighted`` takes the mean of the views by their weights; ``sharp`` keeps near the one that weighs most
            (weights to the fourth power), for painters whose details differ so that nothing can align them.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.
        devices: share the views out among them where these are drawn and their pixels are weighed, see
            :mod:`rasterizer.runtime.several`; texels are blended on the first. None does all where the mesh is.

    Returns:
        What was baked, on the mesh's device or the first of ``devices``.

    Raises:
        ValueError: an argument is unusable, or there is not enough memory for it; the text names it.
    """
    exponent, limit, border = check_trust(exponent, max_angle, border)
    align_views = check_integer(align_views, 0, 10, "align_views")
    check_choice(blend, BLENDS, "blend")
    images, masks = check_pictures(images, masks, len(cameras))
    sides = (texture_size, texture_size) if isinstance(texture_size, Real) else texture_size
    size = check_resolution(sides, "texture_size")
    mesh.require_uvs()
    check_drawable(mesh)
    as_tensor(mesh.vertices, "mesh vertices")
    mesh = _within_float32(mesh, cameras)
    places = (mesh.vertices.device,) if devices is None else check_devices(devices)
    device, shares = places[0], shares_of(len(cameras), places)
    mesh = mesh.to(device)
    agreeing = match_colors or align_views > 0
    need = bake_need(images, device, agreeing).bytes
    check_memory("texture_size", size, mesh, need, "use fewer or smaller images")
    stored = images.dtype if images.dtype in STORED else torch.float32
    images = images.to(device, stored).resolve_neg()  # PyTorch makes no new tensor of a negative view's kind
    _check_finite(images, "images")
    if masks is not None:
        masks = masks.to(device, torch.float32 if masks.is_floating_point() else masks.dtype).resolve_neg()
        _check_finite(masks, "masks")
    middle = ("making views agree",) * agreeing
    names = ("drawing the mesh", "weighing pixels", "finding texels", *middle, "blending views")
    steps = stages(on_progress or (lambda share: None), *names)
    height, width = images.shape[1:3]
    # On the host lenses need what is computed on the device: asked for while there is nothing else to wait for.
    frame = normalization(mesh.vertices)
    lenses = Lens.of_each(cameras, mesh, width, height, frame)
    if len(shares) > 1:
        given = mesh, cameras, frame, lenses, images, masks, border
        shown, pictures = see_views(shares, *given, next(steps), next(steps))
    else:
        shown = FaceIds.of_views(mesh, cameras, (height, width), next(steps), frame)
        pictures = prepare_pictures(shown, lenses, images, masks, border, next(steps))
    normals = mesh.vertex_normals(faces=lenses[0].flat)
    layout = Layout.of(mesh, size, next(steps))
    views = [(lens, float(camera.weight)) for lens, camera in zip(lenses, cameras, strict=True)]
    agreement, agreed = None, None
    kernels = takes_kernels(device, shown.findices.numel(), len(views), images.shape[3])
    if agreeing or not kernels:
        pictures = pictures.joined(smaller=not kernels)
    if agreeing:
        agreement = agree(
            layout,
            normals,
            views,
            images,
            pictures,
            shown.bare(),
            masks,
            match_colors,
            align_views,
            limit,
            exponent,
            next(steps),
        )
        agreed = pictures.color.view(*images.shape[:3], -1)[..., : pictures.channels]
    del shown
    baked = blend_views(layout, normals, views, pictures, exponent, limit, blend == "sharp", next(steps))
    return replace(baked, agreement=agreement, images=agreed)


def bake_need(images: Tensor, device: torch.device, agreeing: bool = False) -> BakeNeed:
    """How much memory :func:`bake_views` needs on a device, for ``[V, H, W, C]`` images that are there already.

    ``agreeing``: with ``match_colors`` or ``align_views``.
    """
    views, height, width, channels = images.shape
    kernels = takes_kernels(device, views * height * width, views, channels)
    together = views_at_once(device, height * width)
    return BakeNeed.of(images, device, CHUNK, together, agreeing, filter_bytes(channels, device), kernels)


def _within_float32(mesh: Mesh, cameras: Sequence[Camera]) -> Mesh:
    """The mesh in a size whose squares and cubes float32 can hold, where cameras normalise it anyway."""
    size = largest_coordinate(mesh)
    if not SMALLEST < size < LARGEST and len(mesh.vertices) and not (size and all(c.normalized for c in cameras)):
        raise ValueError(
            f"mesh: its largest coordinate is {size:g}, expected {SMALLEST:.0e} to {LARGEST:.0e}; scale the mesh"
        )
    return within_float32(mesh, size)


def _check_finite(images: Tensor, name: str) -> None:
    """Refuse ``[V, H, W]`` or ``[V, H, W, C]`` pictures with pixels that are no numbers, which would spread to whatever
    they are blended with."""
    if not images.numel() or images.dtype == torch.uint8:
        return
    # Extremes of what holds something else than numbers are none either, and are found in a tenth of the time.
    each = tuple(range(1, images.ndim))
    extremes = torch.stack((images.amin(each), images.amax(each)), dim=1)
    for number, found in enumerate(extremes.tolist()):
        if not all(map(math.isfinite, found)):
            raise ValueError(f"{name}: view {number + 1} holds NaN or infinite pixels, expected numbers; replace them")
