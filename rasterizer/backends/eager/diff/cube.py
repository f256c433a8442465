"""Cube maps: which face a direction meets and where, and what follows for derivatives.

Faces 0 to 5 lie at +x, -x, +y, -y, +z and -z. With m the coordinate along a face's axis, sc and tc those along its s
and t (:data:`FACES`), a direction meets the face at ``s = sc / (2 |m|) + 1/2`` and ``t = tc / (2 |m|) + 1/2``: the
convention of OpenGL. The major axis is z if ``|z| > max(|x|, |y|)``, else y if ``|y| > |x|``, else x.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .detail import Footprint, finite_or_nothing
from .rounding import fused, reciprocal_below

_Three = tuple[Tensor, Tensor, Tensor]

FACES = (
    ((0, 1), (2, -1), (1, -1)),
    ((0, -1), (2, 1), (1, -1)),
    ((1, 1), (0, 1), (2, 1)),
    ((1, -1), (0, 1), (2, -1)),
    ((2, 1), (0, 1), (1, -1)),
    ((2, -1), (0, -1), (1, -1)),
)
"""Of each face axis and sign of m, of sc, and of tc."""


class Meeting(NamedTuple):
    """Where directions meet the cube, ``[P]`` each.

    Attributes:
        s, t: on the face, 0..1.
        face: int64 0..5.
        usable: False for directions that are zero or not finite; they are taken to be +x.
        axis: the major axis: whether it is y, and whether it is z.
        signs: of m, sc and tc.
        over: ``1 / |m|``.
        slopes: ``sc / |m|`` and ``tc / |m|``.
    """

    s: Tensor
    t: Tensor
    face: Tensor
    usable: Tensor
    axis: tuple[Tensor, Tensor]
    signs: _Three
    over: Tensor
    slopes: tuple[Tensor, Tensor]


def meet(direction: Tensor) -> Meeting:
    """``direction [P, 3]``."""
    x, y, z = direction.unbind(-1)
    major = torch.maximum(torch.maximum(x.abs(), y.abs()), z.abs())  # NaN if one of them is
    usable = (major.reciprocal() < torch.inf) & (major < torch.inf)
    x, y, z = torch.where(usable, x, 1.0), torch.where(usable, y, 0.0), torch.where(usable, z, 0.0)
    along_z = z.abs() > torch.maximum(x.abs(), y.abs())
    along_y = (y.abs() > x.abs()) & ~along_z
    axis = along_y, along_z
    m = torch.where(along_z, z, torch.where(along_y, y, x))
    sign = m.sign()
    signs = sign, torch.where(along_y, 1.0, torch.where(along_z, sign, -sign)), torch.where(along_y, sign, -1.0)
    _, sc, tc = _to_face((x, y, z), axis, signs)
    half = reciprocal_below(m.abs() * 2.0)
    s, t = (fused(each, half, 0.5).clamp_(0.0, 1.0) for each in (sc, tc))
    over = half * 2.0
    face = 2 * along_y.to(torch.int64) + 4 * along_z.to(torch.int64) + (m < 0.0)
    return Meeting(s, t, face, usable, axis, signs, over, (sc * over, tc * over))


def _to_face(xyz: _Three, axis: tuple[Tensor, Tensor], signs: _Three) -> _Three:
    """``|m|``, sc and tc of vectors, or what they change by."""
    (x, y, z), (along_y, along_z), (sign, sign_s, sign_t) = xyz, axis, signs
    along_x = ~(along_y | along_z)
    m = torch.where(along_z, z, torch.where(along_y, y, x))
    return m * sign, torch.where(along_x, z, x) * sign_s, torch.where(along_y, z, y) * sign_t


def _from_face(face: _Three, axis: tuple[Tensor, Tensor], signs: _Three) -> _Three:
    """Gradient of x, y and z from that of ``|m|``, sc and tc: the transpose of :func:`_to_face`."""
    m, sc, tc = (value * sign for value, sign in zip(face, signs, strict=True))
    along_y, along_z = axis
    x = torch.where(along_y | along_z, sc, m)
    y = torch.where(along_y, m, tc)
    z = torch.where(along_z, m, torch.where(along_y, tc, sc))
    return x, y, z


def footprint(meeting: Meeting, da: Tensor) -> Footprint:
    """How far pixels reach over the face, from ``da [P, 6]``: x, y, z each by X and Y; zeros where not finite."""
    by_x, by_y = (_slide(meeting, _to_face(part, meeting.axis, meeting.signs)) for part in _halves(da))
    return finite_or_nothing((by_x[0], by_y[0], by_x[1], by_y[1]))


def _halves(da: Tensor) -> tuple[_Three, _Three]:
    x_x, x_y, y_x, y_y, z_x, z_y = da.unbind(-1)
    return (x_x, y_x, z_x), (x_y, y_y, z_y)


def _slide(meeting: Meeting, moved: _Three) -> tuple[Tensor, Tensor]:
    """What s and t change by, from what ``|m|``, sc and tc do."""
    (m, sc, tc), (p, q), half = moved, meeting.slopes, meeting.over * 0.5
    return (sc - p * m).mul_(half), (tc - q * m).mul_(half)


def _slide_backward(meeting: Meeting, s: Tensor, t: Tensor) -> _Three:
    """Gradient of ``|m|``, sc and tc from that of s and t."""
    (p, q), half = meeting.slopes, meeting.over * 0.5
    s, t = s * half, t * half
    return (s * p).add_(t * q).neg_(), s, t


def point_backward(meeting: Meeting, s: Tensor, t: Tensor) -> Tensor:
    """Gradient ``[P, 3]`` of the direction from that of s and t."""
    return _joined(_from_face(_slide_backward(meeting, s, t), meeting.axis, meeting.signs))


def footprint_backward(meeting: Meeting, upstream: Footprint) -> Tensor:
    """Gradient ``[P, 6]`` of ``da`` from that of :func:`footprint`."""
    s_x, s_y, t_x, t_y = upstream
    by_x, by_y = (
        _from_face(_slide_backward(meeting, s, t), meeting.axis, meeting.signs) for s, t in ((s_x, t_x), (s_y, t_y))
    )
    pairs = zip(by_x, by_y, strict=True)
    return _joined(tuple(value for pair in pairs for value in pair))


def turn_backward(meeting: Meeting, da: Tensor, upstream: Footprint) -> Tensor:
    """Gradient ``[P, 3]`` of the direction from that of :func:`footprint`, with ``da`` held fast.

    ``ds = (dsc - p d|m|) / (2 |m|)`` changes by ``-d|m| / (2 m^2)`` with sc, and with ``|m|`` by
    ``-(dsc - 2 p d|m|) / (2 m^2)``.
    """
    p, q = meeting.slopes
    m = sc = tc = torch.zeros_like(p)
    for part, s, t in zip(_halves(da), upstream[:2], upstream[2:], strict=True):
        m_by, sc_by, tc_by = _to_face(part, meeting.axis, meeting.signs)
        m = m - (sc_by - 2.0 * p * m_by) * s - (tc_by - 2.0 * q * m_by) * t
        sc = sc - m_by * s
        tc = tc - m_by * t
    scale = 0.5 * meeting.over * meeting.over
    return _joined(_from_face((m * scale, sc * scale, tc * scale), meeting.axis, meeting.signs))


def _joined(columns: tuple[Tensor, ...]) -> Tensor:
    """``[P, n]``; numbers that are not finite are no gradient."""
    return torch.stack(columns, -1).nan_to_num_(0.0, 0.0, 0.0)
