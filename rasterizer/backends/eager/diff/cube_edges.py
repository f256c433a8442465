"""The four texels around a point of a cube map, some of which may lie on the next face.

A texel over an edge is the one at the border of the next face, at the same place along the edge. Over a corner, where
three faces meet, there is none.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from ....contract.rule import constant
from ....runtime.policy import device_policy
from . import texels
from .cube import FACES, Meeting
from .texels import Place, Taps, four, pairs


def around(meeting: Meeting, place: Place) -> Taps:
    """The texels around points of the cube, see :mod:`.texels` for shapes."""
    size = place.width
    u, v = (place.scaled(coordinate, size) for coordinate in (meeting.s, meeting.t))
    low_i, low_j = u.floor(), v.floor()
    columns, rows = (torch.stack((low, low + 1.0)) for low in (low_i, low_j))
    over_i, over_j = ((ends < 0.0) | (ends >= size) for ends in (columns, rows))
    crossed, corner = pairs(over_i, over_j, torch.logical_xor), pairs(over_i, over_j, torch.logical_and)
    columns, rows = columns.to(torch.int64), rows.to(torch.int64)
    side = size.to(torch.int64)
    inner_i, inner_j = (torch.minimum(ends.clamp(min=0), side - 1) for ends in (columns, rows))
    index = four(inner_i, inner_j, _on_face(meeting, place))
    if device_policy(size.device).layout == "columns":
        some = crossed.view(-1).nonzero().view(-1)
        if len(some):
            index.view(-1)[some] = _few_beyond(some, columns, rows, meeting.face, place)
        return Taps(index, (u - low_i, v - low_j), corner if bool(corner.any()) else None)
    beyond = pairs(columns, rows, lambda i, j: _beyond(i, j, meeting.face, side)) + place.first
    return Taps(torch.where(crossed, beyond, index), (u - low_i, v - low_j), corner)


def nearest(meeting: Meeting, place: Place) -> Taps:
    """The texel that each direction meets."""
    return texels.nearest(meeting.s, meeting.t, _on_face(meeting, place), "clamp", None)


def _on_face(meeting: Meeting, place: Place) -> Place:
    side = place.width.to(torch.int64)
    return place._replace(first=place.first + meeting.face * (side * side))


def _few_beyond(some: Tensor, columns: Tensor, rows: Tensor, face: Tensor, place: Place) -> Tensor:
    """Entries of the texels numbered ``some [N]`` of ``[4, L, P]``, which lie over an edge."""
    each = columns[0].numel()
    tap, at = some.div(each, rounding_mode="floor"), some.remainder(each)
    i = columns.view(-1)[(tap & 1) * each + at]
    j = rows.view(-1)[(tap >> 1) * each + at]
    side, first = (value.expand(columns.shape[1:]).reshape(-1)[at] for value in (place.width, place.first))
    return _beyond(i, j, face[at.remainder(len(face))], side.to(torch.int64)) + first


def _beyond(i: Tensor, j: Tensor, face: Tensor, side: Tensor) -> Tensor:
    """Where in a level the texels in column i and row j over one edge of a face lie, counted from its first.

    Args:
        i, j: int64; one of both is -1 or ``side``. For others the result is some texel.
        face, side: int64 that broadcast with them.
    """
    last = side - 1
    over_i = (i < 0) | (i > last)
    edge = face * 4 + torch.where(over_i, (i > last).to(torch.int64), 2 + (j > last).to(torch.int64))
    along = torch.minimum(torch.where(over_i, j, i).clamp_(min=0), last)
    table = constant(edges(), side.device, torch.int64).view(5, 24)
    other, i_start, i_step, j_start, j_step = table.index_select(1, edge.view(-1)).view(5, *edge.shape)
    return (other * side + (j_start * last + j_step * along)) * side + (i_start * last + i_step * along)


@cache
def edges() -> tuple[int, ...]:
    """Five times 24 numbers, for edges 4 * face + (low s, high s, low t, high t).

    ``face, i_start, i_step, j_start, j_step``: the face on the other side, and its texel beside texel k along the edge,
    ``i = i_start * (S - 1) + i_step * k`` and j likewise.
    """
    rows = []
    for (major, major_sign), *sides in FACES:
        for (axis, sign), (along, along_sign) in (sides, sides[::-1]):
            for end in (-1, 1):
                other = next(number for number, (m, *_) in enumerate(FACES) if m == (axis, sign * end))
                texel: list[int] = []
                for own, own_sign in FACES[other][1:]:
                    if own == major:  # leads from the edge into the other face, or to it
                        texel += [int(own_sign == major_sign), 0]
                    else:
                        assert own == along
                        texel += [0, 1] if own_sign == along_sign else [1, -1]
                rows.append((other, *texel))
    return tuple(number for column in zip(*rows, strict=True) for number in column)
