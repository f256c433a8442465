"""Pictures and attributes as they are stored: bytes and half-precision numbers, read where they are used."""

from __future__ import annotations

import torch
from torch import Tensor

STORED = (torch.float32, torch.float16, torch.bfloat16, torch.uint8)
"""Dtypes that are read as they are; the order is that of the kernels' codes."""


def is_stored(values: Tensor) -> bool:
    """Whether ``values`` are numbers, or bytes that stand for 0..1."""
    return values.is_floating_point() or values.dtype == torch.uint8


def as_numbers(values: Tensor, out: Tensor | None = None) -> Tensor:
    """Floating-point numbers as they are, in at least float32; bytes 0..255 as 0..1, as glTF's normalised ones.

    Args:
        values: of any shape.
        out: float32 of the same shape to write them to, without a copy in between; None makes a tensor where one is
            needed.
    """
    if out is None:
        if values.dtype in (torch.float32, torch.float64):
            return values
        out = torch.empty(values.shape, dtype=torch.float32, device=values.device)
    out.copy_(values)
    return out.div_(255) if values.dtype == torch.uint8 else out
