"""Pixels that show triangles, and what they look up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .ids import triangles_shown

Pixels = tuple[Tensor | None, ...]
"""What there is of ``P`` pixels: tensors ``[P, n]``, or None for what there is not."""

Step = Callable[[Tensor, Pixels, Pixels], None]
"""Takes the triangles ``[P]`` of pixels, int64 from 1, 0 for none; what is given of them; and where results go."""


class Mesh(NamedTuple):
    """What the pixels of an image look up in order to interpolate.

    Attributes:
        corners: which entries of the table a triangle refers to; those of triangle 0, which is none, and of triangles
            with an index out of range are all 0. How it lies in memory is the layout's.
        table: attributes of vertices; entry 0 is 0. Likewise.
        chosen: attributes to differentiate, -1 for none.
    """

    corners: Any
    table: Any
    chosen: tuple[int, ...]


def cut(tensors: Pixels, view: int, some: slice) -> Pixels:
    """Some pixels of one image out of tensors ``[B, P, n]``."""
    return tuple(None if each is None else each[view, some] for each in tensors)


def everywhere(step: Step, triangles: int, given: Pixels, out: Pixels) -> None:
    """Have a step done for pixels.

    Args:
        step: what to do.
        triangles: how many there are, ``T``.
        given: what there is of the pixels, ``rast`` first.
        out: where results go.
    """
    step(_shown(given, triangles).to(torch.int64), given, out)


def where_drawn(step: Step, triangles: int, given: Pixels, out: Pixels) -> None:
    """:func:`everywhere`, but where most pixels show no triangle for the others alone; the rest of ``out`` is set to 0.

    Waits for the device, which a CPU does not mind.
    """
    shown = _shown(given, triangles)
    drawn = np.flatnonzero(shown.numpy())
    if 2 * len(drawn) > len(shown):
        step(shown.to(torch.int64), given, out)
        return
    for rows in out:
        if rows is not None:
            rows.zero_()
    if not len(drawn):
        return
    pixel = torch.from_numpy(drawn)
    some = tuple(None if rows is None else rows.new_empty((len(drawn), rows.shape[1])) for rows in out)
    taken = tuple(None if rows is None else rows.index_select(0, pixel) for rows in given)
    step(shown.index_select(0, pixel).to(torch.int64), taken, some)
    for rows, found in zip(out, some, strict=True):
        if rows is not None and found is not None:
            rows.index_copy_(0, pixel, found)


def _shown(given: Pixels, triangles: int) -> Tensor:
    rast = given[0]
    assert rast is not None
    return triangles_shown(rast[:, 3], triangles)
