"""Where on the surface each texel of a texture lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..meshes.mesh import Mesh
from ..rendering.face_ids import FaceIds
from ..rendering.raster import Raster
from ..runtime.policy import device_policy
from ..runtime.threads import on_own_threads, share_rows

_WEIGHED = 8  # times a device's chunk, or fewer, are as many texels as are given barycentrics at once
_MOST_WEIGHED = 1 << 22


@dataclass(frozen=True)
class Layout:
    """The UV layout over a texture, as faces alone: 4 bytes a texel, and what else is to be known only for some texels
    at a time.

    Attributes:
        size: ``(height, width)`` of the texture.
        ids: the layout as one view.
    """

    size: tuple[int, int]
    ids: FaceIds

    @classmethod
    def of(cls, mesh: Mesh, size: tuple[int, int], on_progress: Callable[[float], None] | None = None) -> Layout:
        """Rasterize the UV layout at ``(height, width)``; where faces overlap there, the first one wins."""
        return cls(size, FaceIds.of_layout(mesh, size, on_progress).prepare())

    @property
    def mesh(self) -> Mesh:
        """Whose layout it is."""
        return self.ids.mesh

    @property
    def findices(self) -> Tensor:
        """``[H, W]`` int32, 1-based, 0 where the layout covers nothing."""
        return self.ids.findices[0]

    def weights(self, start: int, stop: int) -> Tensor:
        """``[n, 3]`` barycentrics of the texels from ``start`` to before ``stop``, row by row."""
        return self.ids.weights(start, stop)

    def between(self, start: int, stop: int) -> Texels:
        """Those of the texels from ``start`` to before ``stop``, row by row, that the layout covers."""
        found = self.findices.view(-1)[start:stop]
        place = found.nonzero().squeeze(1)
        weights = self.weights(start, stop).index_select(0, place)
        face = found.index_select(0, place).long().sub_(1)
        return Texels(self.size, place.add_(start), face, weights, self.mesh)

    def bounds(self, count: int) -> list[int]:
        """Where to cut the texels, row by row, so that the layout covers ``count`` in each piece but the last."""
        height, width = self.size
        if height * width <= count:
            return [0, height * width]
        reached = torch.count_nonzero(self.findices, dim=1).cumsum(0)
        wanted = torch.arange(count, max(int(reached[-1]), count), count, device=reached.device)
        rows = torch.searchsorted(reached, wanted, right=True)
        before = wanted - torch.where(rows > 0, reached[(rows - 1).clamp_(min=0)], 0)
        cuts = [0]
        for row, skipped in zip(rows.tolist(), before.tolist(), strict=True):
            cuts.append(row * width + int(self.findices[row].nonzero()[skipped]))
        return [*cuts, height * width]

    def some(self, step: int) -> Texels:
        """Those in every so many-th row and column."""
        width, parts = self.size[1], []
        for start, stop in pairwise(self.bounds(_at_once(self.findices.device))):
            texels = self.between(start, stop)
            chosen = (texels.index // width % step == 0) & (texels.index % width % step == 0)
            parts.append(texels[chosen.nonzero().squeeze(1)])
        index, face, weights = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("index", "face", "weights")
        )
        return Texels(self.size, index, face, weights, self.mesh)

    @on_own_threads
    def all(self) -> Texels:
        """All of them."""
        flat, count = self.findices.view(-1), _at_once(self.findices.device)
        index = flat.nonzero().squeeze(1)
        face = flat.index_select(0, index).long().sub_(1)
        weights = torch.empty((len(index), 3), dtype=torch.float32, device=index.device)
        cuts = [0, len(flat)] if len(index) <= count else [0, *index[count::count].tolist(), len(flat)]

        def weigh(part: slice) -> None:
            for number in range(part.start, part.stop):
                some = slice(number * count, (number + 1) * count)
                found = self.weights(*cuts[number : number + 2])
                weights[some] = found.index_select(0, index[some] - cuts[number])

        share_rows(weigh, len(cuts) - 1, index.device, weight=count, chunk=1)
        return Texels(self.size, index, face, weights, self.mesh)


def _at_once(device: torch.device) -> int:
    return min(device_policy(device).chunk * _WEIGHED, _MOST_WEIGHED)


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
        """Of the UV layout at ``(height, width)``; where faces overlap there, the first one wins."""
        return Layout.of(mesh, size, on_progress).all()

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
