"""The gradient of vertices, for whole images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ....runtime.memory import default_budget
from ....runtime.policy import DevicePolicy, device_policy
from ....runtime.threads import on_own_threads, share_rows
from .gradient import BYTES_PER_PIXEL, gradient_at
from .ids import triangles_shown
from .lookup import Shown
from .scatter import add_rows


@on_own_threads
def rasterize_backward(pos: Tensor, tri: Tensor, rast: Tensor, d_rast: Tensor | None, d_db: Tensor | None) -> Tensor:
    """See :class:`~...diff_interface.RasterizeBackward`."""
    result = torch.zeros_like(pos)
    if not (pos.numel() and len(tri) and rast.numel()) or (d_rast is None and d_db is None):
        return result
    policy, budget = device_policy(pos.device), default_budget(pos.device)
    mesh = Shown(pos, tri, policy.float64)
    ids, pixels = rast.view(-1, 4)[:, 3], rast.numel() // 4
    upstream = [None if each is None else each.reshape(-1, 4) for each in (d_rast, d_db)]
    step = max(1, budget // BYTES_PER_PIXEL)
    total = result.new_zeros((result.numel() // 4, 3))
    for start in range(0, pixels, step):
        some = slice(start, start + step)
        part = [None if each is None else each[some] for each in upstream]
        vertices, gradients = _gradients(mesh, ids[some], start, rast.shape[1:3], part[0], part[1], policy)
        total += add_rows(len(total), vertices.view(-1), gradients.view(3, -1).t())
    flat = result.view(-1, 4)
    flat[:, :2], flat[:, 3] = total[:, :2], total[:, 2]
    return result


def _gradients(
    mesh: Shown,
    float_ids: Tensor,
    start: int,
    size: Sequence[int],
    d_rast: Tensor | None,
    d_db: Tensor | None,
    policy: DevicePolicy,
) -> tuple[Tensor, Tensor]:
    """Gradients at pixels.

    Args:
        mesh: what they show.
        float_ids: ``[P]``.
        start: number of the first pixel, all images counted through.
        size: of an image.
        d_rast, d_db: ``[P, 4]``, upstream; one may be None.
        policy: what suits the device.

    Returns:
        For three corners of some pixels vertices ``[3, N]``, and the gradients of their x, y, w ``[3, 3, N]``.
    """
    ids = triangles_shown(float_ids, mesh.triangles)
    counts = ids > 0
    given = [] if d_rast is None else [d_rast[:, :2]]
    given += [] if d_db is None else [d_db]
    counts &= torch.stack([(each != 0.0).any(1) for each in given]).any(0)
    pixel = torch.arange(start, start + len(ids), device=ids.device)
    looks = policy.layout == "columns"
    if looks:
        chosen = torch.from_numpy(np.flatnonzero(counts.numpy()))
        ids, pixel = ids.index_select(0, chosen), pixel.index_select(0, chosen)
        d_rast = None if d_rast is None else d_rast.index_select(0, chosen)
        d_db = None if d_db is None else d_db.index_select(0, chosen)
    vertices = torch.empty((3, len(ids)), dtype=torch.int64, device=ids.device)
    gradients = float_ids.new_empty((3, 3, len(ids)))

    def task(some: slice) -> None:
        column, row, view = mesh.places(pixel[some], (size[0], size[1]))
        found = mesh.vertices_of(ids[some], view)
        d_uv = column.new_zeros((2, len(column))) if d_rast is None else _by_channel(d_rast[some, :2], column.dtype)
        d_slopes = None if d_db is None else _by_channel(d_db[some], column.dtype).view(2, 2, -1)
        vertices[:, some] = found
        of_corners = gradient_at(mesh.corners(found), column, row, (size[0], size[1]), d_uv, d_slopes)
        for to, values in zip(gradients[:, :, some], of_corners, strict=True):
            to.copy_(values if looks else torch.where(counts[some], values, 0.0))

    share_rows(task, len(ids), ids.device, chunk=policy.chunk // 3)  # each has three corners
    return vertices, gradients


def _by_channel(values: Tensor, dtype: torch.dtype) -> Tensor:
    """``[P, C]`` as ``[C, P]``, contiguous."""
    return values.t().to(dtype, memory_format=torch.contiguous_format)
