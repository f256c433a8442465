"""The devices of this machine that workers can have."""

from __future__ import annotations

import torch


def devices(named: str | None) -> list[str]:
    """The devices to have workers on: all of the best kind there is, of the kind named, or the one named.

    Raises:
        ValueError: there is none.
    """
    counts = {"cuda": torch.cuda.device_count(), "xpu": torch.xpu.device_count() if hasattr(torch, "xpu") else 0}
    if named is None:
        kinds = [*(kind for kind, count in counts.items() if count), *_mps(), "cpu"]
        named = kinds[0]
    try:
        device = torch.device(named)
    except RuntimeError:
        device = None
    there = {**counts, "cpu": 1, "mps": len(_mps())}.get(device.type, 0) if device is not None else 0
    if device is None or (device.index or 0) >= there:
        raise ValueError(f"--device: {named!r} cannot be used: PyTorch has no such device here")
    return [f"{named}:{number}" for number in range(counts[named])] if named in counts else [named]


def _mps() -> list[str]:
    return ["mps"] if torch.backends.mps.is_available() else []
