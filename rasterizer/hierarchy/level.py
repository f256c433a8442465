"""A hierarchy as it is built, whichever way: its levels, and what only the finest has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from .cells import centres
from .numbered import Numbered


@dataclass(frozen=True)
class Level:
    """One level of N cells, padded ones last.

    Attributes:
        resolution: cells along a side of the cube.
        cells: ``[N, 3]`` int64 coordinates.
        corners: ``[2, N]`` integer flags, even and odd.
        neighbors: ``[N, 9]`` int64, -1 where there is none.
        downsample: ``[N]`` int64 cells of the coarser level; None on the coarsest.
    """

    resolution: int
    cells: Tensor
    corners: Tensor
    neighbors: Tensor
    downsample: Tensor | None

    def to(self, device: torch.device) -> Level:
        """The same on another device."""
        return replace(
            self,
            cells=self.cells.to(device),
            corners=self.corners.to(device),
            neighbors=self.neighbors.to(device),
            downsample=None if self.downsample is None else self.downsample.to(device),
        )


@dataclass(frozen=True)
class Built:
    """Levels, finest first, and the N cells of the finest.

    Attributes:
        levels: finest first.
        positions: ``[N, 3]`` float32, the first sample of each cell; the middle of a padded one.
        normals: ``[N, 3]`` float32, zero for padded cells.
        original: ``[N]`` float32, 1 = seen, 0 = padded.
        feats: ``[N, C]`` float32, 0.5 for padded cells; None where the samples have none.
    """

    levels: tuple[Level, ...]
    positions: Tensor
    normals: Tensor
    original: Tensor
    feats: Tensor | None

    @property
    def downsamples(self) -> tuple[Tensor, ...]:
        """Of every level but the coarsest, ``[N]`` int64 cells of the coarser level."""
        return tuple(level.downsample for level in self.levels if level.downsample is not None)

    @classmethod
    def of(cls, finest: Numbered, levels: Sequence[Level]) -> Built:
        """From the numbered cells of the finest level, which are its first ones, and all levels."""
        samples, first, cells = finest.samples, finest.numbering.first, levels[0].cells
        padded = len(cells) - len(first)
        feats = samples.feats
        if feats is not None:
            feats = torch.cat((feats.index_select(0, first), feats.new_full((padded, feats.shape[1]), 0.5)))
        middles = centres(cells[len(first) :], finest.resolution)
        return cls(
            tuple(levels),
            torch.cat((samples.positions.index_select(0, first), middles)),
            torch.cat((finest.normals, finest.normals.new_zeros((padded, 3)))),
            pad(torch.ones_like(finest.normals[:, 0]), (0, padded)),
            feats,
        )

    def to(self, device: torch.device) -> Built:
        """The same on another device."""
        if self.positions.device == device:
            return self
        return Built(
            tuple(level.to(device) for level in self.levels),
            self.positions.to(device),
            self.normals.to(device),
            self.original.to(device),
            None if self.feats is None else self.feats.to(device),
        )
