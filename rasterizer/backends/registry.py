"""The ways to do each operation: what they are, which of them works here, and if not, why.

An operation is a row of :data:`IMPLEMENTATIONS`. Another backend, for instance in Metal, takes its place by one more
:class:`Backend` in :data:`BACKENDS` and by its implementations of the operations that it knows. :mod:`.interface` says
what they take and give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..gpu import program
from ..runtime.devices import device_name
from ..runtime.log import log
from ..runtime.presence import absent
from ..runtime.wishes import ENVIRONMENT, environment, no_backend, wishes
from .eager import barycentrics as eager_barycentrics
from .eager import interpolate as eager_interpolate
from .eager import quantized as eager_quantized
from .eager import rasterize as eager_rasterize
from .interface import Backend, BackendStatus, Implementation
from .kernels import interpolate as kernel_interpolate
from .kernels import quantized as kernel_quantized
from .kernels import rasterize as kernel_rasterize
from .others import custom_rasterizer as native
from .others import nvdiffrast
from .vulkan import interpolate as vulkan_interpolate
from .vulkan import quantized as vulkan_quantized
from .vulkan import rasterize as vulkan_rasterize

# In order of priority.
BACKENDS: tuple[Backend, ...] = (
    Backend("kernels", 10, "GPU kernels compiled at run time, exact"),
    Backend("vulkan", 5, "compute shaders by the graphics driver, exact", asks_driver=True),
    Backend("torch", 0, "PyTorch operators, any device, exact"),
    Backend("custom_rasterizer", -1, "Hunyuan3D's compiled module", native.MODULE),
    Backend("nvdiffrast", -2, "other edge rule: not exact", "nvdiffrast"),
)


def nothing_against(device: torch.device) -> str:
    """The ``reason_against`` of what works everywhere."""
    return ""


# By operation and backend. PyTorch operators know every operation.
IMPLEMENTATIONS: dict[str, dict[str, Implementation]] = {
    "rasterize": {
        "kernels": Implementation(kernel_rasterize.rasterize, kernel_rasterize.reason_against, waits=False),
        "vulkan": Implementation(
            vulkan_rasterize.rasterize, vulkan_rasterize.reason_against, vulkan_rasterize.reason_to_pass_over
        ),
        "torch": Implementation(eager_rasterize.rasterize, nothing_against),
        "custom_rasterizer": Implementation(native.rasterize, native.reason_against),
        "nvdiffrast": Implementation(nvdiffrast.rasterize, nvdiffrast.reason_against),
    },
    "rasterize_quantized": {
        "kernels": Implementation(kernel_quantized.rasterize_quantized, kernel_quantized.reason_against),
        "vulkan": Implementation(
            vulkan_quantized.rasterize_quantized, vulkan_quantized.reason_against, vulkan_quantized.reason_to_pass_over
        ),
        "torch": Implementation(eager_quantized.rasterize_quantized, nothing_against),
    },
    "interpolate": {
        "kernels": Implementation(kernel_interpolate.interpolate, kernel_interpolate.reason_against, waits=False),
        "vulkan": Implementation(
            vulkan_interpolate.interpolate, vulkan_interpolate.reason_against, vulkan_interpolate.reason_to_pass_over
        ),
        "torch": Implementation(eager_interpolate.interpolate, nothing_against),
    },
    "barycentrics": {
        "kernels": Implementation(kernel_rasterize.barycentrics, kernel_rasterize.reason_against),
        "torch": Implementation(eager_barycentrics.barycentrics, nothing_against),
    },
}


def backend_names() -> tuple[str, ...]:
    """Names of all backends, in order of priority."""
    return tuple(backend.name for backend in BACKENDS)


def backend_statuses(device: torch.device) -> list[BackendStatus]:
    """Whether each backend can rasterize on ``device``, and whether ``auto`` means it."""
    forced, forbidden = wishes()
    reasons = {backend.name: _reason("rasterize", backend.name, device, forbidden) for backend in BACKENDS}
    active = forced or _best("rasterize", device, forbidden)
    rows = []
    for backend in BACKENDS:
        reason = reasons[backend.name]
        if not reason and backend.name != active:
            reason = _wait("rasterize", backend.name, device) or _idle(backend, active)
        rows.append(
            BackendStatus(
                name=backend.name,
                priority=backend.priority,
                available=not reasons[backend.name],
                active=backend.name == active and not reasons[backend.name],
                reason=reason,
                note=backend.note,
            )
        )
    return rows


def select(operation: str, name: str, device: torch.device) -> Callable[..., Any]:
    """The implementation of an operation for a request on ``device`` that names a backend, or ``auto``.

    Raises:
        ValueError: unknown name, or the backend asked for does not work here; the text says why.
    """
    return _chosen(operation, name, device).function


def waits(operation: str, name: str, device: torch.device) -> bool:
    """Whether what :func:`select` gives waits for the device.

    Raises:
        ValueError: as there.
    """
    return _chosen(operation, name, device).waits


def _chosen(operation: str, name: str, device: torch.device) -> Implementation:
    key = operation, name, device, environment()
    try:
        chosen = _selected.get(key)
    except TypeError:  # the name has no hash, such as a list
        raise no_backend(name, "backend") from None
    if chosen is None or chosen.reason_against(device):
        chosen = _selected[key] = IMPLEMENTATIONS[operation][selected_name(operation, name, device)]
    return chosen


def usual(operation: str, device: torch.device) -> Callable[..., Any]:
    """The implementation of an operation whose callers name no backend.

    It is that of what ``auto`` means, if that knows the operation and works on ``device``, else PyTorch operators.
    """
    key = operation, "", device, environment()
    chosen = _selected.get(key)
    if chosen is None or chosen.reason_against(device):
        forced, forbidden = wishes()
        name = forced or _best(operation, device, forbidden)
        known = IMPLEMENTATIONS[operation]
        chosen = _selected[key] = known["torch" if _reason(operation, name, device, forbidden) else name]
    return chosen.function


def failures() -> int:
    """How often a GPU program has failed in this process. What was chosen before the last time may not work now."""
    return program.failures


# By operation, name asked for, device and environment: a request costs microseconds the second time.
_selected: dict[tuple[str, str, torch.device, str], Implementation] = {}


def selected_name(operation: str, name: str, device: torch.device) -> str:
    """The backend whose implementation :func:`select` gives; says so in the log, once per device.

    Raises:
        ValueError: as there.
    """
    forced, forbidden = wishes()
    source = ""
    if not isinstance(name, str) or name not in ("auto", *backend_names()):
        raise no_backend(name, "backend")
    if name == "auto":
        name = forced or _best(operation, device, forbidden)
        source = f" (asked for by {ENVIRONMENT})" if forced else ""
    reason = _reason(operation, name, device, forbidden)
    if reason:
        others = [other for other in backend_names() if not _reason(operation, other, device, forbidden)]
        advice = f"what works here: {', '.join(others)}" if others else "no backend is left"
        raise ValueError(f"backend: {name!r}{source} cannot be used on {device}: {reason}; {advice}")
    _announce_once(name, device)
    return name


def _best(operation: str, device: torch.device, forbidden: frozenset[str]) -> str:
    """What ``auto`` means; asks no backend that comes after the first that works."""
    for backend in BACKENDS:
        if backend.priority < 0 or backend.name in forbidden or _wait(operation, backend.name, device):
            continue
        if not _reason(operation, backend.name, device, forbidden):
            return backend.name
    return "torch"


def _reason(operation: str, name: str, device: torch.device, forbidden: frozenset[str]) -> str:
    """Why a backend cannot do an operation on ``device``; empty if it can."""
    if name in forbidden:
        return f"forbidden by {ENVIRONMENT}={environment()}"
    implementation = IMPLEMENTATIONS[operation].get(name)
    if implementation is None:
        return f"has no {operation}"
    reason = _heard[name, device] = implementation.reason_against(device)
    return reason


def _wait(operation: str, name: str, device: torch.device) -> str:
    """Why ``auto`` passes a backend over that may work on ``device``; empty if it does not."""
    implementation = IMPLEMENTATIONS[operation].get(name)
    reason = _heard[name, device] = implementation.reason_to_pass_over(device) if implementation else ""
    return reason


# What each backend said last of a device.
_heard: dict[tuple[str, torch.device], str] = {}


def _idle(backend: Backend, active: str) -> str:
    """Why a backend that works is not the one in use."""
    return "used only when asked for" if backend.priority < 0 else f"{active} is used instead"


_announced: set[torch.device] = set()


def _announce_once(active: str, device: torch.device) -> None:
    """One log line per device: the backend that rasterizes, and why not the others. Imports nobody's module for it."""
    if device in _announced:
        return
    _announced.add(device)
    _, forbidden = wishes()
    others = []
    for backend in BACKENDS:
        if backend.name == active:
            continue
        if backend.module and backend.name not in forbidden:
            reason = absent(backend.module) or _idle(backend, active)
        elif backend.asks_driver and backend.name not in forbidden:
            reason = _heard.get((backend.name, device), "not asked") or _idle(backend, active)
        else:
            reason = _reason("rasterize", backend.name, device, forbidden) or _idle(backend, active)
        others.append(f"{backend.name}: {reason}")
    name = device_name(device)
    log.info("Torch Rasterizer: backend '%s' on %s (%s). Not in use: %s", active, device, name, "; ".join(others))
