"""Conditioning maps: what a paint model is shown of a mesh, as Hunyuan3D encodes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..cameras.camera import Camera, orbit_camera
from ..cameras.projection import Frame, normalization
from ..contract.checks import check_choice, check_devices, check_resolution
from ..meshes.mesh import Mesh
from ..runtime.progress import stages
from ..runtime.several import copies, over_devices, shares_of
from ..runtime.threads import on_own_threads
from . import map_operators
from .map_choice import with_kernels
from .raster import check_drawable, drawing_waits, mesh_copies

STYLES = ("hunyuan3d-2", "hunyuan3d-2.1")

_TOGETHER = 1 << 24  # pixels of a device that are made before another's turn is to launch its own


@dataclass(frozen=True)
class Maps:
    """Maps of ``V`` views, float32 in 0..1, encoded as by :func:`rasterizer.rendering.attributes.attribute_image`.

    Attributes:
        normal, position: ``[V, H, W, 3]``, white where nothing was drawn.
        depth: ``[V, H, W, 3]``, nearest point of a view 1, farthest 0, and 0 where nothing was drawn.
        mask: ``[V, H, W]``, 1 where the mesh was drawn.
    """

    normal: Tensor
    position: Tensor
    depth: Tensor
    mask: Tensor


@on_own_threads
def render_maps(
    mesh: Mesh,
    cameras: Sequence[Camera] | None = None,
    resolution: tuple[int, int] = (1024, 1024),
    style: str = "hunyuan3d-2",
    on_progress: Callable[[float], None] | None = None,
    devices: Iterable[torch.device | str] | None = None,
) -> Maps:
    """Normal, position and depth maps and masks of all views, drawn in one batch.

    Args:
        mesh: what to draw.
        cameras: one view each; None is one orthographic view from the front.
        resolution: ``(height, width)`` in pixels.
        style: one of :data:`STYLES`. ``hunyuan3d-2`` shows smooth normals: the mean of the adjacent faces', each
            counting the same, over all vertices at one position, so that UV seams do not crease. Normals that the mesh
            brings along are not used, because its model was not trained on such. ``hunyuan3d-2.1`` shows those of the
            faces.
        on_progress: called with the share done, 0..1; an exception it raises stops the call.
        devices: share the views out among them, see :mod:`rasterizer.runtime.several`; None draws where the mesh is.

    Returns:
        The maps, on the mesh's device or the first of ``devices``.
    """
    check_choice(style, STYLES, "style")
    check_drawable(mesh)
    places = (mesh.vertices.device,) if devices is None else check_devices(devices)
    views = tuple(cameras) if cameras else (orbit_camera(0, 0),)
    shares = shares_of(len(views), places)
    mesh = Mesh(mesh.vertices, mesh.faces).to(places[0])
    if style == "hunyuan3d-2":
        mesh = replace(mesh, normals=_vertex_normals(mesh))
    frame = normalization(mesh.vertices)
    if len(shares) == 1:
        return _maps(mesh, views, resolution, frame, on_progress or (lambda share: None))
    meshes, frames = mesh_copies(mesh, shares), copies(frame, shares)

    def draw(number: int, part: slice, report: Callable[[float], None]) -> list[Tensor]:
        drawn = _maps(meshes[number], views[part], resolution, frames[number], report)
        return [getattr(drawn, each.name) for each in fields(Maps)]

    height, width = check_resolution(resolution)
    together = max(1, _TOGETHER // (height * width))
    return Maps(*over_devices(shares, draw, on_progress, waits=drawing_waits(shares), together=together))


def _vertex_normals(mesh: Mesh) -> Tensor:
    made = with_kernels(mesh.vertices, lambda kernels: kernels.vertex_normals(mesh))
    return mesh.vertex_normals() if made is None else made


def _maps(
    mesh: Mesh,
    cameras: Sequence[Camera],
    resolution: tuple[int, int],
    frame: Frame,
    report: Callable[[float], None],
) -> Maps:
    """Maps of some views, all on the mesh's device."""
    draw, *color = stages(report, "drawing", "normals", "positions", "depth")
    asked = mesh, cameras, resolution, frame, draw, color
    made = with_kernels(mesh.vertices, lambda kernels: kernels.maps(*asked) if len(cameras) <= kernels.VIEWS else None)
    return Maps(*(map_operators.maps(*asked) if made is None else made))
