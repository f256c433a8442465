"""Z-buffers merged by integer minimum, so that the order of fragments never matters.

A fragment is ``(pixel, depth step, face)``; the smallest ``(step, face)`` of a pixel stays. Fragments that are not to
be drawn are given the value of an empty pixel instead of being sorted out: a product costs far less than a selection.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...device import DevicePolicy

_EMPTY64 = 2**63 - 1  # a fragment is stored as (step << 32 | face) - _EMPTY64 < 0, an empty pixel as 0
_EMPTY32 = 2**31 - 1


class PackedZBuffer:
    """One int64 word per pixel: depth step above face index."""

    def __init__(self, pixels: int, device: torch.device) -> None:
        self.words = torch.zeros(pixels, dtype=torch.int64, device=device)

    def merge(self, pixel: Tensor, step: Tensor, face: Tensor, drawn: Tensor) -> None:
        """Merge fragments; ``pixel`` int64, ``step`` int32, ``drawn`` bool of one shape, ``face`` int64 broadcasts."""
        word = step.to(torch.int64)
        word <<= 32
        word += face - _EMPTY64
        word *= drawn.to(torch.int64)
        self.words.scatter_reduce_(0, pixel.view(-1), word.view(-1), "amin")

    def findices(self, start: int, stop: int) -> Tensor:
        """1-based int32 face indices of the pixels ``start`` to ``stop``, 0 where empty."""
        word = self.words[start:stop]
        return (((word + _EMPTY64) & 0xFFFFFFFF) + 1).to(torch.int32) * (word < 0)


class TwoPassZBuffer:
    """Two int32 words per pixel, for devices without an int64 minimum: first the nearest step, then its lowest face."""

    def __init__(self, pixels: int, device: torch.device) -> None:
        self.steps = torch.zeros(pixels, dtype=torch.int32, device=device)
        self.faces = torch.zeros(pixels, dtype=torch.int32, device=device)

    def merge(self, pixel: Tensor, step: Tensor, face: Tensor, drawn: Tensor) -> None:
        """As :meth:`PackedZBuffer.merge`."""
        pixel, before = pixel.view(-1), self.steps.clone()
        drawn = drawn.to(torch.int32)
        step = ((step - _EMPTY32) * drawn).view(-1)
        self.steps.scatter_reduce_(0, pixel, step, "amin")
        self.faces *= (self.steps == before).to(torch.int32)  # a nearer step makes the face found so far void
        nearest = (self.steps.gather(0, pixel) == step).to(torch.int32)
        face = ((face.to(torch.int32) - _EMPTY32) * drawn).view(-1) * nearest
        self.faces.scatter_reduce_(0, pixel, face, "amin")

    def findices(self, start: int, stop: int) -> Tensor:
        """As :meth:`PackedZBuffer.findices`."""
        face = self.faces[start:stop]
        return (face + _EMPTY32 + 1) * (face < 0)


def make_zbuffer(pixels: int, device: torch.device, policy: DevicePolicy) -> PackedZBuffer | TwoPassZBuffer:
    """The z-buffer a device can keep."""
    return (PackedZBuffer if policy.int64_min else TwoPassZBuffer)(pixels, device)
