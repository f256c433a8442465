"""The nearest face at every pixel centre. Conventions are stated in :mod:`rasterizer.contract.rule`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from ..backends import registry
from ..backends.eager.resolve import barycentrics_of
from ..contract.checks import (
    as_tensor,
    check_faces,
    check_findices,
    check_integer,
    check_mode,
    check_number,
    check_positions,
    check_prior,
    check_resolution,
    is_set,
)
from ..contract.types import Fragments, RasterInfo, RasterOptions
from ..runtime.devices import working_device
from ..runtime.memory import with_less_memory
from ..runtime.policy import device_policy
from .library import FUNCTIONS

TILE_SIZE = 32
"""Default side of the tiled mode's tiles, in pixels."""


def rasterize(
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    *,
    depth_prior: Tensor | None = None,
    occlusion_truncation: float = 1e-6,
    mode: str = "auto",
    tile_size: int = TILE_SIZE,
    batch_size: int = 0,
    backend: str = "auto",
    on_progress: Callable[[float], None] | None = None,
) -> Fragments:
    """Find the nearest face at every pixel centre.

    Args:
        pos: ``[N, 4]`` clip-space vertices ``(x, y, z, w)``, or ``[B, N, 4]`` for B views of one mesh. Any floating
            dtype and strides; computed in float32.
        tri: ``[M, 3]`` vertex indices, any integer dtype, on ``pos``'s device. Of an empty mesh nothing is drawn.
        resolution: ``(height, width)`` in pixels.
        depth_prior: ``[H, W]`` or ``[B, H, W]`` NDC depth ``z/w`` of the layer already drawn; only fragments behind it
            are drawn (depth peeling). Use a huge value such as 1e9 where that layer was empty.
        occlusion_truncation: added to the mapped prior before the test.
        mode: ``batched`` evaluates whole bounding boxes, ``tiled`` cuts large triangles at screen tiles and drops the
            tiles they cannot touch, ``auto`` decides from the triangles. The result is the same to the last bit.
        tile_size: side of those tiles in pixels, 8 to 512; on a CPU they are runs of pixels in one row, and this does
            not matter.
        batch_size: triangles set up at once; 0 derives it from the memory that is free.
        backend: ``auto`` or a name from :func:`rasterizer.backend_info`.
        on_progress: called now and then with the share done, 0..1; an exception it raises stops the call.

    Returns:
        :class:`~rasterizer.contract.types.Fragments`, on ``pos``'s device: ``findices [H, W]`` int32 (1-based, 0 =
        background) and ``barycentric [H, W, 3]`` float32, with a leading ``[B]`` if ``pos`` has one. The barycentrics
        are differentiable with respect to ``pos``. Faces with a vertex that is not finite on the screen draw nothing
        and are counted in ``.info.invalid_faces``.

    Raises:
        ValueError: an argument is unusable; the text names it, what was found and what is expected.
    """
    if torch.compiler.is_compiling():
        from . import compiled  # nothing of it is needed elsewhere

        how = occlusion_truncation, mode, tile_size, batch_size, backend
        return compiled.rasterize(pos, tri, resolution, depth_prior, *how)
    clip = check_positions(pos)
    home = clip.device
    faces = check_faces(tri, clip.shape[-2], home)
    if not (type(resolution) is tuple and len(resolution) == 2 and type(resolution[0]) is type(resolution[1]) is int):
        resolution = check_resolution(resolution)  # what may change, such as a tensor, is not remembered
    choices = (resolution, occlusion_truncation, mode, tile_size, batch_size)
    try:
        options = checked_options(*choices)
    except TypeError:  # one that has no hash, such as a list
        options = checked_options.__wrapped__(*choices)
    if depth_prior is not None:
        views = clip.shape[0] if clip.ndim == 3 else 1
        prior = check_prior(depth_prior, views, options.resolution, home, "depth_prior").detach()
        options = replace(options, depth_prior=prior)
    if on_progress is not None:
        options = replace(options, on_progress=on_progress)
    if not (faces.numel() and clip.numel()):
        return _nothing(clip, options, backend)

    def run(device: torch.device, budget: int) -> tuple[Tensor, Tensor, RasterInfo]:
        draw = registry.select("rasterize", backend, device)
        request = replace(options, budget=budget) if budget else options
        if device == home:  # a copy that copies nothing takes its time, too
            return draw(constant, faces, request)
        if request.depth_prior is not None:
            request = replace(request, depth_prior=request.depth_prior.to(device))
        return draw(constant.to(device), faces.to(device), request)

    device = working_device(home)
    constant = clip.detach() if clip.requires_grad else clip
    findices, barycentric, info = with_less_memory(run, device)
    if findices.device != home:
        findices, barycentric = findices.to(home), barycentric.to(home)
    if clip.requires_grad and torch.is_grad_enabled():
        barycentric = _differentiable(clip, faces, findices)
    return Fragments.of(findices, barycentric, info)


def _nothing(clip: Tensor, options: RasterOptions, backend: str) -> Fragments:
    """Images of no face, or no images: what no backend has to draw."""
    device, shape = working_device(clip.device), (*clip.shape[:-2], *options.resolution)
    info = RasterInfo(registry.selected_name("rasterize", backend, device), "", "", str(device), 0)
    options.on_progress(1.0)
    findices = torch.zeros(shape, dtype=torch.int32, device=clip.device)
    return Fragments.of(findices, _background(clip, shape), info)


def _background(clip: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``[*shape, 3]`` barycentrics of no face, through which the gradient of every vertex is 0."""
    return clip[..., :0].sum().expand(*shape, 3).clone()


@lru_cache(maxsize=256, typed=True)
def checked_options(
    resolution: tuple[int, int], occlusion_truncation: float, mode: str, tile_size: int, batch_size: int
) -> RasterOptions:
    return RasterOptions(
        resolution=check_resolution(resolution),
        occlusion_truncation=check_number(occlusion_truncation, "occlusion_truncation"),
        mode=check_mode(mode),
        tile_size=check_integer(tile_size, 8, 512, "tile_size"),
        batch_size=check_integer(batch_size, 0, 2**31 - 1, "batch_size"),
    )


def _differentiable(clip: Tensor, faces: Tensor, findices: Tensor) -> Tensor:
    """Barycentrics of ``findices [(B,) H, W]`` as a differentiable function of ``clip [(B,) N, 4]``.

    Visibility is piecewise constant, so the gradient covers the interior of faces, not their silhouettes.
    """
    images = findices if findices.ndim == 3 else findices[None]
    views = (clip if clip.ndim == 3 else clip[None]).expand(len(images), -1, -1)
    out = barycentrics_of(views, faces, images, device_policy(clip.device).float64)
    return out.view(*findices.shape, 3)


def rasterize_image(
    V: Tensor,  # noqa: N803 - the native module's names
    F: Tensor,  # noqa: N803
    D: Tensor,  # noqa: N803
    width: int,
    height: int,
    occlusion_truncation: float,
    use_depth_prior: int,
) -> Fragments:
    """The native ``custom_rasterizer_kernel.rasterize_image``, bit for bit.

    Args:
        V: ``[N, 4]`` clip-space vertices.
        F: ``[M, 3]`` vertex indices.
        D: ``[height, width]`` depth prior (NDC ``z/w``); ignored, and may be empty, unless ``use_depth_prior``.
        width, height: image size in pixels.
        occlusion_truncation: added to the mapped prior before the test.
        use_depth_prior: 0 or 1.

    Returns:
        ``findices [height, width]`` int32, ``barycentric [height, width, 3]`` float32.
    """
    prior = D if is_set(use_depth_prior, "use_depth_prior") else None
    return rasterize(V, F, (height, width), depth_prior=prior, occlusion_truncation=occlusion_truncation)


def barycentrics(pos: Tensor, tri: Tensor, findices: Tensor) -> Tensor:
    """Perspective-correct barycentrics of given faces, as a differentiable function of the vertices.

    Args:
        pos: ``[N, 4]`` or ``[B, N, 4]`` clip-space vertices, float32 or float64.
        tri: ``[M, 3]`` vertex indices.
        findices: ``[H, W]`` or ``[B, H, W]`` 1-based face indices, 0 = background; any dtype.

    Returns:
        ``findices``' shape with a last dimension of 3, in ``pos``'s dtype; zeros on background. The last stage of
        :func:`rasterize`, which gives the same bits in float32.

    Raises:
        ValueError: an argument is unusable, such as an index of a face that is not there; the text names it.
    """
    pos = as_tensor(pos, "pos")
    clip = check_positions(pos)
    clip = pos if pos.dtype == torch.float64 else clip
    faces = check_faces(tri, clip.shape[-2], clip.device)
    findices = as_tensor(findices, "findices")
    images = check_findices(findices, faces)
    if clip.ndim == 3 and clip.shape[0] not in (1, images.shape[0]):
        raise ValueError(f"pos: is a batch of {clip.shape[0]} views, expected 1 or the {images.shape[0]} of findices")
    if findices.dtype not in (torch.int32, torch.int64):
        findices = findices.to(torch.int64)
    low, high = torch.stack(torch.aminmax(findices)).tolist() if findices.numel() else (0, 0)
    if low < 0 or high > faces.shape[0]:
        raise ValueError(
            f"findices: values are {low} to {high}, expected 0 (background) to {faces.shape[0]}, the number of faces"
        )
    if not high:
        return _background(clip, findices.shape)
    return _differentiable(clip, faces, findices)


FUNCTIONS.update(rasterize=rasterize, barycentrics=barycentrics)
