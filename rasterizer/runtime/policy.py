"""What each kind of device can and cannot do, decided in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

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
        layout: "stacks" or "columns", the modules of ``rasterizer/backends/eager``: all quantities in one tensor for
            few launches, or a tensor each, where contiguous arithmetic in a CPU's cache outweighs the extra operators.
        own_threads: threads of our own share large images (:mod:`rasterizer.runtime.threads`), for CPUs.
        spans: cut large boxes into runs of one row instead of square tiles, which waits for the device often; with
            columns only.
        views_together: one z-buffer for all views of a call, to save launches.
        chunk: most pixels evaluated at once; on a CPU it follows the cache, elsewhere the launch cost.
        batch: most triangles set up at once, likewise.
    """

    float64: bool
    int64_min: bool
    pad_shapes: bool
    box_sizes: tuple[int, ...]
    square_boxes: bool
    layout: Literal["stacks", "columns"]
    own_threads: bool
    spans: bool
    views_together: bool
    chunk: int
    batch: int


CPU = DevicePolicy(
    float64=True,
    int64_min=True,
    pad_shapes=False,
    box_sizes=(2, 3, 4, 6, 8, 12, 16, 24, 32),
    square_boxes=False,
    layout="columns",
    own_threads=True,
    spans=True,
    views_together=False,
    chunk=1 << 15,
    batch=1 << 17,
)

GPU = DevicePolicy(
    float64=True,
    int64_min=True,
    pad_shapes=False,
    box_sizes=(2, 4, 8, 16),
    square_boxes=True,
    layout="stacks",
    own_threads=False,
    spans=False,
    views_together=True,
    chunk=1 << 24,
    batch=1 << 22,
)

PORTABLE = DevicePolicy(
    float64=False,
    int64_min=False,
    pad_shapes=True,
    box_sizes=(2, 4, 8, 16),
    square_boxes=True,
    layout="stacks",
    own_threads=False,
    spans=False,
    views_together=False,
    chunk=1 << 23,
    batch=1 << 20,
)
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
