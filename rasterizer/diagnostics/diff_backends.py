"""Which implementation does each step of the differentiable primitives."""

from __future__ import annotations

import torch

from ..backends import registry
from ..backends.diff_operations import ROWS
from ..runtime.devices import working_device


def chosen_backends(device: torch.device) -> dict[str, str]:
    """By step, such as ``texture_backward``: the name of the backend that does it on ``device``."""
    place = working_device(device)
    found = {}
    for operation, known in ROWS.items():
        function = registry.usual(operation, place)
        names = (name for name, implementation in known.items() if implementation.function is function)
        found[operation.removeprefix("diff.")] = next(names)
    return found
