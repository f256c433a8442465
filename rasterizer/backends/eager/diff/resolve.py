"""From ids to barycentrics, z/w and derivatives, for whole images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from ....contract.diff_rule import encode_ids
from ....runtime.policy import DevicePolicy
from ....runtime.threads import share, threads_for
from . import planes
from .lookup import Shown
from .values import BYTES_PER_PIXEL, write_values


def resolve(
    pos: Tensor, tri: Tensor, ids: Tensor, policy: DevicePolicy, budget: int, rast: Tensor, rast_db: Tensor
) -> None:
    """Write the values of all pixels.

    Args:
        pos: ``[B, V, 4]``, or ``[V, 4]`` for all images.
        tri: ``[T, 3]``.
        ids: ``[B, H, W]`` int32, 0 for the background.
        policy, budget: what suits the device.
        rast, rast_db: ``[B, H, W, 4]``, where the values go.
    """
    mesh = Shown(pos, tri, policy.float64)
    tasks = (_columns_tasks if policy.layout == "columns" else _stacks_tasks)(mesh, ids, policy, budget, rast, rast_db)
    share(tasks, threads_for(policy, ids.numel()))


def _stacks_tasks(
    mesh: Shown, ids: Tensor, policy: DevicePolicy, budget: int, rast: Tensor, rast_db: Tensor
) -> Iterator[Callable[[], None]]:
    """Pixel by pixel from the triangle's corners."""
    _, height, width = ids.shape
    flat = ids.view(-1)
    step = max(1, min(policy.chunk, budget // BYTES_PER_PIXEL))

    def task(start: int) -> None:
        found = flat[start : start + step]
        pixel = torch.arange(start, start + len(found), device=ids.device)
        column, row, view = mesh.places(pixel, (height, width))
        corners = mesh.corners(mesh.vertices_of(found, view))
        some = slice(start, start + len(found))
        to, to_db = rast.view(-1, 4)[some], rast_db.view(-1, 4)[some]
        write_values(corners, column, row, (height, width), to.unbind(1)[:3], to_db.unbind(1))
        empty = (found == 0)[:, None]
        to[:, 3] = encode_ids(found, mesh.triangles)
        to.masked_fill_(empty, 0.0)
        to_db.masked_fill_(empty, 0.0)

    for start in range(0, len(flat), step):
        yield partial(task, start)


def _columns_tasks(
    mesh: Shown, ids: Tensor, policy: DevicePolicy, budget: int, rast: Tensor, rast_db: Tensor
) -> Iterator[Callable[[], None]]:
    """From planes: of all triangles, where these are no more than an image has pixels, else made for each pixel."""
    images, height, width = ids.shape
    size = (height, width)
    columns = torch.arange(width, dtype=torch.float64, device=ids.device)
    step = max(1, policy.chunk // width)

    def task(image: int, top: int, table: Tensor | None) -> None:
        some = slice(top, top + step)
        found = ids[image, some]
        place = found
        if table is None:
            table = planes.empty_table(found.numel())
            corners = mesh.corners(mesh.vertices_of(found.reshape(-1), image))
            planes.write_planes(corners, size, table[:, 1:])
            place = torch.arange(1, found.numel() + 1, device=found.device).view(found.shape).mul_(found > 0)
        to, to_db = rast[image, some].unbind(2), rast_db[image, some].unbind(2)
        row = torch.arange(top, top + len(found), dtype=torch.float64, device=found.device)[:, None]
        planes.write_values(table, place, columns, row, to[:3], to_db)
        to[3].copy_(encode_ids(found, mesh.triangles))

    few = mesh.triangles <= height * width and mesh.triangles * planes.BYTES_PER_TRIANGLE <= budget // 2
    table = None
    for image in range(images):
        if few and (table is None or mesh.own):
            table = _planes_of_all(mesh, image, size, policy)
        for top in range(0, height, step):
            yield partial(task, image, top, table)


def _planes_of_all(mesh: Shown, image: int, size: tuple[int, int], policy: DevicePolicy) -> Tensor:
    """A table of all triangles of an image."""
    table = planes.empty_table(mesh.triangles)

    def write(start: int) -> None:
        ids = torch.arange(start, min(start + policy.chunk, mesh.triangles + 1), device=table.device)
        corners = mesh.corners(mesh.vertices_of(ids, image))
        planes.write_planes(corners, size, table[:, start : start + policy.chunk])

    for start in range(1, mesh.triangles + 1, policy.chunk):
        write(start)
    return table
