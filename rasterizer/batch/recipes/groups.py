"""Views that are drawn together: as many as the devices hold, however many a job has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ...runtime.devices import free_memory

_FRAGMENT = 16  # bytes of a pixel: its face, and where on it
_PART = 4  # of what is free, a quarter is taken


def groups(views: int, pixels: int, result: int, devices: Sequence[torch.device]) -> Iterator[tuple[int, slice]]:
    """Share out views over time: the number of the first view of each group, from 1, and which views are in it.

    Args:
        views: how many there are.
        pixels: of each.
        result: bytes of what is made of a pixel, all of which comes to the first device.
        devices: that each group is shared out among; a device named twice takes twice as many views.
    """
    each = pixels * (_FRAGMENT + (len(devices) + 1) * result)
    held = min(free_memory(device) // devices.count(device) for device in devices) // _PART // each
    together = max(1, held) * len(devices)
    for first in range(0, views, together):
        yield first + 1, slice(first, first + together)
