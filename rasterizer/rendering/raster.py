"""Rasterizing a mesh through cameras, or over its UV layout, in one or several depth-peeled layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..cameras.camera import Camera, orbit_camera
from ..cameras.projection import Frame, look_frame, normalization, to_camera, to_clip
from ..cameras.uv_layout import uv_to_clip
from ..contract.checks import (
    as_tensor,
    check_choice,
    check_devices,
    check_faces,
    check_integer,
    check_resolution,
    known_faces,
)
from ..contract.types import RasterInfo
from ..meshes.mesh import Mesh
from ..ops import TILE_SIZE, interpolate, peel
from ..ops.rasterize import how_to_share, joined
from ..runtime.several import Share, copies, over_devices, shares_of

SPACES = ("camera", "uv")


@dataclass(frozen=True)
class Raster:
    """Fragments of ``V`` views with ``L`` layers each, and what is needed to interpolate over them.

    Attributes:
        findices: ``[V, L, H, W]`` int32, 1-based, 0 = background. Layer 0 is the nearest surface.
        barycentric: ``[V, L, H, W, 3]`` float32.
        mesh: the mesh, on the fragments' device.
        cameras: one per view; empty in UV space.
        info: how the first layer came about.
        frame: the mesh's :func:`~rasterizer.cameras.projection.normalization`, where that is known.
    """

    findices: Tensor
    barycentric: Tensor
    mesh: Mesh
    cameras: tuple[Camera, ...]
    info: RasterInfo
    frame: Frame | None = None

    @property
    def mask(self) -> Tensor:
        """``[V, L, H, W]`` float32, 1 where a face was drawn."""
        return (self.findices > 0).to(torch.float32)

    def interpolate(self, attribute: Tensor) -> Tensor:
        """Vertex attribute ``[N, C]``, or ``[V, N, C]`` where it depends on the view, to ``[V, L, H, W, C]``."""
        views, layers, height, width = self.findices.shape
        if attribute.ndim == 3:
            attribute = attribute.repeat_interleave(layers, dim=0)
        flat = self.findices.flatten(0, 1)
        image = interpolate(attribute, flat, self.barycentric.flatten(0, 1), self.mesh.faces)
        return image.view(views, layers, height, width, -1)

    def distance(self) -> Tensor:
        """``[V, L, H, W]`` distance from the camera plane, in the units of the frame it looks at; 0 on background."""
        if not self.cameras:
            raise ValueError("raster: is in UV space, where nothing has a depth; expected one made with cameras")
        toward = to_camera(look_frame(self.mesh.vertices, self.cameras, self.frame), self.cameras)[..., 2:]
        return -self.interpolate(toward)[..., 0]

    def view(self, number: int) -> Raster:
        """One of the views, as a raster of its own."""
        return self.views(slice(number, number + 1))

    def views(self, part: slice) -> Raster:
        """Some of the views, as a raster of their own."""
        return replace(
            self,
            findices=self.findices[part],
            barycentric=self.barycentric[part],
            cameras=self.cameras[part],
        )

    def to(self, device: torch.device | str) -> Raster:
        """The same raster on another device."""
        return replace(
            self,
            findices=self.findices.to(device),
            barycentric=self.barycentric.to(device),
            mesh=self.mesh.to(device),
            frame=self.frame and self.frame.to(device),
        )


def rasterize_mesh(
    mesh: Mesh,
    cameras: Sequence[Camera] | None = None,
    resolution: tuple[int, int] = (1024, 1024),
    *,
    space: str = "camera",
    layers: int = 1,
    mode: str = "auto",
    tile_size: int = TILE_SIZE,
    batch_size: int = 0,
    backend: str = "auto",
    on_progress: Callable[[float], None] | None = None,
    frame: Frame | None = None,
    devices: Iterable[torch.device | str] | None = None,
) -> Raster:
    """Rasterize a mesh.

    Args:
        mesh: what to draw.
        cameras: one view each; None is one orthographic view from the front. Not used in UV space.
        resolution: ``(height, width)`` in pixels.
        space: ``camera``, or ``uv`` for the mesh's UV layout: the image then lies on the texture pixel for pixel.
        layers: surfaces to peel, nearest first.
        mode, tile_size, batch_size, backend, on_progress: as in :func:`rasterizer.rasterize`.
        frame: the mesh's :func:`~rasterizer.cameras.projection.normalization`, where that is known.
        devices: share the views out among them, see :mod:`rasterizer.runtime.several`; None draws where the mesh is.
    """
    height, width = check_resolution(resolution)
    check_choice(space, SPACES, "space")
    layers = check_integer(layers, 1, 64, "layers")
    as_tensor(mesh.vertices, "mesh vertices")
    check_drawable(mesh)
    places = None if devices is None else check_devices(devices)
    if places is not None:
        mesh, frame = mesh.to(places[0]), frame and frame.to(places[0])
    options: dict[str, Any] = {
        "resolution": (height, width),
        "layers": layers,
        "mode": mode,
        "tile_size": tile_size,
        "batch_size": batch_size,
        "backend": backend,
    }
    if space == "uv":
        if layers != 1:
            raise ValueError(f"layers: is {layers}, expected 1 in UV space, where overlapping faces have no order")
        views: tuple[Camera, ...] = ()
        clip = uv_to_clip(mesh.require_uvs(), width, height)[None]
    else:
        views = tuple(cameras) if cameras else (orbit_camera(0, 0),)
        frame = frame or normalization(mesh.vertices)
        shares = [] if places is None else shares_of(len(views), places)
        if len(shares) > 1:
            return _over_devices(shares, mesh, views, frame, options, on_progress)
        clip = to_clip(mesh.vertices, views, width, height, frame)
    findices, barycentric, info = _draw(clip, mesh.faces, on_progress=on_progress, **options)
    return Raster(findices, barycentric, mesh, views, info, frame)


def _draw(
    clip: Tensor, faces: Tensor, resolution: tuple[int, int], layers: int, **options: Any
) -> tuple[Tensor, Tensor, RasterInfo]:
    """``[V, L, H, W]`` face indices and ``[V, L, H, W, 3]`` barycentrics of all layers."""
    results = list(peel(clip, faces, resolution, layers, **options))
    # A single layer need not be copied.
    findices, barycentric = (
        parts[0].unsqueeze(1) if len(parts) == 1 else torch.stack(parts, dim=1)
        for parts in ([drawn.findices for drawn in results], [drawn.barycentric for drawn in results])
    )
    return findices, barycentric, results[0].info


def _over_devices(
    shares: Sequence[Share],
    mesh: Mesh,
    cameras: tuple[Camera, ...],
    frame: Frame,
    options: Mapping[str, Any],
    on_progress: Callable[[float], None] | None,
) -> Raster:
    """A mesh on the first device drawn with the views shared out; ``options`` are those of :func:`_draw`."""
    meshes, frames = mesh_copies(Mesh(mesh.vertices, mesh.faces), shares), copies(frame, shares)
    height, width = options["resolution"]
    clips: dict[int, Tensor] = {}
    infos = []

    def part(number: int, views: slice, report: Callable[[float], None]) -> tuple[Tensor, Tensor]:
        every = shares[number].views
        if number not in clips:  # of all views at once: it takes some forty launches
            clips[number] = to_clip(meshes[number].vertices, cameras[every], width, height, frames[number])
        some = clips[number][views.start - every.start : views.stop - every.start]
        findices, barycentric, info = _draw(some, meshes[number].faces, on_progress=report, **options)
        infos.append(info)
        return findices, barycentric

    how = how_to_share(shares, (height, width), options["backend"])
    findices, barycentric = over_devices(shares, part, on_progress, **how)
    return Raster(findices, barycentric, mesh, cameras, joined(infos), frame)


def drawing_waits(shares: Sequence[Share]) -> bool:
    """Whether drawing a mesh, and looking attributes up, waits for one of the devices."""
    return how_to_share(shares, (1, 1))["waits"]


def mesh_copies(mesh: Mesh, shares: Sequence[Share]) -> list[Mesh]:
    """What is drawn of a mesh on the first device for each share: vertices, faces and normals, without textures."""
    check_faces(mesh.faces, len(mesh.vertices), mesh.vertices.device, "tri")
    made = copies(Mesh(mesh.vertices, mesh.faces, normals=mesh.normals), shares)
    for each in made:
        known_faces(each.faces, mesh.faces)
    return made


def check_drawable(mesh: Mesh) -> None:
    """Refuse a mesh without faces.

    Raises:
        ValueError: it has none.
    """
    if not (len(mesh.faces) and len(mesh.vertices)):
        found = f"{len(mesh.vertices) or 'no'} vertices and {len(mesh.faces) or 'no'} faces"
        raise ValueError(f"mesh: has {found}, expected faces to draw")
