"""What callers of the compiled modules pass, made into what this library takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..validation import as_tensor


def as_float(values: Any, name: str) -> Tensor:
    """A floating-point tensor of anything that can be one; floating-point tensors as they are."""
    values = as_tensor(values, name)
    return values if values.is_floating_point() else values.to(torch.float32)


def as_index(values: Any, device: torch.device, name: str) -> Tensor:
    """An integer tensor of anything that can be one; whole numbers kept as floats too."""
    values = values if isinstance(values, Tensor) else as_tensor(values, name).to(device)
    return values.to(torch.int64) if values.is_floating_point() else values
