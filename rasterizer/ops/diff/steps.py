"""Which implementation does a step, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...backends import diff_operations, registry
from ...runtime.devices import working_device
from ...runtime.memory import is_out_of_memory, release_memory

_ADDS_IN_ANY_ORDER = frozenset(
    ("rasterize_backward", "interpolate_backward", "texture_backward", "mipmaps_backward", "antialias_backward")
)
"""Steps of which the kernels add floating-point numbers in an order that differs from call to call."""


def step(name: str, device: torch.device) -> Callable[..., Any]:
    """The function that does a step, a key of :data:`~rasterizer.backends.diff_operations.ROWS`, for tensors on
    ``device``. Where PyTorch is asked for deterministic algorithms, the result is the same bit for bit each time."""
    place = working_device(device)
    key = f"diff.{name}"
    if name in _ADDS_IN_ANY_ORDER and torch.are_deterministic_algorithms_enabled():
        function = diff_operations.ROWS[key]["torch"].function
    else:
        function = registry.usual(key, place)
    return _patient(function if place == device else _elsewhere(function, place, device), place)


def _patient(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """When memory runs out, once more after what is held for later calls has been given up."""

    def run(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release_memory(device)  # outside the handler, whose traceback holds on to tensors
        return function(*args)

    return run


def _elsewhere(function: Callable[..., Any], place: torch.device, home: torch.device) -> Callable[..., Any]:
    """For tensors of a device that nothing works on."""
    return lambda *args: _moved(function(*(_moved(value, place) for value in args)), home)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, (tuple, list)) and any(isinstance(each, Tensor) for each in value):
        return type(value)(_moved(each, device) for each in value)
    return value
