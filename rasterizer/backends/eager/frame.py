"""What the stages of one call share."""

from __future__ import annotations

from dataclasses import dataclass

from ...contract.types import RasterOptions
from ...runtime.policy import DevicePolicy
from .fragments import Target
from .layout import Layout

LARGE_SHARE = 0.05
"""``auto`` uses tiles once this share of all candidate pixels lies in boxes above the largest class."""


@dataclass
class Frame:
    """State shared by the batches of triangles of one call.

    Attributes:
        target: receives fragments.
        options: of the call.
        policy, layout: what suits the device.
        chunk: most pixels evaluated at once.
        invalid: triangles left out so far, as not finite.
        all_pixels, large_pixels: candidate pixels so far, and those of them in boxes above the largest class.
        used_tiles, listed: whether a batch was drawn by tiles, or as a list of squares.
        batch_pixels: candidate pixels of the batch being drawn, about.
        done: share of the call that is done, 0..1.
    """

    target: Target
    options: RasterOptions
    policy: DevicePolicy
    layout: Layout
    chunk: int
    invalid: int = 0
    all_pixels: float = 0.0
    large_pixels: float = 0.0
    used_tiles: bool = False
    listed: bool = False
    batch_pixels: float = 0.0
    done: float = 0.0

    def tick(self) -> None:
        """Let the caller see, and stop, a call between two chunks."""
        self.options.on_progress(self.done)
