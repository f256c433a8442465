"""Building the hierarchy in PyTorch operators: on any device, of views of any sizes and of any resolution.

A pipe of stages, each a frozen value made from those before: :class:`~..numbered.Numbered` (finest cells),
:class:`.pyramid.Pyramid` (coarser cells), :class:`.seen.Shown` (what views show of cells), its padded form
(:mod:`.padded`), and neighbourhoods (:mod:`.linked`). Levels are numbered from the finest, 0. A level of resolution R
has a coarser one of resolution R // 2. What does not depend on another level is done for all levels at once, because on
a GPU each operator costs more than its work.
"""

from __future__ import annotations

from collections.abc import Callable

from ..level import Built
from ..numbered import number_cells
from ..surface_samples import Views, collect
from .linked import link, unlinked
from .padded import pad_levels
from .pyramid import Pyramid
from .seen import see

__all__ = ["build"]


def build(views: Views, levels: int, resolution: int, split_sides: bool, on_progress: Callable[[float], None]) -> Built:
    """As :func:`rasterizer.hierarchy.construct.build`, on the views' device."""
    samples = collect(views)
    finest = number_cells(samples, resolution, split_sides)
    pyramid = Pyramid.over(finest, levels)
    on_progress(0.3)
    if not len(samples.positions):
        return Built.of(finest, unlinked(pyramid))
    shown = see(pyramid)
    on_progress(0.4)
    padded = pad_levels(pyramid, shown)
    on_progress(0.5)
    return Built.of(finest, link(pyramid, padded, lambda share: on_progress(0.5 + 0.5 * share)))
