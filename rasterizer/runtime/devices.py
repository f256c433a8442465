"""Device policy: what each kind of device can and cannot do, decided in one place.

ROCm presents itself as ``cuda`` in PyTorch and is told apart by ``torch.version.hip``. DirectML stops at PyTorch 2.4
and returns wrong results for some operators, so work meant for it runs on the CPU, with a message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from .host_memory import free_host_memory

log = logging.getLogger("torch_rasterizer")


@dataclass(frozen=True)
class DevicePolicy:
    """What the eager path may use on a device.

    Attributes:
        float64: float64 tensors exist (not on MPS, not on Intel Arc).
        int64_min: ``scatter_reduce(amin)`` works on int64. Otherwise the z-buffer is two int32 passes.
        pad_shapes: round the size of chunks up to powers of two, for devices that compile a graph per shape.
        box_sizes: sides of the box classes in which small triangles are evaluated, ascending.
        square_boxes: only square classes: fewer launches for more pixels, which pays where launches are dear.
        by_column: look quantities up and work on them one by one, not in stacks: on a CPU contiguous arithmetic in its
            cache outweighs the extra operators.
        spans: cut large boxes into runs of one row instead of square tiles, which waits for the device often.
        views_together: one z-buffer for all views of a call, to save launches.
        chunk: most pixels evaluated at once; on a CPU it follows the cache, elsewhere the launch cost.
        batch: most triangles set up at once, likewise.
    """

    float64: bool
    int64_min: bool
    pad_shapes: bool
    box_sizes: tuple[int, ...]
    square_boxes: bool
    by_column: bool
    spans: bool
    views_together: bool
    chunk: int
    batch: int


_CPU = DevicePolicy(
    True, True, False, (2, 3, 4, 6, 8, 12, 16, 24, 32), False, True, True, False, chunk=1 << 15, batch=1 << 17
)
_GPU = DevicePolicy(True, True, False, (2, 4, 8, 16), True, False, False, True, chunk=1 << 24, batch=1 << 22)

PORTABLE = DevicePolicy(False, False, True, (2, 4, 8, 16), True, False, False, False, chunk=1 << 23, batch=1 << 20)
"""The least any supported device offers: what MPS has, and Intel GPUs without float64."""

_forced: DevicePolicy | None = None


def device_policy(device: torch.device) -> DevicePolicy:
    """The policy of a device; CUDA and ROCm share one."""
    if _forced is not None:
        return _forced
    if device.type == "cpu":
        return _CPU
    if device.type == "cuda":
        return _GPU
    if device.type == "xpu":
        has_fp64 = bool(torch.xpu.get_device_capability(device).get("has_fp64", False))
        return replace(_GPU, float64=has_fp64)
    return PORTABLE


@contextmanager
def force_policy(policy: DevicePolicy) -> Iterator[None]:
    """Use ``policy`` on every device within the block; lets a test run the portable path on a CPU."""
    global _forced
    before, _forced = _forced, policy
    try:
        yield
    finally:
        _forced = before


def working_device(device: torch.device) -> torch.device:
    """The device to compute on for tensors that live on ``device``."""
    kind = device.type
    if kind == "privateuseone":
        _say_once(
            "DirectML is not supported (torch-directml stops at PyTorch 2.4 and some operators return nothing): "
            "rasterizing on the CPU. On an AMD card, PyTorch for ROCm is the cure."
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
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if device.type == "xpu":
        total = torch.xpu.get_device_properties(device).total_memory
        return total - torch.xpu.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return free_host_memory()


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        log.warning(text)
