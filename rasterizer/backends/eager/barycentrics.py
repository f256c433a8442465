"""Barycentrics of face indices that were drawn without them, some pixels at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ...runtime.memory import default_budget
from ...runtime.policy import device_policy
from ...runtime.threads import on_own_threads
from ..interface import Weigh
from . import columns, stacks
from .layout import Layout
from .resolve import BYTES_PER_PIXEL, resolve
from .triangles import ScreenCorners, Triangles, batch_of

_SHOWN = 4  # pixels that a triangle should have on average for its setup to be worth keeping


@on_own_threads
def barycentrics(pos: Tensor, tri: Tensor, resolution: tuple[int, int], budget: int = 0) -> Weigh:
    """As :data:`~rasterizer.backends.interface.Barycentrics`; the bits of :func:`.rasterize.rasterize`."""
    device, (height, width) = pos.device, resolution
    policy = device_policy(device)
    layout: Layout = columns if policy.layout == "columns" else stacks
    budget = budget or default_budget(device)
    corners = ScreenCorners(pos, tri, resolution, budget, layout, policy.chunk)
    many = corners.views * corners.faces * _SHOWN > corners.views * height * width
    triangles = Triangles(corners, 0 if many else budget, policy.chunk)
    if triangles.kept:
        batch = batch_of(policy, budget)
        for first in range(0, triangles.count, batch):
            triangles.set_up(first, min(first + batch, triangles.count))
    together = max(1, min(policy.chunk, budget // BYTES_PER_PIXEL) // width)

    def weigh(findices: Tensor, start: int) -> Tensor:
        out = torch.empty((len(findices), 3), dtype=torch.float32, device=device)
        done = 0
        while done < len(findices):  # the rest of a row, whole rows, and the beginning of one
            row, left = divmod(start + done, width)
            rows = min(together, (len(findices) - done) // width) if not left else 0
            count = rows * width or min(width - left, len(findices) - done)
            some, shape = slice(done, done + count), (rows or 1, -1)
            parts = findices[some].view(shape), out[some].view(*shape, 3)
            resolve(parts[0], triangles, row, height, policy.float64, parts[1], left)
            done += count
        return out

    return weigh
