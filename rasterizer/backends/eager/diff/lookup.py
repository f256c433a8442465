"""The triangles that pixels show, looked up."""

from __future__ import annotations

import torch
from torch import Tensor

from .values import Corners


class Shown:
    """Corners of the triangles of a mesh at pixels of its images.

    Attributes:
        vertices: ``V``.
        triangles: ``T``.
        own: every image has vertices of its own.
    """

    def __init__(self, pos: Tensor, tri: Tensor, float64: bool) -> None:
        """``pos [B, V, 4]``, or ``[V, 4]`` for all images; ``tri [T, 3]``; and whether the device has float64."""
        self.vertices, self.triangles, self.own = pos.shape[-2], len(tri), pos.ndim == 3
        self._columns = [column.contiguous() for column in pos.reshape(-1, 4).unbind(1)]
        self._corners = [corner.contiguous() for corner in tri.unbind(1)]
        self._dtype = torch.float64 if float64 else torch.float32

    def vertices_of(self, ids: Tensor, view: Tensor | int) -> Tensor:
        """Rows of ``pos``, all images counted through, of vertices 0, 1 and 2: ``[3, P]`` int64.

        Args:
            ids: ``[P]`` integers; what names no triangle is taken to the nearest, as are its vertices.
            view: images that broadcast with it.
        """
        triangle = (ids - 1).clamp_(0, self.triangles - 1)
        corners = torch.stack([corner.index_select(0, triangle) for corner in self._corners])
        corners = corners.clamp_(0, self.vertices - 1).to(torch.int64)
        return corners.add_(view * self.vertices) if self.own else corners

    def corners(self, vertices: Tensor) -> Corners:
        """Clip coordinates of those vertices, in the dtype to work in."""
        flat = vertices.view(-1)
        x, y, z, w = (column.index_select(0, flat).view(vertices.shape).to(self._dtype) for column in self._columns)
        return Corners(x, y, z, w)

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
