"""Which vertex lies across each edge of a mesh."""

from __future__ import annotations

import torch
from torch import Tensor

from ....runtime.policy import device_policy

NONE = -1
"""No vertex."""


def topology(tri: Tensor, vertices: int) -> Tensor:
    """:class:`~rasterizer.backends.diff_interface.Topology`.

    Of each undirected edge the first two distinct opposite vertices count, in the order of triangles; a triangle with
    another sees no neighbour there. Triangles with an index out of range or twice the same count as nothing.
    """
    # Metal sorts integers of 64 bits wrongly, and not all devices like it sort others stably. A mesh comes seldom.
    sortable = tri if device_policy(tri.device).int64_min else tri.cpu()
    return _across(sortable, vertices).to(tri.device)


def _across(tri: Tensor, vertices: int) -> Tensor:
    edge, valid = _edges(tri, vertices)
    ordered, order = torch.sort(edge, stable=True)
    opposite = tri.view(-1).index_select(0, order)
    other = torch.empty_like(opposite).scatter_(0, order, _other_of_two(ordered, opposite))
    return torch.where(valid, other.view(-1, 3), NONE)


def _edges(tri: Tensor, vertices: int) -> tuple[Tensor, Tensor]:
    """Of the edges opposite to each vertex a number ``[3 T]`` int64, and whether their triangles count ``[T, 1]``."""
    following, last = tri.roll(-1, 1), tri.roll(1, 1)
    valid = ((tri >= 0) & (tri < vertices) & (tri != following)).all(1, keepdim=True)
    low, high = torch.minimum(following, last).to(torch.int64), torch.maximum(following, last)
    return torch.where(valid, low * vertices + high, -1).view(-1), valid


def _other_of_two(group: Tensor, value: Tensor) -> Tensor:
    """Of the first two distinct values of each entry's group the one that is not its own.

    Args:
        group: ``[N]``; members of a group follow each other.
        value: ``[N]`` int32, not negative.

    Returns:
        ``[N]`` int32, :data:`NONE` where there is none, or the entry's own value is neither of the two.
    """
    count = len(group)
    begins = torch.ones_like(group, dtype=torch.bool)
    torch.ne(group[1:], group[:-1], out=begins[1:])
    number = begins.cumsum(0, dtype=torch.int64).sub_(1)  # of the group
    nowhere = number.new_full((), count)  # a place of its own for what is not to be written

    place = torch.arange(count, dtype=torch.int32, device=group.device)
    starts = place.new_zeros(count + 1).scatter_(0, torch.where(begins, number, nowhere), place)
    start = starts.index_select(0, number)
    first = value.index_select(0, start)
    differs = value != first
    so_far = differs.cumsum(0, dtype=torch.int32)
    is_second = differs & (so_far == so_far.index_select(0, start) + 1)
    seconds = value.new_full((count + 1,), NONE).scatter_(0, torch.where(is_second, number, nowhere), value)
    second = seconds.index_select(0, number)
    return torch.where(differs, torch.where(value == second, first, NONE), second)
