"""Z-buffers merged by integer minimum, so that the order of fragments never matters.

A fragment is ``(pixel, depth step, face)``; the smallest ``(step, face)`` of a pixel stays. Steps come as the bits of
whole float32 numbers less than or equal to 0, ``-step``. Read as int32, those of smaller steps are smaller::

    31 30        23 22                    0
    +-+------------+-----------------------+
    |1|  exponent  |       fraction        |      0x80000000  -0.0, step 0: the smallest integer there is
    +-+------------+-----------------------+      0xbf800000  -1.0, step 1
     sign                                         0xcf000000  -2**31: the first step too deep to be drawn

That last number stands for an empty pixel. So whatever is as deep, infinite or NaN never stays. Nor does a fragment
that is not to be drawn: its bits are made 0 by a product, or infinite or NaN by a division by 0, which costs far less
than a selection.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from ...contract.rule import DEPTH_STEPS, MAX_DEPTH
from ...runtime.policy import DevicePolicy

EMPTY = int(torch.tensor(-MAX_DEPTH * DEPTH_STEPS, dtype=torch.float32).view(torch.int32))

_LOW = int(sys.byteorder == "big")  # which half of a word holds the face


class PackedZBuffer:
    """One int64 word per pixel, of which one minimum takes the nearer step, and of equal steps the lower face::

    63                             32 31                             0
    +--------------------------------+--------------------------------+
    |    step, as bits of -step      |  face, 1-based; 0: no fragment |
    +--------------------------------+--------------------------------+
    """

    def __init__(self, pixels: int, device: torch.device, empty: int = EMPTY) -> None:
        """``empty``: the step of a pixel that shows nothing, which no fragment below it has."""
        self.words = torch.full((pixels,), empty << 32, dtype=torch.int64, device=device)

    def merge(self, pixel: Tensor, step: Tensor, face: Tensor) -> None:
        """Merge fragments; ``pixel`` int64, ``step`` int32 bits of one shape, ``face`` int64, 1-based, broadcasts."""
        word = torch.add(face, step, alpha=1 << 32)
        self.words.scatter_reduce_(0, pixel.view(-1), word.view(-1), "amin")

    def findices(self, start: int, stop: int) -> Tensor:
        """1-based int32 face indices of the pixels ``start`` to ``stop``, 0 where empty; may be a view."""
        return self.words[start:stop].view(torch.int32)[_LOW::2]

    def steps_of(self, start: int, stop: int) -> Tensor:
        """Int32 steps of the pixels ``start`` to ``stop``; may be a view."""
        return self.words[start:stop].view(torch.int32)[1 - _LOW :: 2]


class TwoPassZBuffer:
    """Two int32 words per pixel, for devices without an int64 minimum: first the nearest step, then its lowest face::

    31                              0      31 30                            0
    +--------------------------------+     +-+-------------------------------+
    |    step, as bits of -step      |     |1|  face, 1-based                |     or 0 for none, which any face
    +--------------------------------+     +-+-------------------------------+     is below
     steps                                  faces
    """

    def __init__(self, pixels: int, device: torch.device, empty: int = EMPTY) -> None:
        """``empty``: see :class:`PackedZBuffer`."""
        self.steps = torch.full((pixels,), empty, dtype=torch.int32, device=device)
        self._empty = empty
        self.faces = torch.zeros(pixels, dtype=torch.int32, device=device)

    def merge(self, pixel: Tensor, step: Tensor, face: Tensor) -> None:
        """As :meth:`PackedZBuffer.merge`."""
        pixel, before = pixel.view(-1), self.steps.clone()
        self.steps.scatter_reduce_(0, pixel, step.view(-1), "amin")
        self.faces *= self.steps == before  # a nearer step makes the face found so far void
        nearest = self.steps.gather(0, pixel).view(step.shape) == step
        face = (face - (1 << 31)).to(torch.int32) * nearest
        self.faces.scatter_reduce_(0, pixel, face.view(-1), "amin")

    def findices(self, start: int, stop: int) -> Tensor:
        """As :meth:`PackedZBuffer.findices`."""
        return (self.faces[start:stop] & (2**31 - 1)) * (self.steps[start:stop] < self._empty)

    def steps_of(self, start: int, stop: int) -> Tensor:
        """As :meth:`PackedZBuffer.steps_of`."""
        return self.steps[start:stop]


def make_zbuffer(
    pixels: int, device: torch.device, policy: DevicePolicy, empty: int = EMPTY
) -> PackedZBuffer | TwoPassZBuffer:
    """The z-buffer a device can keep. ``empty``: see :class:`PackedZBuffer`."""
    return (PackedZBuffer if policy.int64_min else TwoPassZBuffer)(pixels, device, empty)
