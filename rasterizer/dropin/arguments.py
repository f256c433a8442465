"""What callers of the compiled modules pass, made into what this library takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_float(values: Any) -> Tensor:
    """A floating-point tensor of anything that can be one; floating-point tensors as they are."""
    values = torch.as_tensor(values)
    return values if values.is_floating_point() else values.to(torch.float32)


def as_index(values: Any, device: torch.device) -> Tensor:
    """An integer tensor of anything that can be one; whole numbers kept as floats too."""
    values = torch.as_tensor(values, device=None if isinstance(values, Tensor) else device)
    return values.to(torch.int64) if values.is_floating_point() else values
