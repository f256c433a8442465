"""Colours spread outward from what is known, by PyTorch's operators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...runtime.threads import share_rows

RINGS = 8
"""Texels around the known ones that take the mean of their neighbours, before coarser averages take over."""

_BESIDE = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]


def spread_into(texture: Tensor, known: Tensor, report: Callable[[float], None]) -> Tensor:
    """See :func:`.plane.spread_into`."""
    ring = _rings(known)
    flat, numbers = texture.view(-1, texture.shape[2]), ring.view(-1)
    near = ((ring > 0) & (ring <= RINGS)).view(-1).nonzero().squeeze(1)
    order = torch.argsort(numbers.index_select(0, near), stable=True)
    near = near.index_select(0, order)
    last = torch.arange(RINGS + 1, device=ring.device)
    bounds = torch.searchsorted(numbers.index_select(0, near).long(), last, right=True).tolist()
    for number, (start, stop) in enumerate(zip(bounds, bounds[1:], strict=False), 1):
        report(number / (RINGS + 1) * 0.6)
        _grow(flat, ring, near[start:stop], number)
    report(0.6)
    far = (ring > RINGS).view(-1).nonzero().squeeze(1)
    if 0 < len(far) < ring.numel():
        coarse, share = _halved(texture, ring <= RINGS)
        _pull_and_push(coarse, share)
        flat.index_copy_(0, far, _magnified(coarse, far, texture.shape[1]))
    report(1.0)
    return texture


def _rings(known: Tensor) -> Tensor:
    """``[H, W]`` uint8: how far the nearest known texel is, diagonally too, up to ``RINGS + 1``."""
    number = torch.zeros_like(known, dtype=torch.uint8)
    for _ in range(RINGS + 1):
        number += ~known
        wide = known.clone()
        wide[:, 1:] |= known[:, :-1]
        wide[:, :-1] |= known[:, 1:]
        known = wide.clone()
        known[1:] |= wide[:-1]
        known[:-1] |= wide[1:]
    return number


def _grow(flat: Tensor, ring: Tensor, index: Tensor, number: int) -> None:
    """The texels ``[n]`` of a ring take the mean of those of their eight neighbours that lie within it."""
    height, width = ring.shape
    numbers = ring.view(-1)

    def take(part: slice) -> None:
        own = index[part]
        row = torch.div(own, width, rounding_mode="floor")
        column = own - row * width
        total, count = flat.new_zeros(()), flat.new_zeros(())
        for down, right in _BESIDE:
            place = (row + down).clamp_(0, height - 1) * width + (column + right).clamp_(0, width - 1)
            # A neighbour outside is clamped to another neighbour or to the texel itself: that is not counted twice.
            inside = (place - own) == down * width + right
            counts = ((numbers.index_select(0, place) < number) & inside).to(flat.dtype)[:, None]
            total = total + flat.index_select(0, place) * counts
            count = count + counts
        flat.index_copy_(0, own, total / count)

    share_rows(take, len(index), flat.device, weight=16)


def _pull_and_push(image: Tensor, share: Tensor) -> None:
    """Fill ``image [H, W, C]`` in place where ``share [H, W]`` is 0, with the average of the smallest square around
    that has something.

    The method is pull-push (Gortler, Grzeszczuk, Szeliski and Cohen, The Lumigraph, SIGGRAPH 1996).
    """
    empty = (share.view(-1) == 0).nonzero().squeeze(1)
    if not len(empty):
        return
    coarse, its_share = _halved(image, share > 0)
    _pull_and_push(coarse, its_share)
    image.view(-1, image.shape[2]).index_copy_(0, empty, _magnified(coarse, empty, image.shape[1]))


def _halved(image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the known texels of each square of four, and how many these are; ``image`` is zero elsewhere."""
    height, width, channels = image.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    coarse, share = image.new_zeros((rows, columns, channels)), image.new_zeros((rows, columns))

    def add(part: slice) -> None:
        pair = slice(2 * part.start, min(2 * part.stop, height))
        counts = known[pair].to(image.dtype)
        for values, to in ((image[pair], coarse[part]), (counts[..., None], share[part][..., None])):
            total = values[0::2].clone()
            total[: len(values) // 2] += values[1::2]
            to.copy_(total[:, 0::2])
            to[:, : width // 2] += total[:, 1::2]
        coarse[part] /= share[part].clamp(min=1)[..., None]

    share_rows(add, rows, image.device, weight=4 * columns)
    return coarse, share


def _magnified(coarse: Tensor, index: Tensor, width: int) -> Tensor:
    """``[n, C]`` bilinear values of an image at texels ``[n]`` of one of twice the size, ``width`` wide."""
    rows, columns, channels = coarse.shape
    flat = coarse.view(-1, channels)
    values = coarse.new_empty((len(index), channels))

    def read(part: slice) -> None:
        row = torch.div(index[part], width, rounding_mode="floor")
        column = index[part] - row * width
        near_row, near_column = row >> 1, column >> 1
        far_row = (near_row + (row & 1) * 2 - 1).clamp_(0, rows - 1)
        far_column = (near_column + (column & 1) * 2 - 1).clamp_(0, columns - 1)
        total = coarse.new_zeros(())
        for line, across in ((near_row, 0.75), (far_row, 0.25)):
            for place, along in ((near_column, 0.75), (far_column, 0.25)):
                total = total + flat.index_select(0, line * columns + place) * (across * along)
        values[part] = total

    share_rows(read, len(index), coarse.device, weight=8)
    return values
