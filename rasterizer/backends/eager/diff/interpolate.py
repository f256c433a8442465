"""Vertex attributes over an image, their screen-space derivatives, and gradients, in chunks of pixels.

The arithmetic lies in two modules of the same functions: :mod:`.interpolate_columns`, for few attributes on a CPU, and
:mod:`.interpolate_rows`, for everything else. Vertices are looked up in tables whose entry 0 stands for no vertex and
is 0, so that no pixel has to be selected, and no GPU waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

import torch
from torch import Tensor

from ....runtime.policy import DevicePolicy, device_policy
from ....runtime.threads import on_own_threads, share, threads_for
from . import interpolate_columns, interpolate_rows
from .pixels import Mesh, Pixels, cut, everywhere, where_drawn

WORKING_BYTES = 256 << 20
"""Chunks stay below this: what is looked up for a chunk, not for the image, is the temporary."""

_MOST_COLUMNS = 16  # measured on two cores: columns are faster for as many attributes, and more
_COLUMN_CHUNK = 1 << 16  # columns of so many pixels stay in the cache, and Python's lock is passed on seldom enough

_PART = 1 << 18
_MOST_PARTS = 4
"""Gradients of vertices are added up by themselves in parts of an image, of at least so many pixels and at most so
many: threads can share them, but their number does not follow from that of threads, so that sums keep their bits."""


@on_own_threads
def interpolate(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """:class:`~rasterizer.backends.diff_interface.Interpolate`."""
    attributes = attr.shape[-1]
    chosen = tuple(range(attributes)) if every else chosen
    out = rast.new_empty((*rast.shape[:3], attributes))
    derivatives = rast.new_empty((*rast.shape[:3], 2 * len(chosen)))
    plan = _Plan(attr, rast, tri, chosen)
    given = plan.images(rast, rast_db if chosen else None)
    to = plan.images(out, derivatives if chosen else None)

    def tasks() -> Iterator[Callable[[], object]]:
        for view, mesh in enumerate(plan.meshes):
            step = partial(plan.layout.blend, mesh)
            for some in plan.chunks:
                yield partial(plan.run, step, len(tri), cut(given, view, some), cut(to, view, some))

    share(tasks(), plan.threads)
    return out, derivatives


@on_own_threads
def interpolate_backward(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    every: bool,
    chosen: tuple[int, ...],
    d_out: Tensor | None,
    d_da: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """:class:`~rasterizer.backends.diff_interface.InterpolateBackward`."""
    attributes = attr.shape[-1]
    chosen = () if d_da is None else tuple(range(attributes)) if every else chosen
    plan = _Plan(attr, rast, tri, chosen)
    d_out = rast.new_zeros((*rast.shape[:3], attributes)) if d_out is None else d_out
    given = plan.images(rast, rast_db if chosen else None, d_out, d_da if chosen else None)
    d_rast, d_db = (torch.empty_like(rast) if each else None for each in wanted[1:])
    to = plan.images(d_rast, d_db)
    sums = plan.layout.no_sums(attr.view(plan.views, -1, attributes), plan.parts) if wanted[0] else None

    def part(view: int, number: int) -> None:
        total = None if sums is None else sums[view, number]
        step = partial(plan.layout.pull_back, plan.meshes[view], total)
        first, stop = (each * len(plan.chunks) // plan.parts for each in (number, number + 1))
        for some in plan.chunks[first:stop]:
            plan.run(step, len(tri), cut(given, view, some), cut(to, view, some))

    share((partial(part, view, number) for view in range(plan.views) for number in range(plan.parts)), plan.threads)
    d_attr = None if sums is None else plan.layout.gradient(sums).view(attr.shape)
    return d_attr, d_rast, d_db


class _Plan:
    """How the pixels of a call are gone through.

    Images that share their attributes are one long one, a *view*.
    """

    def __init__(self, attr: Tensor, rast: Tensor, tri: Tensor, chosen: tuple[int, ...]) -> None:
        policy, attributes = device_policy(rast.device), attr.shape[-1]
        tables = attr.view(-1, *attr.shape[-2:])
        self.views = len(tables)
        self.pixels = rast.shape[:3].numel() // self.views
        columns = policy.layout == "columns" and attributes <= _MOST_COLUMNS
        self.layout: ModuleType = interpolate_columns if columns else interpolate_rows
        corners = self.layout.corners(tri, tables.shape[1])
        self.meshes = [Mesh(corners, table, chosen) for table in self.layout.tables(tables)]
        chunk = _COLUMN_CHUNK if columns else _row_chunk(policy, attributes, len(chosen))
        self.chunks = [slice(start, start + chunk) for start in range(0, self.pixels, chunk)]
        self.run = where_drawn if policy.layout == "columns" else everywhere
        self.threads = threads_for(policy, self.views * self.pixels)
        self.parts = max(1, min(self.pixels // _PART, _MOST_PARTS // self.views)) if policy.own_threads else 1

    def images(self, *tensors: Tensor | None) -> Pixels:
        """``[views, pixels, n]`` of tensors ``[B, H, W, n]``."""
        return tuple(None if each is None else each.view(self.views, self.pixels, each.shape[3]) for each in tensors)


def _row_chunk(policy: DevicePolicy, attributes: int, chosen: int) -> int:
    """Pixels at once: each takes about four times its three vertices' attributes, and as much of the chosen ones."""
    return min(policy.chunk, max(256, WORKING_BYTES // (128 + 48 * (attributes + chosen))))
