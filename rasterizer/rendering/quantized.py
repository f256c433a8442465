"""Rasterizing a mesh of integers through cameras, or over its UV layout, without floats of its vertices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..cameras.camera import Camera, orbit_camera
from ..cameras.projection import clip_matrices
from ..cameras.uv_layout import uv_matrix
from ..contract.checks import check_choice, check_resolution
from ..contract.types import Fragments
from ..meshes.quantized import QuantizedMesh
from ..ops import rasterize_quantized
from .raster import SPACES


def rasterize_quantized_mesh(
    mesh: QuantizedMesh,
    cameras: Sequence[Camera] | None = None,
    resolution: tuple[int, int] = (1024, 1024),
    *,
    space: str = "camera",
    **options: Any,
) -> Fragments:
    """Rasterize a mesh of integers: the nearest surface alone.

    A vertex takes 6 bytes, however many views there are; :func:`~rasterizer.rendering.raster.rasterize_mesh` takes 12
    and 16 for each view. The image is that of the mesh of the same numbers as floats, but for pixels at whose edges
    float32 rounds otherwise, because here the way to clip space is one matrix.

    Args:
        mesh: what to draw.
        cameras: one view each; None is one orthographic view from the front. Not used in UV space.
        resolution: ``(height, width)`` in pixels.
        space: ``camera``, or ``uv`` for the mesh's UV layout.
        options: other arguments of :func:`rasterizer.rasterize_quantized`.

    Returns:
        :class:`~rasterizer.contract.types.Fragments` ``[V, H, W]``.

    Raises:
        ValueError: an argument is unusable, or the mesh has no UVs where they are to be drawn.
    """
    height, width = check_resolution(resolution)
    check_choice(space, SPACES, "space")
    if space == "uv":
        if mesh.uvs is None:
            raise ValueError("mesh: has no UVs of integers, expected some: those of a mesh must lie within 0..1 for it")
        flat = torch.nn.functional.pad(mesh.uvs, (0, 1))
        matrices = uv_matrix(mesh.uv_step, 32768 * mesh.uv_step, width, height)[None].to(flat.device)
        return rasterize_quantized(flat, matrices, mesh.faces, (height, width), **options)
    views = tuple(cameras) if cameras else (orbit_camera(0, 0),)
    matrices = clip_matrices(mesh.positions, mesh.scale, mesh.centre, views, width, height)
    return rasterize_quantized(mesh.positions, matrices, mesh.faces, (height, width), **options)
