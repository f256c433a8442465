"""What each kind of device can and cannot do, decided in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch


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


CPU = DevicePolicy(
    True, True, False, (2, 3, 4, 6, 8, 12, 16, 24, 32), False, True, True, False, chunk=1 << 15, batch=1 << 17
)
GPU = DevicePolicy(True, True, False, (2, 4, 8, 16), True, False, False, True, chunk=1 << 24, batch=1 << 22)

PORTABLE = DevicePolicy(False, False, True, (2, 4, 8, 16), True, False, False, False, chunk=1 << 23, batch=1 << 20)
"""The least any supported device offers: what MPS has, and Intel GPUs without float64."""

_forced: DevicePolicy | None = None


def device_policy(device: torch.device) -> DevicePolicy:
    """The policy of a device; CUDA and ROCm share one."""
    if _forced is not None:
        return _forced
    if device.type == "cpu":
        return CPU
    if device.type == "cuda":
        return GPU
    if device.type == "xpu":
        has_fp64 = bool(torch.xpu.get_device_capability(device).get("has_fp64", False))
        return replace(GPU, float64=has_fp64)
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
