"""Conditioning maps by PyTorch's operators; :mod:`.map_kernels` does the same."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..cameras.camera import Camera
from ..cameras.projection import Frame
from ..meshes.mesh import Mesh
from ..runtime.progress import Report
from .attributes import attribute_image
from .raster import rasterize_mesh


def maps(
    mesh: Mesh,
    cameras: Sequence[Camera],
    resolution: tuple[int, int],
    frame: Frame,
    drawing: Report,
    coloring: Sequence[Report],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normal, position and depth maps ``[V, H, W, 3]`` and masks ``[V, H, W]``; smooth where the mesh has normals.

    Args:
        mesh, cameras, resolution: as in :func:`.maps.render_maps`.
        frame: of the mesh.
        drawing: progress of drawing.
        coloring: progress of normals, of positions and of depth.
    """
    raster = rasterize_mesh(mesh, cameras, resolution, on_progress=drawing, frame=frame)
    shading = "flat" if mesh.normals is None else "smooth"
    normal, position, depth = (
        attribute_image(raster, attribute, shading, on_progress=report)[:, 0]
        for attribute, report in zip(("normal", "position", "depth"), coloring, strict=True)
    )
    return normal, position, depth, raster.mask[:, 0]
