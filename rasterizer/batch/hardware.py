"""The devices of this machine that workers can have."""

from __future__ import annotations

import torch


def devices(named: str | None, together: int = 1) -> list[str]:
    """The devices to have workers on: all of the best kind there is, of the kind named, or the one named.

    Args:
        named: a kind, or a device; None is what is best.
        together: how many GPUs a worker has. More than one are named with commas between them; what is left over,
            too few for a worker, is not used.

    Raises:
        ValueError: there is none, or there are too few for one worker.
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
    names = [f"{named}:{number}" for number in range(counts[named])] if named in counts else [named]
    if together == 1:
        return names
    if device.type not in counts or len(names) < together:
        have = f"{len(names)} GPU{'s' * (len(names) > 1)}" if device.type in counts else "no GPU but a device"
        raise ValueError(
            f"--gpus-per-worker: is {together}, and there is {have} to have workers on ({', '.join(names)}); expected "
            "as many GPUs, or 1"
        )
    return [",".join(names[first : first + together]) for first in range(0, len(names) - together + 1, together)]


def _mps() -> list[str]:
    return ["mps"] if torch.backends.mps.is_available() else []
