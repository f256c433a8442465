"""The ways to rasterize: what each is, whether it works here, and if not, why.

A backend renders ``pos [B, N, 4]`` float32 with ``tri [M, 3]`` (both validated, on one device) into
``(findices [B, H, W] int32, barycentric [B, H, W, 3] float32, RasterInfo)``, without B where ``pos`` has none. A later
one, for instance in Metal, takes its place by one more :class:`Backend` in :data:`BACKENDS`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..runtime.devices import device_name
from ..runtime.presence import installed
from .eager import rasterize as eager
from .eager.interpolate import interpolate
from .interface import Rasterize
from .kernels import rasterize as kernels
from .others import custom_rasterizer as native
from .others import nvdiffrast

log = logging.getLogger("torch_rasterizer")

Interpolation = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]

ENVIRONMENT = "TORCH_RASTERIZER_BACKEND"
"""``NAME`` makes ``auto`` mean that backend; ``-NAME`` forbids one. Several are separated by commas."""


@dataclass(frozen=True)
class Backend:
    """One way to rasterize.

    Attributes:
        name: as users ask for it.
        priority: ``auto`` takes the highest that works; below 0 a backend is used only when asked for.
        reason_against: why it does not work on a device, or an empty string.
        rasterize: the implementation.
        note: one line for people.
        module: the third-party module it needs, if any.
        interpolate: ``(col [1 or B, N, C], findices [B, H, W], barycentric [B, H, W, 3], tri [M, 3], budget)`` to
            ``[B, H, W, C]``, all checked and on one device, where nothing needs a gradient, with ``budget`` bytes of
            working memory or 0 for what it likes; None: PyTorch operators.
    """

    name: str
    priority: int
    reason_against: Callable[[torch.device], str]
    rasterize: Rasterize
    note: str
    module: str = ""
    interpolate: Interpolation | None = None


# In order of priority.
BACKENDS: tuple[Backend, ...] = (
    Backend(
        "kernels",
        10,
        kernels.reason_against,
        kernels.rasterize,
        "GPU kernels compiled at run time, exact",
        interpolate=kernels.interpolate,
    ),
    Backend("torch", 0, lambda device: "", eager.rasterize, "PyTorch operators, any device, exact"),
    Backend(
        "custom_rasterizer", -1, native.reason_against, native.rasterize, "Hunyuan3D's compiled module", native.MODULE
    ),
    Backend(
        "nvdiffrast", -2, nvdiffrast.reason_against, nvdiffrast.rasterize, "other edge rule: not exact", "nvdiffrast"
    ),
)


def backend_names() -> tuple[str, ...]:
    """Names of all backends, in order of priority."""
    return tuple(backend.name for backend in BACKENDS)


@dataclass(frozen=True)
class BackendStatus:
    """One row of the report: a backend, whether it can be used on a device, whether ``auto`` takes it, and why not."""

    name: str
    priority: int
    available: bool
    active: bool
    reason: str
    note: str


def backend_statuses(device: torch.device) -> list[BackendStatus]:
    """What :func:`select` knows about every backend on ``device``."""
    forced, forbidden = _environment()
    reasons = {backend.name: _reason(backend, device, forbidden) for backend in BACKENDS}
    active = forced or _best(device, forbidden)
    rows = []
    for backend in BACKENDS:
        reason = reasons[backend.name]
        if not reason and backend.name != active:
            reason = _idle(backend, active)
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


def select(name: str, device: torch.device) -> Backend:
    """The backend to use for a request on ``device``.

    Raises:
        ValueError: unknown name, or the backend asked for does not work here; the text says why.
    """
    text = os.environ.get(ENVIRONMENT, "")
    try:
        chosen = _selected.get((name, device, text))
    except TypeError:  # it has no hash, such as a list
        raise _no_backend(name, "backend") from None
    if chosen is not None and not chosen.reason_against(device):
        return chosen
    forced, forbidden = _wishes(text)
    source = ""
    if name == "auto":
        name = forced or _best(device, forbidden)
        source = f" (asked for by {ENVIRONMENT})" if forced else ""
    backend = _by_name(name, "backend")
    reason = _reason(backend, device, forbidden)
    if reason:
        others = [other.name for other in BACKENDS if not _reason(other, device, forbidden)]
        advice = f"what works here: {', '.join(others)}" if others else "no backend is left"
        raise ValueError(f"backend: {name!r}{source} cannot be used on {device}: {reason}; {advice}")
    _announce_once(backend.name, device)
    _selected[name, device, text] = backend
    return backend


_selected: dict[tuple[str, torch.device, str], Backend] = {}  # a request costs microseconds the second time


def interpolation(device: torch.device) -> Interpolation:
    """The way to interpolate that comes with what ``auto`` means on ``device``."""
    text = os.environ.get(ENVIRONMENT, "")
    chosen = _selected.get(("auto", device, text))
    if chosen is None:
        forced, forbidden = _wishes(text)
        chosen = _by_name(forced or _best(device, forbidden), ENVIRONMENT)
    return chosen.interpolate or interpolate


def _best(device: torch.device, forbidden: set[str]) -> str:
    """What ``auto`` means; asks no backend that comes after the first that works."""
    for backend in BACKENDS:
        if backend.priority >= 0 and not _reason(backend, device, forbidden):
            return backend.name
    return "torch"


def _idle(backend: Backend, active: str) -> str:
    """Why a backend that works is not the one in use."""
    return "used only when asked for" if backend.priority < 0 else f"{active} is used instead"


def _reason(backend: Backend, device: torch.device, forbidden: set[str]) -> str:
    if backend.name in forbidden:
        return f"forbidden by {ENVIRONMENT}={os.environ[ENVIRONMENT]}"
    return backend.reason_against(device)


def _by_name(name: str, source: str) -> Backend:
    for backend in BACKENDS:
        if backend.name == name:
            return backend
    raise _no_backend(name, source)


def _no_backend(name: object, source: str) -> ValueError:
    return ValueError(f"{source}: {name!r} is no backend, expected one of auto, {', '.join(backend_names())}")


def kernels_allowed() -> bool:
    """Whether the environment leaves ``auto`` free to use GPU kernels, also for what is no rasterizing."""
    forced, forbidden = _environment()
    return forced in ("", "kernels") and "kernels" not in forbidden


def _environment() -> tuple[str, set[str]]:
    return _wishes(os.environ.get(ENVIRONMENT, ""))


@lru_cache(maxsize=8)
def _wishes(text: str) -> tuple[str, set[str]]:
    """The backend that is forced, if any, and those forbidden."""
    forced, forbidden = "", set()
    for word in text.replace(" ", "").split(","):
        if word.startswith("-"):
            forbidden.add(_by_name(word[1:], f"environment variable {ENVIRONMENT}").name)
        elif word and word != "auto":
            forced = _by_name(word, f"environment variable {ENVIRONMENT}").name
    return forced, forbidden


_announced: set[torch.device] = set()


def _announce_once(active: str, device: torch.device) -> None:
    """One log line per device: the backend in use, and why not the others. Imports nobody's module for it."""
    if device in _announced:
        return
    _announced.add(device)
    _, forbidden = _environment()
    others = []
    for backend in BACKENDS:
        if backend.name == active:
            continue
        if backend.module and backend.name not in forbidden:
            reason = _idle(backend, active) if installed(backend.module) else "not installed"
        else:
            reason = _reason(backend, device, forbidden) or _idle(backend, active)
        others.append(f"{backend.name}: {reason}")
    name = device_name(device)
    log.info("Torch Rasterizer: backend '%s' on %s (%s). Not in use: %s", active, device, name, "; ".join(others))
