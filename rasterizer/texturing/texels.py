"""Where on the surface each texel of a texture lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..meshes.mesh import Mesh
from ..rendering.raster import Raster, rasterize_mesh
from ..runtime.threads import on_own_threads, share_rows


@dataclass(frozen=True)
class Texels:
    """The texels of a texture that the UV layout covers, T of them.

    Attributes:
        size: ``(height, width)`` of the texture.
        index: ``[T]`` int64, ``row * width + column``.
        face: ``[T]`` int64, 0-based.
        weights: ``[T, 3]`` float32 barycentrics of the texel's centre.
        mesh: whose texture.
    """

    size: tuple[int, int]
    index: Tensor
    face: Tensor
    weights: Tensor
    mesh: Mesh

    @classmethod
    def of(cls, mesh: Mesh, size: tuple[int, int], on_progress: Callable[[float], None] | None = None) -> Texels:
        """Rasterize the UV layout at ``(height, width)``; where faces overlap there, the first one wins."""
        raster = rasterize_mesh(mesh, resolution=size, space="uv", on_progress=on_progress)
        return cls.among(raster, raster.findices.view(-1).nonzero().squeeze(1))

    @classmethod
    def among(cls, layout: Raster, index: Tensor) -> Texels:
        """Some texels ``[T]`` that are covered in a layout: a mesh rasterized in UV space."""
        face = layout.findices.view(-1).index_select(0, index)
        weights = layout.barycentric.view(-1, 3).index_select(0, index)
        height, width = layout.findices.shape[2:]
        return cls((height, width), index, face.long() - 1, weights, layout.mesh)

    def __len__(self) -> int:
        """How many texels there are."""
        return len(self.index)

    def __getitem__(self, part: slice | Tensor) -> Texels:
        """Some of the texels."""
        return Texels(self.size, self.index[part], self.face[part], self.weights[part], self.mesh)

    @on_own_threads
    def interpolate(self, attribute: Tensor) -> Tensor:
        """Vertex attribute ``[N, C]`` at each texel, ``[T, C]``."""
        values = attribute.new_empty((len(self), attribute.shape[1]))

        def blend(part: slice) -> None:
            corners = self.mesh.faces.index_select(0, self.face[part]).long()
            total: Tensor | float = 0.0
            for corner, weight in zip(corners.unbind(1), self.weights[part].unbind(1), strict=True):
                total = total + attribute.index_select(0, corner) * weight[:, None]
            values[part] = total

        share_rows(blend, len(self), values.device, weight=4)
        return values

    def image(self, values: Tensor) -> Tensor:
        """``[H, W, C]`` or ``[H, W]`` image of values ``[T, C]`` or ``[T]``, 0 where the layout covers nothing."""
        height, width = self.size
        flat = torch.zeros((height * width, *values.shape[1:]), dtype=values.dtype, device=values.device)
        flat[self.index] = values
        return flat.view(height, width, *values.shape[1:])
