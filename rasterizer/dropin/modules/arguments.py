"""What callers of the compiled modules pass, made into what this library takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...contract.checks import as_tensor


def as_float(values: Any, name: str) -> Tensor:
    """A floating-point tensor of anything that can be one; floating-point tensors as they are."""
    values = as_tensor(values, name)
    return values if values.is_floating_point() else values.to(torch.float32)


def as_index(values: Any, device: torch.device, name: str) -> Tensor:
    """An integer tensor ``[M, 3]`` of anything that can be one; whole numbers kept as floats too."""
    tensor = as_tensor(values, name)
    tensor = tensor if isinstance(values, Tensor) else tensor.to(device)
    tensor = tensor.to(torch.int64) if tensor.is_floating_point() else tensor
    return tensor.view(0, 3) if tensor.shape == (0,) else tensor  # an empty list of faces
