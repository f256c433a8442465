"""Painters: what people and diffusion models do to pictures of a mesh, made on purpose, the same for the same seed.

A painter takes exact pictures of several views and gives pictures that do not agree: in exposure, in where features
are, in what bleeds in from the background, in invented detail.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ..texturing.bake.bleed import outline_distance
from ..texturing.bake.flow import bend, blur

Painter = Callable[[Tensor, Tensor, int], Tensor]
"""``[V, H, W, 3]`` pictures in 0..1, ``[V, H, W]`` bool of what shows the mesh, and a seed, to other pictures."""

_SAFE, _FULL = 1, 11  # pixels from the silhouette within which nothing is shifted, and from which on all is


def _random(seed: int, what: int, view: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 7919 + what * 101 + view)


def _controls(seed: int, what: int, shape: tuple[int, int, int, int], count: int) -> Tensor:
    """``[V, C, H, W]`` smooth random numbers, in -1..1 at ``count x count`` places a view."""
    views, channels, height, width = shape
    values = [
        torch.rand(1, channels, count, count, generator=_random(seed, what, view)) * 2 - 1 for view in range(views)
    ]
    return interpolate(torch.cat(values), (height, width), mode="bicubic", align_corners=True)


def gain(pictures: Tensor, shown: Tensor, seed: int) -> Tensor:
    """Exposure of each view up to 8 % off, white balance up to 4 % a channel."""
    factors = []
    for view in range(len(pictures)):
        random = torch.rand(4, generator=_random(seed, 1, view)) * 2 - 1
        factors.append((1 + 0.08 * random[0]) * (1 + 0.04 * random[1:]))
    return _on(pictures, pictures * torch.stack(factors)[:, None, None], shown)


def shade(pictures: Tensor, shown: Tensor, seed: int, most: float = 0.1) -> Tensor:
    """Smooth light, up to 10 % off."""
    views, height, width, _ = pictures.shape
    light = 1 + most * _controls(seed, 2, (views, 1, height, width), 3).clamp(-1, 1)
    return _on(pictures, pictures * light.permute(0, 2, 3, 1), shown)


def shift(pictures: Tensor, shown: Tensor, seed: int, most: float = 5.0) -> Tensor:
    """Features shifted smoothly, by ``most`` pixels where it is farthest, silhouettes not at all."""
    views, height, width, _ = pictures.shape
    flow = _controls(seed, 3, (views, 2, height, width), 6)
    flow = flow * (most / flow.norm(dim=1).amax((1, 2))[:, None, None, None])
    inside = ((outline_distance(shown, _FULL) - _SAFE) / (_FULL - _SAFE)).clamp(0, 1)
    # By a cubic kernel: a linear one would blur as well, which is not what is asked of this painter.
    moved = torch.stack([bend(picture, there) for picture, there in zip(pictures, flow * inside[:, None], strict=True)])
    return _on(pictures, moved, shown)


def halo(pictures: Tensor, shown: Tensor, seed: int) -> Tensor:
    """White bleeding in over two and a half pixels."""
    share = (1 - (outline_distance(shown, _FULL) - 0.5) / 2.5).clamp(0, 1)[..., None]
    return _on(pictures, pictures * (1 - share) + share, shown)


def jpeg(pictures: Tensor, shown: Tensor, seed: int, quality: int = 40) -> Tensor:
    """Saved as JPEG."""
    saved = []
    for picture in pictures:
        file = io.BytesIO()
        pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        saved.append(torch.from_numpy(np.array(Image.open(file).convert("RGB"))))
    return torch.stack(saved).to(pictures) / 255


def detail(pictures: Tensor, shown: Tensor, seed: int, deviation: float = 0.06) -> Tensor:
    """Structure of 3 to 12 pixels that each view invents for itself."""
    views, height, width, _ = pictures.shape
    noise = torch.cat([torch.randn(1, 1, height, width, generator=_random(seed, 4, view)) for view in range(views)])
    band = blur(noise, 1.2) - blur(noise, 4.0)
    band = band / band.std().clamp(min=1e-9) * deviation
    return _on(pictures, pictures + band.permute(0, 2, 3, 1).to(pictures), shown)


def _in_turn(*painters: Painter) -> Painter:
    def paint(pictures: Tensor, shown: Tensor, seed: int) -> Tensor:
        for painter in painters:
            pictures = painter(pictures, shown, seed)
        return pictures

    return paint


PAINTERS: dict[str, Painter] = {
    "none": lambda pictures, shown, seed: pictures,
    "gain": gain,
    "shade": shade,
    "warp2": partial(shift, most=2.0),
    "warp5": shift,
    "both": _in_turn(shift, gain),
    "halo": halo,
    "jpeg": jpeg,
    "detail": detail,
    "all": _in_turn(
        partial(shift, most=3.0),
        partial(detail, deviation=0.03),
        gain,
        partial(shade, most=0.05),
        halo,
        partial(jpeg, quality=75),
    ),
}


def _on(before: Tensor, after: Tensor, shown: Tensor) -> Tensor:
    """Changes where the mesh is shown."""
    return torch.where(shown[..., None], after.clamp(0, 1), before)
