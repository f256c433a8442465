"""Devices: which one to work on, what it is called, and how much memory it has left.

ROCm presents itself as ``cuda`` in PyTorch and is told apart by ``torch.version.hip``. DirectML stops at PyTorch 2.4
and returns wrong results for some operators, so work meant for it runs on the CPU, with a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .host_memory import free_host_memory
from .log import log
from .policy import device_policy


def working_device(device: torch.device) -> torch.device:
    """The device to compute on for tensors that live on ``device``."""
    kind = device.type
    if kind == "privateuseone":
        _say_once(
            "DirectML is not supported (torch-directml stops at PyTorch 2.4 and some operators return nothing): "
            "working on the CPU, and rasterizing by the card's Vulkan driver where that is faster (see Backend Info). "
            "On an AMD card that PyTorch for ROCm knows, that is the cure."
        )
        return torch.device("cpu")
    if kind == "mps" and not torch.backends.mps.is_macos_or_newer(15, 0):
        _say_once("The Metal backend needs macOS 15 for integer minima: rasterizing on the CPU.")
        return torch.device("cpu")
    return device


def double_device(device: torch.device) -> torch.device:
    """:func:`working_device` for work that is defined in float64: the CPU where ``device`` has none."""
    return working_device(device if device_policy(device).float64 else torch.device("cpu"))


def default_device() -> torch.device:
    """The best device of this machine: CUDA or ROCm, then XPU, then MPS, then CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return torch.device("xpu", torch.xpu.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def platform_name(device: torch.device) -> str:
    """``rocm``, ``cuda``, ``mps``, ``xpu``, ``directml`` or ``cpu``."""
    if device.type == "cuda":
        return "rocm" if torch.version.hip else "cuda"
    return "directml" if device.type == "privateuseone" else device.type


def device_name(device: torch.device) -> str:
    """The name a person knows the device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xpu":
        return torch.xpu.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (Metal)"
    return f"CPU, {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)


def free_memory(device: torch.device) -> int:
    """Bytes that an allocation on ``device`` could still take, counting what PyTorch holds unused."""
    if device.type == "cuda":
        known = torch.cuda.memory_stats_as_nested_dict(device)  # asked for each figure, PyTorch lists all of them anew
        held = [known.get(name, {}).get("all", {}).get("current", 0) for name in ("reserved_bytes", "allocated_bytes")]
        return torch.cuda.mem_get_info(device)[0] + held[0] - held[1]
    if device.type == "xpu":
        total = torch.xpu.get_device_properties(device).total_memory
        return total - torch.xpu.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return free_host_memory()


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the CPU on a device, without waiting for what a GPU is at, as ``to`` does."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


_said: set[str] = set()


def elsewhere(function: Callable[..., Any], place: torch.device, home: torch.device) -> Callable[..., Any]:
    """``function``, which works on ``place``, for tensors that live on ``home``, also those in tuples and lists."""
    return lambda *args: _moved(function(*(_moved(value, place) for value in args)), home)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, (tuple, list)) and any(isinstance(each, (Tensor, tuple, list)) for each in value):
        return type(value)(_moved(each, device) for each in value)
    return value


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        log.warning(text)
