"""Which implementation does a step, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...backends import diff_operations, registry
from ...runtime.devices import elsewhere, working_device
from ...runtime.memory import is_out_of_memory, release_memory
from ...runtime.wishes import environment

Step = Callable[..., Any]

_ADDS_IN_ANY_ORDER = frozenset(
    ("rasterize_backward", "interpolate_backward", "texture_backward", "mipmapped_backward", "antialias_backward")
)
"""Steps of which the kernels add floating-point numbers in an order that differs from call to call."""

_chosen: dict[tuple[str, torch.device], tuple[tuple[str, bool, int], Step]] = {}
"""By name and device, what the choice was made under and what it is: asking the registry takes longer than a launch."""


def step(name: str, device: torch.device) -> Step:
    """The function that does a step, a key of :data:`~rasterizer.backends.diff_operations.ROWS`, for tensors on
    ``device``. Where PyTorch is asked for deterministic algorithms, the result is the same bit for bit each time."""
    repeatable = name in _ADDS_IN_ANY_ORDER and torch.are_deterministic_algorithms_enabled()
    state = environment(), repeatable, registry.failures()
    known = _chosen.get((name, device))
    if known is not None and known[0] == state:
        return known[1]
    return _choose(name, device, repeatable)


def step_back(name: str, device: torch.device) -> Step:
    """:func:`step` for a gradient; does not read the environment again, which takes a while: what its forward step has
    been done by is good for it."""
    repeatable = name in _ADDS_IN_ANY_ORDER and torch.are_deterministic_algorithms_enabled()
    known = _chosen.get((name, device))
    if known is not None and known[0][1:] == (repeatable, registry.failures()):
        return known[1]
    return _choose(name, device, repeatable)


def _choose(name: str, device: torch.device, repeatable: bool) -> Step:
    place = working_device(device)
    key = f"diff.{name}"
    function = diff_operations.ROWS[key]["torch"].function if repeatable else registry.usual(key, place)
    function = _patient(function if place == device else elsewhere(function, place, device), place)
    _chosen[name, device] = (environment(), repeatable, registry.failures()), function
    return function


def _patient(function: Step, device: torch.device) -> Step:
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
