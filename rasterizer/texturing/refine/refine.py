"""Refining: the texture that, seen through the same cameras, gives back the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...contract.checks import as_tensor, check_integer, check_number
from ...meshes.mesh import Mesh
from ...pictures.stored import as_numbers
from ...rendering.face_ids import FaceIds
from ...rendering.raster import rasterize_mesh
from ...runtime.devices import free_memory
from ...runtime.memory import TooLargeError
from ...runtime.progress import counted, stages
from ...runtime.threads import on_own_threads
from ..bake.checks import check_pictures, check_trust
from ..bake.pictures import prepare_pictures
from ..bake.view import Lens
from ..need import refine_bytes
from ..scale import within_float32
from .sampling import Sampling
from .sight import SAMPLES, look_ups, pixel_weights, stand_ins
from .solve import Problem, evened, prior, solve

STEPS = 18
"""Steps that are usual."""

_DEVICES = ("cpu", "cuda")  # where PyTorch multiplies sparse rows in the same order every time; else the CPU does it
_LEAST = 1e-8  # weight of a pixel that counts


@dataclass(frozen=True)
class Refined:
    """A texture that gives back its pictures.

    Attributes:
        texture: ``[H, W, C]`` float32; texels that are not painted are as they were.
        painted: ``[H, W]`` bool, as it was.
        before: ``[V]`` float32, root mean square by which each picture differs from what the texture showed of it.
        after: the same of what it shows now.
        trust: how far views agree where several show the same, 0..1; 1 where none do.
    """

    texture: Tensor
    painted: Tensor
    before: Tensor
    after: Tensor
    trust: float

    def __str__(self) -> str:
        """A line a view, and one if they do not agree, for people."""
        pairs = zip(self.before.tolist(), self.after.tolist(), strict=True)
        lines = [f"view {n}: {255 * old:.1f} to {255 * new:.1f} of 255" for n, (old, new) in enumerate(pairs, 1)]
        if self.trust < 0.95:
            lines.append(f"views differ where several show the same: {self.trust:.0%} of the change is wise")
        return "\n".join(lines)


@on_own_threads
@torch.no_grad()
def refine_texture(
    mesh: Mesh,
    texture: Tensor,
    painted: Tensor,
    images: Tensor,
    cameras: Sequence[Camera],
    *,
    steps: int = STEPS,
    strength: float = 1.0,
    masks: Tensor | None = None,
    exponent: float = 4.0,
    max_angle: float = 75.0,
    border: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> Refined:
    """Change a texture so that, seen through the same cameras, it gives back the pictures that it was baked from.

    A pixel is the mean over its area, and pixels are wider than texels or the other way round: a bake samples pictures
    and is softer than these, or toothed. Here every pixel is taken for the mean of 3 x 3 bilinear look-ups in the
    texture, and the texture is found that shows all pictures best: least squares by conjugate gradients, from the bake
    on. Pixels count as they do in :func:`~rasterizer.texturing.bake_views`, but not at all within ``border`` pixels of
    an edge, where painters bleed, or where they show what is not painted; and little where other views show something
    else. Where pixels say little of a texel, it changes as its neighbours do.

    Sharpening a picture sharpens its errors. So the change is the smaller, the more views differ where several show the
    same: half of it where that is by 1.3 of 255 in the mean of a texel. Give it pictures that agree
    (``baked.agreement.apply(images)``).

    Six pictures of 512 x 512 pixels take two CPU cores 1.5 s to a texture of 1024 x 1024 texels and 3.6 s to one of
    2048 x 2048, in the usual number of steps. The memory is that of :func:`~rasterizer.texturing.need.refine_bytes`.

    Args:
        mesh: with UVs.
        texture: ``[H, W, C]``, for example of a bake.
        painted: ``[H, W]`` bool, texels that may change, or whole numbers, of which 0 may not.
        images: ``[V, H, W, C]``, one per camera, with the channels of the texture.
        cameras: ``V`` of them.
        steps: of conjugate gradients, 1 to 1000.
        strength: how far to go: 0 leaves the texture as it is, 1 goes as far as views agree, 2 all the way, whatever
            they say.
        masks, exponent, max_angle, border: as for the bake.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: an argument is unusable, or there is not enough memory for it; the text names it.
    """
    steps, strength = check_integer(steps, 1, 1000, "steps"), check_number(strength, "strength")
    if not 0 <= strength <= 2:
        raise ValueError(f"strength: is {strength:g}, expected 0 (the texture as it is) to 2 (all the way); 1 is usual")
    exponent, limit, border = check_trust(exponent, max_angle, border)
    mesh.require_uvs()
    as_tensor(mesh.vertices, "mesh vertices")
    texture, painted = _check_texture(texture, painted)
    images, masks = _check_pictures(images, masks, len(cameras), texture.shape[2])
    home = mesh.vertices.device
    device = home if home.type in _DEVICES else torch.device("cpu")
    mesh = within_float32(mesh).to(device)
    texture = texture.detach().to(device, torch.float32).contiguous()
    images = as_numbers(images.detach().to(device)).to(torch.float32).contiguous()
    painted, masks = painted.to(device), None if masks is None else masks.to(device)
    building, solving = stages(on_progress or (lambda share: None), "looking up texels", "sharpening")
    where = painted.reshape(-1).nonzero().squeeze(1)
    kept, found = _problem(mesh, painted, images, cameras, masks, limit, exponent, border, building)
    before, after, trust = torch.zeros(len(images)), torch.zeros(len(images)), 1.0
    result = texture.clone()
    if found is not None:
        flat = result.view(-1, texture.shape[2])
        start = flat.index_select(0, where)
        before[kept] = _errors(found, start)
        change, trust = solve(found, start, steps, solving)
        change.mul_(min(strength, 1.0) * trust ** (2 - max(strength, 1.0)))
        changed = _within(start + change, start, images)
        after[kept] = _errors(found, changed)
        flat.index_copy_(0, where, changed)
    if on_progress:
        on_progress(1.0)
    return Refined(result.to(home), painted.to(home), before, after, trust)


def _problem(
    mesh: Mesh,
    painted: Tensor,
    images: Tensor,
    cameras: Sequence[Camera],
    masks: Tensor | None,
    limit: float,
    exponent: float,
    border: int,
    report: Callable[[float], None],
) -> tuple[list[int], Problem | None]:
    """The numbers of the views that show anything that is painted, and what they show; None without any."""
    size = (images.shape[1], images.shape[2])
    numbers, near = stand_ins(painted)
    texels = int(painted.sum())
    raster = rasterize_mesh(mesh, cameras, size)
    lenses = Lens.of_each(raster.cameras, raster.mesh, images.shape[2], images.shape[1], raster.frame)
    shown = prepare_pictures(FaceIds.of(raster), lenses, images[..., :0], None, border, lambda _: None)
    weights = pixel_weights(raster, lenses, cameras, limit, exponent)
    # Painters bleed: what is faded is not sharpened.
    weights.mul_((shown.joined().color.view_as(weights) >= 1).to(weights))
    if masks is not None:
        weights.mul_(masks.to(weights))
    del shown, raster
    kept, views, pixels, counts = [], [], [], []
    report = counted("view", len(cameras), report)
    known = 0.0  # look-ups of a pixel
    for number, camera in enumerate(cameras):
        report(number / len(cameras))
        weight = weights[number].view(-1)
        some = (weight > _LEAST).nonzero().squeeze(1)
        if not (texels and len(some)):
            continue
        left = int((weights[number:] > _LEAST).sum())
        _check_memory(left, len(some), known or 4.0 * SAMPLES**2, texels, images)
        whole, forward = look_ups(mesh, camera, size, some, near)
        known = max(known, 1.25 * len(forward.columns) / len(some))
        kept.append(number)
        views.append(Sampling.of(forward))
        pixels.append(images[number].view(-1, images.shape[3]).index_select(0, some))
        counts.append(weight.index_select(0, some) * whole)
    if not views:
        return [], None
    return kept, Problem(views, pixels, evened(views, counts, texels), prior(numbers))


def _check_memory(pixels: int, at_once: int, looks: float, texels: int, images: Tensor) -> None:
    """Refuse what would not fit: so many pixels, those of a view at once, that show so many texels each."""
    views, height, width, channels = images.shape
    needed = refine_bytes(pixels, at_once, looks, SAMPLES**2 * height * width, texels, channels)
    free = free_memory(images.device)
    if needed > free:
        raise TooLargeError(
            f"images: refining {views} of {width} x {height} pixels needs {needed / 2**30:.1f} GiB more memory on "
            f"{images.device}, of which {free / 2**30:.1f} GiB are free; use fewer or smaller images"
        )


def refine_need(images: Tensor, texels: int) -> int:
    """How much memory :func:`refine_texture` will need, for ``[V, H, W, C]`` images that are there already.

    How many of their pixels count, and how many of the ``texels`` that are painted each of these shows, is known when
    the mesh is drawn. Here all of them count, and each shows a square twice as wide as the texels lie if one view shows
    all of them, with the neighbours that are interpolated.
    """
    views, height, width, channels = images.shape
    pixels = height * width
    looks = min(4.0 * SAMPLES**2, (2 * math.sqrt(texels / max(pixels, 1)) + 2) ** 2)
    return refine_bytes(views * pixels, pixels, looks, SAMPLES**2 * pixels, texels, channels)


def _errors(problem: Problem, texels: Tensor) -> Tensor:
    """``[V]`` root mean square of the residuals of pixels that count."""
    found = []
    for residual, weight in zip(problem.residuals(texels), problem.weights, strict=True):
        counted = (weight > 0).to(residual)
        found.append(torch.dot(residual.square().mean(1), counted) / counted.sum().clamp(min=1))
    return torch.stack(found).sqrt_().cpu()


def _within(texels: Tensor, start: Tensor, images: Tensor) -> Tensor:
    """Texels ``[T, C]`` clamped to what pictures, and the texture before, have at all in each channel."""
    flat = images.view(-1, images.shape[3])
    return texels.clamp(torch.minimum(flat.amin(0), start.amin(0)), torch.maximum(flat.amax(0), start.amax(0)))


def _check_texture(texture: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    texture, painted = as_tensor(texture, "texture"), as_tensor(painted, "painted")
    if texture.ndim != 3 or not texture.is_floating_point() or not texture.numel():
        raise ValueError(f"texture: found {list(texture.shape)} {texture.dtype}, expected floating-point [H, W, C]")
    if painted.shape != texture.shape[:2] or painted.is_floating_point() or painted.is_complex():
        raise ValueError(
            f"painted: found {list(painted.shape)} {painted.dtype}, expected bool {list(texture.shape[:2])}, as the "
            "texture"
        )
    _check_finite(texture, "texture")
    return texture, painted != 0


def _check_pictures(images: Tensor, masks: Tensor | None, cameras: int, channels: int) -> tuple[Tensor, Tensor | None]:
    images, masks = check_pictures(images, masks, cameras)
    if not images.numel():
        raise ValueError(f"images: found {list(images.shape)}, expected pictures with pixels")
    if images.shape[3] != channels:
        raise ValueError(f"images: have {images.shape[3]} channels, expected {channels}, as the texture")
    for values, name in ((images, "images"), (masks, "masks")):
        if values is not None:
            _check_finite(values, name)
    return images, masks


def _check_finite(values: Tensor, name: str) -> None:
    bad = int((~torch.isfinite(values.float())).sum())  # there are types that PyTorch cannot ask
    if bad:
        raise ValueError(f"{name}: {bad} of {values.numel()} values are not finite, expected numbers; replace them")
