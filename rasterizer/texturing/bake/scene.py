"""All views small and gray, to be compared pixel by pixel: what a pixel shows, seen by the other views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...cameras.camera import Camera
from ...meshes.mesh import Mesh
from ...rendering.face_ids import FaceIds
from ...rendering.raster import rasterize_mesh
from ...runtime.policy import device_policy
from ...runtime.threads import share_rows
from .flow import blur, luminance
from .pictures import prepare_pictures
from .vectors import Columns, as_columns, columns, unit
from .view import Lens, Pictures, selects

SIDE = 256
"""Pixels of a picture at most: features move smoothly."""

CHUNK = 1 << 20
"""Pixels at once at most that views are looked at for."""


@dataclass(frozen=True)
class Scene:
    """Small gray views.

    Attributes:
        pictures: of one channel.
        views: lens and weight of each.
        points, normals, face, view: of each pixel that is compared, ``[n]``: place on the surface, where it faces, the
            face, and which view the pixel belongs to.
        place: ``[n]``, where it lies among all pixels.
        gray, shown: ``[V, 1, h, w]`` luminance, and 1 where the mesh is shown, 0 elsewhere.
        limit, exponent: as for :meth:`Lens.look`.
    """

    pictures: Pictures
    views: Sequence[tuple[Lens, float]]
    points: Columns
    normals: Columns
    face: Tensor
    view: Tensor
    place: Tensor
    gray: Tensor
    shown: Tensor
    limit: float
    exponent: float

    @classmethod
    def of(
        cls,
        mesh: Mesh,
        cameras: Sequence[Camera],
        images: Tensor,
        masks: Tensor | None,
        limit: float,
        exponent: float,
    ) -> Scene:
        """Of ``[V, H, W, C]`` images, of which the first three channels are colours."""
        count, height, width, _ = images.shape
        small = _smaller(height, width)
        gray = torch.cat([_gray(image[..., :3], small) for image in images])
        if masks is not None:
            masks = torch.cat([_reduced(mask.to(gray)[None, None], small) for mask in masks])[:, 0]
        raster = rasterize_mesh(mesh, cameras, small)
        lenses = Lens.of_each(cameras, mesh, small[1], small[0], raster.frame)
        pictures = prepare_pictures(
            FaceIds.of(raster), lenses, gray.permute(0, 2, 3, 1), masks, 1, lambda share: None
        ).joined()
        there = raster.findices.reshape(-1) > 0
        place = torch.arange(len(there), device=there.device)
        if selects(there.device):
            place = there.nonzero().squeeze(1)
        points, normals = (
            columns(raster.interpolate(values).view(-1, 3).index_select(0, place))
            for values in (mesh.vertices, mesh.vertex_normals(faces=lenses[0].flat))
        )
        face = (raster.findices.reshape(-1).index_select(0, place).long() - 1).clamp(min=0)
        return cls(
            pictures=pictures,
            views=[(lens, float(camera.weight)) for lens, camera in zip(lenses, cameras, strict=True)],
            points=points,
            normals=unit(normals),
            face=face,
            view=place // (small[0] * small[1]),
            place=place,
            gray=gray,
            shown=there.view(count, 1, *small).to(gray),
            limit=limit,
            exponent=exponent,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(V, h, w)``."""
        count, _, height, width = self.gray.shape
        return count, height, width

    def others(self, moved: Tensor, report: Callable[[float], None]) -> tuple[Tensor, Tensor, Tensor]:
        """What the other views show at each pixel of each, how far they are trusted there, and the view itself.

        Args:
            moved: ``[V, 1, h, w]`` pictures to look at.
            report: takes the share done.

        Returns:
            ``[V, 1, h, w]`` each.
        """
        color = self.pictures.color.clone()
        color[:, 0] = moved.reshape(-1)
        bent = replace(self.pictures, color=color, table=None)
        found, trusts, own = (color.new_zeros(len(self.face)) for _ in range(3))

        def look(part: slice) -> None:
            points, normals = (as_columns(column[part] for column in kind) for kind in (self.points, self.normals))
            for number, (lens, weight) in enumerate(self.views):
                gray, trust, index = lens.look(points, normals, self.face[part], bent, self.limit, self.exponent)
                rows = slice(None) if index is None else index
                trust, mine = trust * weight, self.view[part][rows] == number
                own[part][rows] += torch.where(mine, trust, 0.0)
                trust = torch.where(mine, 0.0, trust)
                found[part][rows] += gray[:, 0] * trust
                trusts[part][rows] += trust

        chunk = min(device_policy(color.device).chunk, CHUNK)
        share_rows(look, len(self.face), color.device, weight=len(self.views), chunk=chunk, report=report)
        return self._image(found / trusts.clamp(min=1e-9)), self._image(trusts), self._image(own)

    def _image(self, values: Tensor) -> Tensor:
        image = torch.zeros_like(self.gray).view(-1)
        return image.index_copy_(0, self.place, values).view_as(self.gray) * self.shown


def _smaller(height: int, width: int) -> tuple[int, int]:
    factor = max(1.0, max(height, width) / SIDE)
    return max(1, round(height / factor)), max(1, round(width / factor))


def _gray(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``[1, 1, h, w]`` of ``[H, W, C]``."""
    return _reduced(luminance(image.permute(2, 0, 1)[None]), size)


def _reduced(values: Tensor, size: tuple[int, int]) -> Tensor:
    """``[V, C, H, W]`` in a smaller size; corner pixels stay where they are."""
    height, width = values.shape[2:]
    if (height, width) == size:
        return values
    smooth = blur(values, 0.45 * max(height / size[0], width / size[1]))
    return interpolate(smooth, size, mode="bilinear", align_corners=True)
