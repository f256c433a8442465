"""The nearest face at every pixel centre. Conventions are stated in :mod:`rasterizer.contract.rule`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, SupportsInt

import torch
from torch import Tensor

from ..backends import registry
from ..backends.eager.resolve import barycentrics_of
from ..backends.interface import Weigh
from ..contract.checks import (
    as_tensor,
    check_devices,
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
from ..runtime.several import Share, Sharing, copies, over_devices, shares_of
from .library import FUNCTIONS

TILE_SIZE = 32
"""Default side of the tiled mode's tiles, in pixels."""

_TOGETHER = 1 << 23  # pixels of a device that are drawn before they are sent to another, where drawing only launches


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
    devices: Iterable[torch.device | str] | None = None,
    barycentrics: bool = True,
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
        devices: share the views out among them, see :mod:`rasterizer.runtime.several`; None draws on ``pos``'s device.
        barycentrics: False leaves them out, and with them 12 of 16 bytes a pixel: ``[H, W, 0]`` is returned for them.
            :func:`barycentrics` finds them later, where and when they are needed.

    Returns:
        :class:`~rasterizer.contract.types.Fragments`, on ``pos``'s device or the first of ``devices``: ``findices [H,
        W]`` int32 (1-based, 0 = background) and ``barycentric [H, W, 3]`` float32, with a leading ``[B]`` if ``pos``
        has one. The barycentrics are differentiable with respect to ``pos``. Faces with a vertex that is not finite on
        the screen draw nothing and are counted in ``.info.invalid_faces``.

    Raises:
        ValueError: an argument is unusable; the text names it, what was found and what is expected.
    """
    if torch.compiler.is_compiling():
        from . import compiled  # nothing of it is needed elsewhere

        if devices is not None:
            raise ValueError("devices: cannot be part of a compiled program, expected None; compile what is around it")
        how = occlusion_truncation, mode, tile_size, batch_size, backend
        drawn = compiled.rasterize(pos, tri, resolution, depth_prior, *how)
        return drawn if barycentrics else drawn._replace(barycentric=_none(drawn.findices))
    clip = check_positions(pos)
    home = clip.device
    faces = check_faces(tri, clip.shape[-2], home)
    views = clip.shape[0] if clip.ndim == 3 else 1
    choices = (occlusion_truncation, mode, tile_size, batch_size)
    options = request_of(views, home, resolution, depth_prior, on_progress, *choices)
    if not barycentrics:
        options = replace(options, barycentrics=False)
    if devices is not None:
        return _over_devices(check_devices(devices), clip, faces, options, backend)
    return _drawn(clip, faces, options, backend)


def _drawn(clip: Tensor, faces: Tensor, options: RasterOptions, backend: str) -> Fragments:
    """:func:`rasterize`, of what has been checked."""
    home = clip.device
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
    if not options.barycentrics:  # not every backend can leave them out
        return Fragments.of(findices, _none(findices), info)
    if clip.requires_grad and torch.is_grad_enabled():
        barycentric = _differentiable(clip, faces, findices)
    return Fragments.of(findices, barycentric, info)


def _over_devices(
    devices: Sequence[torch.device], clip: Tensor, faces: Tensor, options: RasterOptions, backend: str
) -> Fragments:
    """The same with the views shared out among devices, on the first of them."""
    shares, prior = shares_of(clip.shape[0] if clip.ndim == 3 else 1, devices), options.depth_prior
    tri = copies(faces, shares)
    if len(shares) == 1:
        options = replace(options, depth_prior=None if prior is None else prior.to(devices[0]))
        return _drawn(clip.to(devices[0]), tri[0], options, backend)
    # Copied before any share begins, where the caller's streams are current.
    pos = [clip[share.views].to(share.device) for share in shares]
    priors = [None if prior is None else prior[share.views].to(share.device) for share in shares]
    infos = []

    def draw(number: int, views: slice, report: Callable[[float], None]) -> Fragments:
        start = shares[number].views.start
        part, known = slice(views.start - start, views.stop - start), priors[number]
        mine = replace(options, depth_prior=None if known is None else known[part], on_progress=report)
        drawn = _drawn(pos[number][part], tri[number], mine, backend)
        infos.append(drawn.info)
        return drawn

    how = how_to_share(shares, options.resolution, backend)
    findices, barycentric = over_devices(shares, draw, options.on_progress, **how)
    return Fragments.of(findices, barycentric, joined(infos))


def how_to_share(shares: Sequence[Share], resolution: tuple[int, int], backend: str = "auto") -> Sharing:
    """How :func:`~rasterizer.runtime.several.over_devices` is to share out drawing with a backend, and looking up."""
    devices = {working_device(share.device) for share in shares}
    waits = any(
        registry.waits("rasterize", backend, device) or registry.waits("interpolate", "auto", device)
        for device in devices
    )
    return {"waits": waits, "together": max(1, _TOGETHER // (resolution[0] * resolution[1]))}


class _Sum(tuple[SupportsInt, ...]):
    """A number that nobody waits for who does not read it, from several; -1, of which there is no number, stays."""

    def __int__(self) -> int:
        numbers = list(map(int, self))
        return -1 if -1 in numbers else sum(numbers)


def joined(infos: Sequence[RasterInfo]) -> RasterInfo:
    """One account of the shares of a call."""
    if len(infos) == 1:
        return infos[0]
    tiled = next((info for info in infos if info.mode == "tiled"), infos[0])
    devices = ", ".join(dict.fromkeys(info.device for info in infos))
    return replace(tiled, device=devices, invalid=_Sum(info.invalid for info in infos))


def _nothing(clip: Tensor, options: RasterOptions, backend: str) -> Fragments:
    """Images of no face, or no images: what no backend has to draw."""
    device, shape = working_device(clip.device), (*clip.shape[:-2], *options.resolution)
    info = RasterInfo(registry.selected_name("rasterize", backend, device), "", "", str(device), 0)
    options.on_progress(1.0)
    findices = torch.zeros(shape, dtype=torch.int32, device=clip.device)
    return Fragments.of(findices, _background(clip, shape) if options.barycentrics else _none(findices), info)


def _none(findices: Tensor) -> Tensor:
    """Barycentrics that are left out."""
    return torch.empty((*findices.shape, 0), dtype=torch.float32, device=findices.device)


def _background(clip: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``[*shape, 3]`` barycentrics of no face, through which the gradient of every vertex is 0."""
    return clip[..., :0].sum().expand(*shape, 3).clone()


def request_of(
    views: int,
    home: torch.device,
    resolution: tuple[int, int],
    depth_prior: Tensor | None,
    on_progress: Callable[[float], None] | None,
    *choices: Any,
) -> RasterOptions:
    """What a call of so many views asks for, checked; ``choices`` are those of :func:`_checked_options`, in order."""
    if not (type(resolution) is tuple and len(resolution) == 2 and type(resolution[0]) is type(resolution[1]) is int):
        resolution = check_resolution(resolution)  # what may change, such as a tensor, is not remembered
    try:
        options = _checked_options(resolution, *choices)
    except TypeError:  # one that has no hash, such as a list
        options = _checked_options.__wrapped__(resolution, *choices)
    if depth_prior is not None:
        prior = check_prior(depth_prior, views, options.resolution, home, "depth_prior").detach()
        options = replace(options, depth_prior=prior)
    return options if on_progress is None else replace(options, on_progress=on_progress)


@lru_cache(maxsize=256, typed=True)
def _checked_options(
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


def weigher(pos: Tensor, tri: Tensor, resolution: tuple[int, int]) -> Weigh:
    """What finds barycentrics that :func:`rasterize` left out, a run of pixels at a time: its bits, without a gradient.

    Args:
        pos, tri, resolution: what was drawn, ``pos`` as ``[B, N, 4]``.

    Returns:
        ``weigh(findices, start)``: of a run of pixels ``[n]``, counted through all images from ``start``, the
        barycentrics ``[n, 3]`` float32; zeros on background. Several threads may call it at once.
    """
    clip = check_positions(pos).detach()
    faces = check_faces(tri, clip.shape[-2], clip.device)
    size, home = check_resolution(resolution), clip.device
    device = working_device(home)
    weigh: Weigh = registry.usual("barycentrics", device)(clip.to(device), faces.to(device), size, 0)
    return weigh if device == home else lambda found, start: weigh(found.to(device), start).to(home)


FUNCTIONS.update(rasterize=rasterize, barycentrics=barycentrics)
