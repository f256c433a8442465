"""What a texture should be: a known colour at the texels of a UV layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from ..meshes.mesh import Mesh
from ..texturing import Texels, spread
from .fields import normalized
from .seams import seam_difference, seam_sides
from .sides import Sides, psnr

_PARTS = 4  # of a texel's side, over which the exact colour is averaged


@dataclass(frozen=True)
class Layout:
    """A UV layout as a texture's texels see it.

    Attributes:
        mesh: whose layout.
        positions: ``[H, W, 3]``, where on the normalised mesh they lie.
        covered: ``[H, W]`` bool, which of them the layout covers.
        sides: what is seen of it from other sides.
        seams, overlap: as in :class:`Target`.
    """

    mesh: Mesh
    positions: Tensor
    covered: Tensor
    sides: Sides
    seams: tuple[Tensor, Tensor]
    overlap: float

    @classmethod
    def of(cls, mesh: Mesh, size: int) -> Layout:
        """That of a texture of ``size x size`` texels, seen in pictures of three quarters of that."""
        texels = Texels.of(mesh, (size, size))
        covered = texels.image(torch.ones_like(texels.face, dtype=torch.bool))
        positions = texels.image(texels.interpolate(normalized(mesh)))
        return cls(mesh, positions, covered, Sides.of(mesh, size * 3 // 4), seam_sides(mesh), overlap(mesh))

    def target(self, color: Callable[[Tensor], Tensor]) -> Target:
        """What the texture should be for a colour of the normalised position."""
        exact = color(self.positions)
        seam = seam_difference(spread(exact, self.covered), self.seams)
        return Target(exact, self.covered, self.sides, self.sides.truth(color), self.seams, seam, self.overlap)

    def averaged(self, color: Callable[[Tensor], Tensor]) -> Tensor:
        """``[H, W, C]``, the mean of a colour over that part of each texel that the layout covers.

        Texels whose centre is covered and no other part is have the colour of the centre.
        """
        total = color(self.positions) * self.covered[..., None] * 1e-6
        count = self.covered[..., None] * 1e-6
        (height, width), places = self.covered.shape, normalized(self.mesh)
        shifts = [(part - (_PARTS - 1) / 2) / _PARTS for part in range(_PARTS)]
        for x, y in product(shifts, shifts):
            uvs = self.mesh.require_uvs()
            moved = replace(self.mesh, uvs=uvs + uvs.new_tensor((x / width, y / height)))
            texels = Texels.of(moved, (height, width))
            total += texels.image(color(texels.interpolate(places)))
            count += texels.image(torch.ones_like(texels.weights[:, :1]))
        return total / count.clamp(min=1e-6)


def overlap(mesh: Mesh) -> float:
    """Part of the UV layout's area, 0..1, that lies on another part of it or outside of the texture."""
    size = 2048
    a, b, c = mesh.require_uvs()[mesh.faces.long()].unbind(1)
    (bx, by), (cx, cy) = (b - a).unbind(1), (c - a).unbind(1)
    area = float((bx * cy - by * cx).abs().sum()) / 2
    return max(0.0, 1 - len(Texels.of(mesh, (size, size))) / size**2 / max(area, 1e-12))


@dataclass(frozen=True)
class Target:
    """What a texture should be: ``color [H, W, 3]`` at the texels ``covered [H, W]`` of the layout.

    ``truth`` is what its ``sides`` should show, ``seams`` are the two sides of its seams, ``seam`` and ``overlap`` what
    a :class:`.quality.Row` says about the exact texture.
    """

    color: Tensor
    covered: Tensor
    sides: Sides
    truth: Tensor
    seams: tuple[Tensor, Tensor]
    seam: float
    overlap: float

    def share(self, painted: Tensor) -> float:
        """Part of the layout that is painted."""
        return float((painted & self.covered).sum() / self.covered.sum())

    def error(self, texture: Tensor, where: Tensor) -> float:
        """PSNR over some texels of the layout."""
        where = where & self.covered
        return psnr(texture[where], self.color[where])

    def rendered(self, texture: Tensor, painted: Tensor) -> float:
        """PSNR from other sides, of what is painted."""
        return self.sides.error(texture, painted & self.covered, self.truth)
