"""Z-buffers merged by integer minimum, so that the order of fragments never matters.

A fragment is ``(pixel, depth step, face)``; the smallest ``(step, face)`` of a pixel stays. Fragments that are not to
be drawn are given the value of an empty pixel instead of being sorted out: a product costs far less than a selection.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...device import DevicePolicy

_EMPTY = 2**31 - 1
"""Steps are stored less this, and faces by :class:`TwoPassZBuffer` too: what is drawn is negative, an empty pixel 0."""


class PackedZBuffer:
    """One int64 word per pixel: depth step above face index."""

    def __init__(self, pixels: int, device: torch.device) -> None:
        self.words = torch.zeros(pixels, dtype=torch.int64, device=device)

    def merge(self, pixel: Tensor, step: Tensor, face: Tensor, drawn: Tensor) -> None:
        """Merge fragments; ``pixel`` int64, ``step`` int32, ``drawn`` int32 0 or 1 of one shape, ``face`` int64
        broadcasts. ``step`` is overwritten."""
        word = torch.add(face, step.sub_(_EMPTY).mul_(drawn).to(torch.int64), alpha=1 << 32)
        self.words.scatter_reduce_(0, pixel.view(-1), word.view(-1), "amin")

    def findices(self, start: int, stop: int) -> Tensor:
        """1-based int32 face indices of the pixels ``start`` to ``stop``, 0 where empty."""
        word = self.words[start:stop]
        return ((word + 1) & (word >> 63)).to(torch.int32)


class TwoPassZBuffer:
    """Two int32 words per pixel, for devices without an int64 minimum: first the nearest step, then its lowest face."""

    def __init__(self, pixels: int, device: torch.device) -> None:
        self.steps = torch.zeros(pixels, dtype=torch.int32, device=device)
        self.faces = torch.zeros(pixels, dtype=torch.int32, device=device)

    def merge(self, pixel: Tensor, step: Tensor, face: Tensor, drawn: Tensor) -> None:
        """As :meth:`PackedZBuffer.merge`."""
        pixel, before = pixel.view(-1), self.steps.clone()
        step = step.sub_(_EMPTY).mul_(drawn).view(-1)
        self.steps.scatter_reduce_(0, pixel, step, "amin")
        self.faces *= (self.steps == before).to(torch.int32)  # a nearer step makes the face found so far void
        nearest = (self.steps.gather(0, pixel) == step).to(torch.int32)
        face = ((face.to(torch.int32) - _EMPTY) * drawn).view(-1) * nearest
        self.faces.scatter_reduce_(0, pixel, face, "amin")

    def findices(self, start: int, stop: int) -> Tensor:
        """As :meth:`PackedZBuffer.findices`."""
        face = self.faces[start:stop]
        return (face + _EMPTY + 1) * (face < 0)


def make_zbuffer(pixels: int, device: torch.device, policy: DevicePolicy) -> PackedZBuffer | TwoPassZBuffer:
    """The z-buffer a device can keep."""
    return (PackedZBuffer if policy.int64_min else TwoPassZBuffer)(pixels, device)
