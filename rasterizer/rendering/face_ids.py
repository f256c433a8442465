"""Which face each pixel shows, and no more: 4 bytes a pixel, where a raster takes 16.

Barycentrics are computed where and when somebody needs them, for some views or pixels at a time; they are the raster's
to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ..cameras.camera import Camera
from ..cameras.projection import Frame, look_frame, normalization, to_camera, to_clip
from ..cameras.uv_layout import uv_to_clip
from ..contract.types import RasterInfo
from ..meshes.mesh import Mesh
from ..ops import Weigh, interpolate, rasterize, weigher
from .raster import Raster, check_drawable


@dataclass(frozen=True, eq=False)
class FaceIds:
    """Fragments of ``V`` views without barycentrics.

    Attributes:
        findices: ``[V, H, W]`` int32, 1-based, 0 = background.
        clip: ``[V, N, 4]``, the vertices as they were drawn.
        mesh: on the same device.
        cameras: one per view; empty in UV space.
        frame: the mesh's :func:`~rasterizer.cameras.projection.normalization`, where that is known.
        stored: ``[V, H, W, 3]`` barycentrics, where somebody has them anyway.
    """

    findices: Tensor
    clip: Tensor | None
    mesh: Mesh
    cameras: tuple[Camera, ...]
    frame: Frame | None = None
    stored: Tensor | None = field(default=None, repr=False)

    @classmethod
    def of_views(
        cls,
        mesh: Mesh,
        cameras: Sequence[Camera],
        resolution: tuple[int, int],
        on_progress: Callable[[float], None] | None = None,
        frame: Frame | None = None,
    ) -> FaceIds:
        """Draw the nearest surface, as :func:`~rasterizer.rendering.raster.rasterize_mesh` does."""
        check_drawable(mesh)
        frame = frame or normalization(mesh.vertices)
        clip = to_clip(mesh.vertices, cameras, resolution[1], resolution[0], frame)
        drawn = rasterize(clip, mesh.faces, resolution, on_progress=on_progress, barycentrics=False)
        return cls(drawn.findices, clip, mesh, tuple(cameras), frame)

    @classmethod
    def of_layout(
        cls, mesh: Mesh, resolution: tuple[int, int], on_progress: Callable[[float], None] | None = None
    ) -> FaceIds:
        """Draw the UV layout as one view."""
        check_drawable(mesh)
        clip = uv_to_clip(mesh.require_uvs(), resolution[1], resolution[0])[None]
        drawn = rasterize(clip, mesh.faces, resolution, on_progress=on_progress, barycentrics=False)
        return cls(drawn.findices, clip, mesh, ())

    @classmethod
    def of(cls, raster: Raster) -> FaceIds:
        """The first layer of a raster, with its barycentrics."""
        return cls(
            raster.findices[:, 0], None, raster.mesh, raster.cameras, raster.frame, stored=raster.barycentric[:, 0]
        )

    def bare(self) -> Raster:
        """A raster whose barycentrics are left out: ``[V, 1, H, W, 0]``."""
        findices = self.findices[:, None]
        none = torch.empty((*findices.shape, 0), dtype=torch.float32, device=findices.device)
        return Raster(findices, none, self.mesh, self.cameras, RasterInfo("", "", "", "", -1), self.frame)

    def barycentric(self, views: slice) -> Tensor:
        """``[v, H, W, 3]`` float32 of some views."""
        if self.stored is not None:
            return self.stored[views]
        found = self.findices[views]
        first = views.indices(len(self.findices))[0] * self.findices[0].numel()
        return self._weigh(found.reshape(-1), first).view(*found.shape, 3)

    def weights(self, start: int, stop: int) -> Tensor:
        """``[n, 3]`` barycentrics of the pixels from ``start`` to before ``stop``, counted through all views."""
        if self.stored is not None:
            return self.stored.reshape(-1, 3)[start:stop]
        return self._weigh(self.findices.view(-1)[start:stop], start)

    @cached_property
    def _weigh(self) -> Weigh:
        assert self.clip is not None  # or barycentrics are stored
        return weigher(self.clip, self.mesh.faces, (self.findices.shape[1], self.findices.shape[2]))

    def distance(self, views: slice) -> Tensor:
        """``[v, H, W]``, as :meth:`Raster.distance` of some views."""
        image = interpolate(self._toward[views], self.findices[views], self.barycentric(views), self.mesh.faces)
        return -image[..., 0]

    @cached_property
    def _toward(self) -> Tensor:
        """``[V, N, 1]``, minus the distance of the vertices."""
        frame = look_frame(self.mesh.vertices, self.cameras, self.frame)
        return to_camera(frame, self.cameras)[..., 2:].contiguous()

    def prepare(self) -> FaceIds:
        """Itself, after what is made once only; to be called before threads ask for more."""
        if self.stored is None:
            _ = self._weigh
        if self.cameras:
            _ = self._toward
        return self
