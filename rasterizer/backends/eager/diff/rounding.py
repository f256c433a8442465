"""Float32 arithmetic that rounds once where operators would round twice, without float64, which not every device has.

Where a point lies decides which texels it reads, and on a texel's centre which way its slope is taken: the contract has
``a * b + c`` rounded once there, as processors do it in one instruction. Products are split as Dekker does (1971, A
floating-point technique for extending the available precision).
"""

from __future__ import annotations

import torch
from torch import Tensor


def fused(a: Tensor, b: Tensor, c: float) -> Tensor:
    """``a * b + c``, rounded once. Exact ties aside, and where numbers are neither huge nor tiny."""
    product, rest = _product(a, b)
    total = product + c
    part = total - product
    return (product - (total - part)).add_(c - part).add_(rest).add_(total)


def reciprocal_below(value: Tensor) -> Tensor:
    """``1 / value`` of positive numbers, rounded towards zero."""
    found = value.reciprocal()
    product, rest = _product(found, value)
    above = (product - 1.0).add_(rest) > 0.0
    return (found.view(torch.int32) - above.to(torch.int32)).view(torch.float32)


def _product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``a * b`` as float32, and what that differs from the true product by."""
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    product = a * b
    rest = (a_high * b_high).sub_(product).add_(a_high * b_low).add_(a_low * b_high).add_(a_low * b_low)
    return product, rest


def _halves(value: Tensor) -> tuple[Tensor, Tensor]:
    """Twelve leading bits each, so that products of halves are exact."""
    high = (value.view(torch.int32) & -4096).view(torch.float32)
    return high, value - high
