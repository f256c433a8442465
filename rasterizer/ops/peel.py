"""Depth peeling: the surfaces behind one another, nearest first.

Everitt, "Interactive Order-Independent Transparency", 2001: each layer is drawn with the depth of the one before as a
bound that only fragments behind it pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..contract.types import Fragments
from ..runtime.progress import shares
from .interpolate import interpolate
from .rasterize import rasterize

EMPTY_LAYER = 1e9
"""Depth prior where the layer before drew nothing: nothing is behind it."""


def peel(
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    layers: int,
    *,
    orthographic: bool = False,
    on_progress: Callable[[float], None] | None = None,
    **options: Any,
) -> Iterator[Fragments]:
    """Rasterize layer by layer; each is drawn when it is asked for.

    Args:
        pos, tri, resolution: as in :func:`rasterizer.rasterize`.
        layers: most layers to draw.
        orthographic: every ``w`` is 1, so that the depth to go on from is ``z`` itself.
        on_progress: called with the share of ``layers`` done, 0..1.
        options: other arguments of :func:`rasterizer.rasterize`.

    Yields:
        :class:`~rasterizer.contract.types.Fragments`, the nearest surface first.
    """
    prior = None
    for layer, report in enumerate(shares(on_progress or (lambda share: None), layers)):
        drawn = rasterize(pos, tri, resolution, depth_prior=prior, on_progress=report, **options)
        yield drawn
        if layer + 1 == layers:
            return
        if orthographic:
            depth = interpolate(pos[..., 2:3], *drawn, tri)[..., 0]
        else:
            z, w = interpolate(pos[..., 2:], *drawn, tri).unbind(-1)
            depth = z / w
        prior = torch.where(drawn.findices > 0, depth, EMPTY_LAYER)
