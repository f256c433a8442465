"""What a backend is, and what it must offer for each operation. Imports none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..contract.types import RasterInfo, RasterOptions

Rasterize = Callable[[Tensor, Tensor, RasterOptions], tuple[Tensor, Tensor, RasterInfo]]
"""``pos [B, N, 4]`` float32, ``tri [M, 3]`` and options to ``findices [B, H, W]`` int32, ``barycentric [B, H, W, 3]``
float32 and an account; without B where ``pos`` has none."""

RasterizeQuantized = Callable[[Tensor, Tensor, Tensor, RasterOptions], tuple[Tensor, Tensor, RasterInfo]]
"""``positions [N, 3]`` int16, ``matrices [B, 4, 4]`` float32, ``tri [M, 3]`` and options to the same, always with B."""

Interpolation = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""``col [1 or B, N, C]``, ``findices [B, H, W]``, ``barycentric [B, H, W, 3]``, ``tri [M, 3]`` and ``budget`` to
``[B, H, W, C]``, with ``budget`` bytes of working memory, or 0 for what it likes."""

Weigh = Callable[[Tensor, int], Tensor]
"""Face indices ``[n]`` int32 of a run of pixels, and the number of the first, counted through all views, to their
barycentrics ``[n, 3]`` float32. May be called by several threads at once."""

Barycentrics = Callable[[Tensor, Tensor, tuple[int, int], int], Weigh]
"""``pos [B, N, 4]`` float32, ``tri [M, 3]``, ``(height, width)`` of the images and ``budget``, bytes of working memory
or 0, to what gives the barycentrics that a :data:`Rasterize` left out."""


class Implementation(NamedTuple):
    """A way to do an operation. Arguments have been checked and are on one device, and nothing needs a gradient.

    Attributes:
        function: a :data:`Rasterize`, a :data:`RasterizeQuantized`, an :data:`Interpolation` or a :data:`Barycentrics`.
            It does whatever is asked on a device there is no ``reason_against``; what its own way cannot do, or fails
            to, PyTorch operators do instead.
        reason_against: why it does not work on a device, or an empty string; asked before every call.
        reason_to_pass_over: why ``auto`` passes it over there though it may work, or an empty string; asked before
            that.
        waits: whether it waits for the device while it works, as operators do, or launches all of it at once.
    """

    function: Callable[..., Any]
    reason_against: Callable[[torch.device], str]
    reason_to_pass_over: Callable[[torch.device], str] = lambda device: ""
    waits: bool = True


@dataclass(frozen=True)
class Backend:
    """A family of implementations, as users know it.

    Attributes:
        name: as users ask for it.
        priority: ``auto`` takes the highest that works; below 0 a backend is used only when asked for.
        note: one line for people.
        module: the third-party module it needs, if any.
        asks_driver: whether to ask it for reasons may start a driver, which no log line is worth.
    """

    name: str
    priority: int
    note: str
    module: str = ""
    asks_driver: bool = False


@dataclass(frozen=True)
class BackendStatus:
    """One row of the report: a backend, whether it can be used on a device, whether ``auto`` takes it, and why not."""

    name: str
    priority: int
    available: bool
    active: bool
    reason: str
    note: str


def takes_single_views(rasterize: Rasterize) -> Rasterize:
    """Let what takes ``pos [B, N, 4]`` take ``[N, 4]`` too, with results that have no batch dimension either."""

    @wraps(rasterize)
    def of_either(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
        if pos.ndim == 3:
            return rasterize(pos, tri, options)
        findices, barycentric, info = rasterize(pos.unsqueeze(0), tri, options)
        return findices.squeeze(0), barycentric.squeeze(0), info

    return of_either
