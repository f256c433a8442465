"""Smooth flow from one picture to another: how far features have moved, and how sure that is.

Lucas and Kanade, "An Iterative Image Registration Technique with an Application to Stereo Vision", 1981, from coarse to
fine, on luminance from which the local mean and contrast have been taken, so that exposure does not matter.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, pad

from ...runtime.memory import call_when_memory_is_short
from .cubic import four

_LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601, of display-referred colours
_CONTRAST = 8.0  # pixels: sigma of the window in which mean and deviation are taken out
_WINDOW = 4.0  # pixels: sigma of the window in which a step of the flow is the same
_SMOOTH = 2.0  # pixels: sigma over which the flow is smoothed after each step
_ROBUST = 0.7  # deviations: a residual from which on a pixel counts for less
_DAMPING = 0.01
_LEVELS, _STEPS = 3, 3
_BENT = 1 << 18  # pixels that are bent at once


@lru_cache(maxsize=64)
def _band(sigma: float, count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``[count, count]``: the weight of each place of a line of ``count`` in the Gaussian about each other."""
    places = torch.arange(count, dtype=torch.float32)
    weights = torch.exp(-0.5 * ((places[:, None] - places) / sigma).square())
    return (weights / (sigma * math.sqrt(2 * math.pi))).to(device, dtype)


call_when_memory_is_short(_band.cache_clear)


def blur(values: Tensor, sigma: float) -> Tensor:
    """``[V, C, H, W]`` through a Gaussian of ``sigma`` pixels; beyond the border lies 0.

    As two products with matrices: on one thread convolutions of single channels take several times as long.
    """
    height, width = values.shape[2:]
    rows, columns = (_band(sigma, count, values.dtype, values.device) for count in (height, width))
    return rows @ (values @ columns)


def masked_blur(values: Tensor, mask: Tensor, sigma: float, least: float = 1e-6) -> Tensor:
    """``[V, C, H, W]`` through a Gaussian over the pixels of ``mask [V, 1, H, W]``, 0..1; towards 0 where fewer than a
    share of ``least`` are in reach."""
    return blur(values * mask, sigma) / (blur(mask, sigma) + least)


def warp(pictures: Tensor, flow: Tensor) -> Tensor:
    """``[V, C, H, W]`` pictures, at each pixel what lies ``flow [V, 2, H, W]`` (x, y) pixels further; bilinear, the
    border repeats."""
    height, width = pictures.shape[2:]
    rows, columns = (torch.arange(n, dtype=flow.dtype, device=flow.device) for n in (height, width))
    x, y = flow[:, 0] + columns, flow[:, 1] + rows[:, None]
    grid = torch.stack((x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1), dim=-1)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=True)


def bend(picture: Tensor, flow: Tensor) -> Tensor:
    """``[H, W, C]``, at each pixel of a picture what lies ``flow [2, H, W]`` (x, y) pixels further.

    By the kernel of :mod:`.cubic`, exact where the flow is 0. The border repeats, and no colour leaves the range of the
    picture.
    """
    height, width, channels = picture.shape
    flat, bent = picture.reshape(-1, channels), torch.empty_like(picture)
    low, high = flat.amin(0), flat.amax(0)
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    for top in range(0, height, max(1, _BENT // width)):
        part = slice(top, min(height, top + max(1, _BENT // width)))
        rows = torch.arange(part.start, part.stop, dtype=flow.dtype, device=flow.device)[:, None]
        x, y = columns + flow[0, part], rows + flow[1, part]
        left, upper = x.floor(), y.floor()
        across, down = four(x - left), four(y - upper)
        total = torch.zeros_like(bent[part]).view(-1, channels)
        for row, share in enumerate(down):
            line = (upper + (row - 1)).clamp(0, height - 1).long() * width
            for column, weight in enumerate(across):
                place = line + (left + (column - 1)).clamp(0, width - 1).long()
                total.addcmul_(flat.index_select(0, place.view(-1)), (share * weight).view(-1, 1))
        bent[part] = total.clamp(low, high).view_as(bent[part])
    return bent


def luminance(colors: Tensor) -> Tensor:
    """``[V, 3 or other, H, W]`` to ``[V, 1, H, W]``; the mean of channels that are not three."""
    if colors.shape[1] != 3:
        return colors.mean(1, keepdim=True)
    return (colors * colors.new_tensor(_LUMINANCE)[None, :, None, None]).sum(1, keepdim=True)


def _contrast(picture: Tensor, mask: Tensor) -> Tensor:
    """The picture with mean 0 and deviation 1 in every neighbourhood."""
    mean = masked_blur(picture, mask, _CONTRAST)
    centred = picture - mean
    deviation = masked_blur(centred.square(), mask, _CONTRAST).sqrt()
    return centred / (deviation + 0.02) * mask


def likeness(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """``[V, 1, H, W]`` normalized cross-correlation of two pictures in a Gaussian window, -1..1."""
    total = blur(mask, _CONTRAST) + 1e-6
    mean_one, mean_other = (blur(value * mask, _CONTRAST) / total for value in (one, other))
    centred_one, centred_other = (one - mean_one) * mask, (other - mean_other) * mask
    product = blur(centred_one * centred_other, _CONTRAST)
    squares = blur(centred_one.square(), _CONTRAST) * blur(centred_other.square(), _CONTRAST)
    return product / (squares.sqrt() + 1e-5)


def _halved(values: Tensor) -> Tensor:
    return avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)


def _step(moved: Tensor, wanted: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the flow ``[V, 2, H, W]``, and how sure it is ``[V, 1, H, W]``."""
    padded = pad(moved, (1, 1, 1, 1), mode="replicate")
    slope_x = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    slope_y = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
    residual = wanted - moved
    weight = mask / (1 + (residual / _ROBUST).square())
    products = (slope_x * slope_x, slope_x * slope_y, slope_y * slope_y, slope_x * residual, slope_y * residual)
    xx, xy, yy, bx, by = blur(torch.cat([value * weight for value in products], dim=1), _WINDOW).split(1, dim=1)
    xx, yy = xx + _DAMPING, yy + _DAMPING
    determinant = xx * yy - xy * xy
    step = torch.cat((yy * bx - xy * by, xx * by - xy * bx), dim=1) / determinant
    return step.clamp(-1, 1), determinant / (xx + yy)  # which lies below the lesser eigenvalue


def find_flow(moving: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """The flow f with which ``moving`` at ``p + f`` looks like ``wanted`` at ``p``.

    Args:
        moving, wanted: ``[V, 1, H, W]`` luminance.
        mask: ``[V, 1, H, W]`` 0..1, where both show something.

    Returns:
        ``[V, 2, H, W]`` (x, y) in pixels.
    """
    pyramid = [(moving, wanted, mask)]
    for _ in range(_LEVELS - 1):
        if min(pyramid[-1][0].shape[2:]) < 16:
            break
        share = _halved(pyramid[-1][2])
        halves = (_halved(value * pyramid[-1][2]) / share.clamp(min=1e-6) for value in pyramid[-1][:2])
        pyramid.append((*halves, share))  # type: ignore[arg-type]
    flow = moving.new_zeros(moving.shape[0], 2, *pyramid[-1][0].shape[2:])
    for picture, target, trust in reversed(pyramid):
        size = picture.shape[2:]
        if flow.shape[2:] != size:
            flow = interpolate(flow, size, mode="bilinear", align_corners=False) * 2
        one, other = _contrast(picture, trust), _contrast(target, trust)
        for _ in range(_STEPS):
            step, sure = _step(warp(one, flow), other, trust)
            flow = masked_blur(flow + step, sure * trust + 1e-6, _SMOOTH)
    return flow
