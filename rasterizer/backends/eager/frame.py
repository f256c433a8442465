"""What the stages of one call share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ...contract.types import RasterOptions
from ...runtime.policy import DevicePolicy
from .fragments import Target

LARGE_SHARE = 0.05
"""``auto`` uses tiles once this share of all candidate pixels lies in boxes above the largest class."""


class Drawing(Protocol):
    """How candidate pixels are drawn under a rule, into a target that it knows."""

    def draw(self, rows: Tensor | Sequence[Tensor], face: Tensor, view: Tensor | None, wide: int, high: int) -> None:
        """Evaluate ``wide x high`` pixels from each box's first one on, see :meth:`~.layout.Layout.draw`."""

    def half_planes(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """What :meth:`ends` wants to know of boxes, ``[T]`` each."""
        ...

    def ends(self, rows: Sequence[Tensor], planes: Sequence[Tensor], box: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """First and last column ``[R]`` float32 that may be covered on rows of boxes; the last is less where none may.

        Args:
            rows: of :class:`~.boxes.Boxes`, none empty.
            planes: of the same boxes.
            box: ``[R]`` int64 index of a box.
            row: ``[R]`` float32 row of the image.
        """
        ...

    def draw_runs(self, rows: Sequence[Tensor], face: Tensor, runs: Sequence[Tensor], some: Tensor, wide: int) -> None:
        """Evaluate ``wide`` pixels of each of some runs, those past its end being its last one again.

        Args:
            rows, face: of the boxes that were cut.
            runs: box, row, first and last column, see :mod:`.spans`.
            some: int64 indices of runs.
            wide: most pixels of these runs.
        """


@dataclass
class Frame:
    """State shared by the batches of triangles of one call.

    Attributes:
        target: receives fragments.
        options: of the call.
        policy: what suits the device.
        drawing: draws to the target.
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
    drawing: Drawing
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
