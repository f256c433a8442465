"""Arithmetic whose result does not depend on the device: integers, and float32 with its rounding errors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ....contract.diff_rule import DEPTH_MOST, DEPTH_ORIGIN, DEPTH_SCALE

_SPLIT = 4097.0  # 2**12 + 1 parts 24 bits into 12 and 12
_FRACTION = 20  # bits below the point of a depth that is being rounded


def vertex_depth(z: Tensor, reciprocal: Tensor) -> Tensor:
    """Depth of vertices by the rule: its fused multiply-add, in integers.

    Args:
        z: ``[K]`` float32.
        reciprocal: ``[K]`` float32, ``1/w``.

    Returns:
        ``[K]`` float32, whole numbers; any for a vertex whose depth is not finite or far from that of a visible one.
    """
    scaled = z * DEPTH_SCALE
    (negative, m, e), (negative_r, m_r, e_r) = _parts(scaled), _parts(reciprocal)
    # The product is m * m_r * 2**(e + e_r); wanted are its bits above 2**-20, and whether there are any below.
    product, shift = m.to(torch.int64) * m_r, (e + e_r + _FRACTION).to(torch.int64)
    left, right = shift.clamp(0, 14), (-shift).clamp_(0, 63)  # a larger product is none of a visible vertex
    above = product << left >> right
    above |= (above << right != product << left).to(torch.int64)
    total = torch.where(negative ^ negative_r, -above, above) + (DEPTH_ORIGIN << _FRACTION)
    return _round(total).clamp_(0, DEPTH_MOST << _FRACTION).bitwise_right_shift_(_FRACTION).to(torch.float32)


def _parts(value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether float32 numbers are negative, and their magnitude ``m * 2**e`` as int32 m below 2**24 and e."""
    bits = value.view(torch.int32)
    exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    normal = (exponent > 0).to(torch.int32)
    return bits < 0, fraction | normal << 23, exponent + (1 - normal) - 150


def _round(value: Tensor) -> Tensor:
    """Int64 numbers to the nearest with 24 significant bits, halves to even; numbers below 0 to whatever."""
    # Were this conversion to round a number up to a power of 2, then so would the result.
    exponent = (value.to(torch.float32).view(torch.int32) >> 23 & 0xFF) - 127
    shift = (exponent - 23).clamp_(0, 40).to(torch.int64)
    half = (torch.ones_like(shift) << shift) >> 1
    up = half - 1 + (value >> shift & 1)
    return torch.where(shift > 0, (value + up) >> shift << shift, value)


def quotient(numerator: Tensor, area: Tensor, float64: bool) -> Tensor:
    """``floor(numerator / area)``, exactly.

    Args:
        numerator: ``[...]`` int64, its magnitude below ``2**32 * area``.
        area: int64 that broadcasts with it, 1 to 2**30.
        float64: whether the device has float64.

    Returns:
        ``[...]`` int64.
    """
    kind = torch.float64 if float64 else torch.float32
    divisor = area.to(kind)
    found, rest = torch.zeros_like(numerator), numerator
    for _ in range(1 if float64 else 3):  # float32 leaves 2**-22 of what there is, and float64 less than 1
        more = (rest.to(kind) / divisor).floor_().to(torch.int64)
        found, rest = found + more, rest - more * area
    return found + (rest >= area).to(torch.int64) - (rest < 0).to(torch.int64)


def difference_of_products(a: Tensor | int, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """``a*b - c*d``, floating point; of float32 with an error of about one rounding, of float64 as it is.

    Products of float32 numbers are exact in float64. In float32, rounding errors of the products are found as in T. J.
    Dekker, A floating-point technique for extending the available precision, 1971. A number ``a`` is below 2**24.
    """
    if b.dtype == torch.float64:
        return a * b - c * d
    (first, lost), (second, lost_too) = _product(a, b), _product(c, d)
    total = first - second
    part = total - first
    error = (first - (total - part)) - (second + part)
    return total + (error + (lost - lost_too))


def _product(a: Tensor | int, b: Tensor) -> tuple[Tensor, Tensor]:
    """A product and its rounding error."""
    product = a * b
    (high_a, low_a), (high_b, low_b) = _split(a), _split(b)
    return product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b


def _split(value: Tensor | int) -> tuple[Any, Any]:
    """Two parts of 12 bits each, whose products are exact."""
    if isinstance(value, int):
        return value & ~0xFFF, value & 0xFFF
    scaled = value * _SPLIT
    high = scaled - (scaled - value)
    return high, value - high
