"""Interpolation of few attributes on a CPU: attribute by attribute, along contiguous memory in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ....runtime.threads import share_rows
from .pixels import Mesh, Pixels


def corners(tri: Tensor, vertices: int) -> Sequence[Tensor]:
    """Three tensors ``[T+1]`` int64, see :class:`.Mesh`."""
    columns = torch.zeros((3, len(tri) + 1), dtype=torch.int64, device=tri.device)

    def fill(part: slice) -> None:
        some = tri[part].t().contiguous()
        valid = (some.amin(0) >= 0) & (some.amax(0) < vertices)
        columns[:, part.start + 1 : part.stop + 1] = some.add_(1).mul_(valid)

    share_rows(fill, len(tri), tri.device, weight=4)
    return columns.unbind(0)


def tables(attr: Tensor) -> list[Sequence[Tensor]]:
    """Of each image of ``[B, V, A]``, of each attribute ``[V+1]``; see :class:`.Mesh`."""
    columns = attr.new_zeros((attr.shape[0], attr.shape[2], attr.shape[1] + 1))
    columns[:, :, 1:] = attr.transpose(1, 2)
    return [table.unbind(0) for table in columns.unbind(0)]


def no_sums(attr: Tensor, parts: int) -> Tensor:
    """Zeros ``[B, parts, A, V+1]``, for ``attr [B, V, A]``."""
    views, vertices, attributes = attr.shape
    return attr.new_zeros((views, parts, attributes, vertices + 1))


def gradient(sums: Tensor) -> Tensor:
    """``[B, V, A]`` from what :func:`no_sums` has become."""
    return sums.sum(1)[:, :, 1:].transpose(1, 2).contiguous()


def blend(mesh: Mesh, triangle: Tensor, given: Pixels, out: Pixels) -> None:
    """Attributes of pixels, and their derivatives.

    Args:
        mesh: what to look up.
        triangle: ``[P]`` int64, 0 to ``T``.
        given: ``rast [P, 4]`` and, if attributes are chosen, ``rast_db [P, 4]``.
        out: where attributes ``[P, A]`` go, and derivatives ``[P, 2 n]``.
    """
    (rast, rast_db), (values, derivatives) = given, out
    assert rast is not None and values is not None
    index = [corner.index_select(0, triangle) for corner in mesh.corners]
    mask = _mask(index[0])
    u, v, w = _weights(rast, mask)
    slopes = [] if rast_db is None else _masked(rast_db, mask)
    for attribute, (entries, to) in enumerate(zip(mesh.table, values.unbind(1), strict=True)):
        a, b, c = (entries.index_select(0, each) for each in index)
        torch.add((a * u).add_(b * v), c * w, out=to)
        places = _places(mesh, attribute)
        if derivatives is not None and places:
            a, b = a.sub_(c), b.sub_(c)
            for place in places:
                torch.add(a * slopes[0], b * slopes[2], out=derivatives[:, 2 * place])
                torch.add(a * slopes[1], b * slopes[3], out=derivatives[:, 2 * place + 1])
    if derivatives is not None:
        for place in _places(mesh, -1):
            derivatives[:, 2 * place : 2 * place + 2] = 0.0


def pull_back(mesh: Mesh, sums: Tensor | None, triangle: Tensor, given: Pixels, out: Pixels) -> None:
    """Gradients at pixels.

    Args:
        mesh: what to look up.
        sums: ``[A, V+1]`` to add the gradients of vertices to; None if they are not wanted.
        triangle: ``[P]`` int64, 0 to ``T``.
        given: ``rast``, ``rast_db``, and gradients of what :func:`blend` gives; only ``rast`` and the gradient of
            attributes if none are chosen.
        out: where gradients of ``rast`` and ``rast_db`` go; None where one is not wanted.
    """
    (rast, rast_db, d_values, d_derivatives), (d_rast, d_db) = given, out
    assert rast is not None and d_values is not None
    index = [corner.index_select(0, triangle) for corner in mesh.corners]
    mask = _mask(index[0])
    weights = _weights(rast, mask)
    slopes = [] if rast_db is None else _masked(rast_db, mask)
    to_rast, to_db = ([torch.zeros_like(weights[0]) for _ in range(count)] for count in (2, 4))
    for attribute, entries in enumerate(mesh.table):
        (g,) = _masked(d_values[:, attribute, None], mask)
        by_x_and_y = _of_derivatives(d_derivatives, _places(mesh, attribute), mask)
        if d_rast is not None or d_db is not None:
            a, b, c = (entries.index_select(0, each) for each in index)
            for corner, edge in enumerate((a.sub_(c), b.sub_(c))):
                to_rast[corner].addcmul_(g, edge)
                for axis, upstream in enumerate(by_x_and_y):
                    to_db[2 * corner + axis].addcmul_(upstream, edge)
        if sums is not None:
            for each, share in zip(index, _shares(weights, slopes, g, by_x_and_y), strict=True):
                sums[attribute].scatter_add_(0, each, share)
    for to, columns in ((d_rast, to_rast), (d_db, to_db)):
        if to is not None:
            to[:, len(columns) :] = 0.0
            for place, column in enumerate(columns):
                to[:, place] = column


def _shares(
    weights: Sequence[Tensor], slopes: Sequence[Tensor], g: Tensor, by_x_and_y: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """What the three vertices of a pixel get of the gradients of an attribute and of its derivatives, if any."""
    to_a, to_b, to_c = (weight * g for weight in weights)
    for axis, upstream in enumerate(by_x_and_y):
        of_u, of_v = upstream * slopes[axis], upstream * slopes[2 + axis]
        to_a, to_b, to_c = to_a.add_(of_u), to_b.add_(of_v), to_c.sub_(of_u).sub_(of_v)
    return to_a, to_b, to_c


def _places(mesh: Mesh, attribute: int) -> list[int]:
    """Where among the chosen an attribute is."""
    return [place for place, which in enumerate(mesh.chosen) if which == attribute]


def _of_derivatives(d_derivatives: Tensor | None, places: Sequence[int], mask: Tensor) -> list[Tensor]:
    """Gradients of an attribute's derivatives by x and by y, from all places where it is chosen; none if it is not."""
    if d_derivatives is None or not places:
        return []
    total, *others = (_masked(d_derivatives[:, 2 * place : 2 * place + 2], mask) for place in places)
    for each in others:
        total = [column.add_(more) for column, more in zip(total, each, strict=True)]
    return total


def _weights(rast: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Barycentrics of the three corners."""
    u, v = _masked(rast[:, :2], mask)
    return u, v, (1.0 - u).sub_(v)


def _mask(entry: Tensor) -> Tensor:
    """``[P]`` int32: no bit set where a triangle's corner is entry 0, else all."""
    return (-entry >> 63).to(torch.int32)


def _masked(rows: Tensor, mask: Tensor) -> list[Tensor]:
    """The columns of ``[P, n]``, 0 where the mask is, whatever stands there: also NaN, which a factor would leave."""
    return [column.contiguous().view(torch.int32).bitwise_and_(mask).view(torch.float32) for column in rows.unbind(1)]
