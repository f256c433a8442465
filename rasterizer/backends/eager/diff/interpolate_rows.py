"""Interpolation on GPUs, and of many attributes: all of a pixel's attributes together, for few launches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ....contract.rule import constant
from .pixels import Mesh, Pixels
from .scatter import add_rows


def corners(tri: Tensor, vertices: int) -> Tensor:
    """``[T+1, 3]`` int64, see :class:`.Mesh`."""
    valid = (tri.amin(1) >= 0) & (tri.amax(1) < vertices)
    return pad((tri.to(torch.int64) + 1).mul_(valid[:, None]), (0, 0, 1, 0))


def tables(attr: Tensor) -> list[Tensor]:
    """``[V+1, A]`` for each image of ``[B, V, A]``, see :class:`.Mesh`."""
    return list(pad(attr, (0, 0, 1, 0)).unbind(0))


def no_sums(attr: Tensor, parts: int) -> Tensor:
    """Zeros ``[B, parts, V+1, A]``, for ``attr [B, V, A]``."""
    views, vertices, attributes = attr.shape
    return attr.new_zeros((views, parts, vertices + 1, attributes))


def gradient(sums: Tensor) -> Tensor:
    """``[B, V, A]`` from what :func:`no_sums` has become."""
    return sums.sum(1)[:, 1:].contiguous()


def blend(mesh: Mesh, triangle: Tensor, given: Pixels, out: Pixels) -> None:
    """See :func:`.interpolate_columns.blend`; corners and table are of this module."""
    (rast, rast_db), (values, derivatives) = given, out
    assert rast is not None and values is not None
    index = mesh.corners.index_select(0, triangle)
    empty = index[:, :1] == 0
    a, b, c = _look_up(mesh.table, index).unbind(1)
    u, v, w = _weights(rast, empty).split(1, 1)
    torch.mul(a, u, out=values).addcmul_(b, v).addcmul_(c, w)
    if rast_db is not None and derivatives is not None:
        edge_u, edge_v = (_choose(each, mesh.chosen)[..., None] for each in (a - c, b - c))
        of_u, of_v = rast_db.masked_fill(empty, 0.0)[:, None].split(2, 2)
        torch.mul(edge_u, of_u, out=derivatives.unflatten(1, (-1, 2))).addcmul_(edge_v, of_v)


def pull_back(mesh: Mesh, sums: Tensor | None, triangle: Tensor, given: Pixels, out: Pixels) -> None:
    """See :func:`.interpolate_columns.pull_back`; ``sums`` is ``[V+1, A]``, corners and table are of this module."""
    (rast, rast_db, d_values, d_derivatives), (d_rast, d_db) = given, out
    assert rast is not None and d_values is not None
    index = mesh.corners.index_select(0, triangle)
    empty = index[:, :1] == 0
    g = d_values.masked_fill(empty, 0.0)[:, None]
    g_slopes = None if d_derivatives is None else d_derivatives.masked_fill(empty, 0.0).unflatten(1, (-1, 2))
    if d_rast is not None or d_db is not None:
        rows = _look_up(mesh.table, index)
        edges = rows[:, :2] - rows[:, 2:]
        if d_rast is not None:
            d_rast.zero_()[:, :2] = (edges * g).sum(2)
        if d_db is not None and g_slopes is None:
            d_db.zero_()
        elif d_db is not None and g_slopes is not None:
            products = _choose(edges, mesh.chosen)[..., None] * g_slopes[:, None]
            torch.sum(products, 2, out=d_db.unflatten(1, (2, 2)))
    if sums is None:
        return
    shares = _weights(rast, empty)[..., None] * g
    if rast_db is not None and g_slopes is not None:
        slopes = rast_db.masked_fill(empty, 0.0).view(-1, 2, 1, 2)
        of_u_and_v = (slopes * g_slopes[:, None]).sum(3)
        _add_chosen(shares[:, :2], of_u_and_v, mesh.chosen)
        _add_chosen(shares[:, 2:], -of_u_and_v.sum(1, keepdim=True), mesh.chosen)
    # Were the zeros of all empty pixels added to entry 0, a GPU's threads would wait for each other there.
    pixel = torch.arange(len(index), device=index.device)[:, None] % len(sums)
    index = torch.where(empty, pixel, index)
    sums += add_rows(len(sums), index.view(-1), shares.flatten(0, 1))


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """``[P, 3, A]``."""
    return table.index_select(0, index.view(-1)).unflatten(0, (-1, 3))


def _weights(rast: Tensor, empty: Tensor) -> Tensor:
    """Barycentrics ``[P, 3]``; without u and v where there is no triangle."""
    u_v = rast[:, :2].masked_fill(empty, 0.0)
    return torch.cat((u_v, 1.0 - u_v[:, :1] - u_v[:, 1:]), 1)


def _choose(values: Tensor, chosen: tuple[int, ...]) -> Tensor:
    """``[..., n]`` of ``[..., A]``, 0 where none is chosen."""
    if chosen == tuple(range(values.shape[-1])):
        return values
    columns = constant(tuple(which % (values.shape[-1] + 1) for which in chosen), values.device, torch.int64)
    return pad(values, (0, 1)).index_select(-1, columns)


def _add_chosen(to: Tensor, values: Tensor, chosen: tuple[int, ...]) -> None:
    """The transpose of :func:`_choose`: add ``[..., n]`` to ``[..., A]``."""
    if chosen == tuple(range(to.shape[-1])):
        to += values
        return
    for place, which in enumerate(chosen):
        if which >= 0:
            to[..., which] += values[..., place]
