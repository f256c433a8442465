"""What callers of the compiled modules pass, made into what this library takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor


def as_float(values: Any) -> Tensor:
    """A floating-point tensor of anything that can be one; floating-point tensors as they are."""
    values = torch.as_tensor(values)
    return values if values.is_floating_point() else values.to(torch.float32)


def as_index(values: Any, device: torch.device) -> Tensor:
    """An integer tensor of anything that can be one; whole numbers kept as floats too."""
    values = torch.as_tensor(values, device=None if isinstance(values, Tensor) else device)
    return values.to(torch.int64) if values.is_floating_point() else values


def as_array(values: Any, dtype: DTypeLike) -> np.ndarray:
    """A contiguous array of anything that can be one, tensors on any device included."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.ascontiguousarray(values, dtype=dtype)
