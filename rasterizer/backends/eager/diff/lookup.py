"""The triangles that pixels show, looked up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .values import Corner


class Shown:
    """Corners of the triangles of a mesh at pixels of its images."""

    def __init__(self, pos: Tensor, tri: Tensor, float64: bool) -> None:
        """``pos [B, V, 4]``, or ``[V, 4]`` for all images; ``tri [T, 3]``; and whether the device has float64."""
        self.vertices, self.triangles = pos.shape[-2], len(tri)
        self.own = pos.ndim == 3
        self._columns = [column.contiguous() for column in pos.reshape(-1, 4).unbind(1)]
        self._corners = [corner.contiguous() for corner in tri.unbind(1)]
        self._dtype = torch.float64 if float64 else torch.float32

    def vertices_of(self, ids: Tensor, view: Tensor | int) -> list[Tensor]:
        """Rows of ``pos``, all images counted through, of vertices 0, 1 and 2.

        Args:
            ids: ``[P]`` integers; what names no triangle is taken to the nearest, as are its vertices.
            view: images that broadcast with it.
        """
        triangle = (ids - 1).clamp_(0, self.triangles - 1)
        offset = view * self.vertices if self.own else 0
        return [
            corner.index_select(0, triangle).clamp_(0, self.vertices - 1).to(torch.int64).add_(offset)
            for corner in self._corners
        ]

    def corners(self, vertices: Sequence[Tensor]) -> list[Corner]:
        """Clip coordinates of those vertices, in the dtype to work in."""
        return [
            Corner(*(column.index_select(0, vertex).to(self._dtype) for column in self._columns)) for vertex in vertices
        ]

    def places(self, pixel: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Twice the distance of pixels from the middle, by column and by row, in the dtype to work in, and their image.

        Args:
            pixel: ``[P]`` int64, counted through all images.
            size: of the images.
        """
        height, width = size
        line = torch.div(pixel, width, rounding_mode="floor")
        view = torch.div(line, height, rounding_mode="floor")
        column, row = (pixel - line * width) * 2 + (1 - width), (line - view * height) * 2 + (1 - height)
        return column.to(self._dtype), row.to(self._dtype), view
