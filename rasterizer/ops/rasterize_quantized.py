"""The nearest face at every pixel centre, of a mesh whose vertices are integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..backends import registry
from ..contract.checks import check_faces
from ..contract.quantized import check_matrices, check_quantized
from ..contract.types import Fragments, RasterInfo
from ..runtime.devices import working_device
from ..runtime.memory import with_less_memory
from .rasterize import TILE_SIZE, request_of


def rasterize_quantized(
    positions: Tensor,
    matrices: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    *,
    depth_prior: Tensor | None = None,
    occlusion_truncation: float = 1e-6,
    mode: str = "auto",
    tile_size: int = TILE_SIZE,
    batch_size: int = 0,
    backend: str = "auto",
    on_progress: Callable[[float], None] | None = None,
) -> Fragments:
    """:func:`rasterizer.rasterize` of vertices that are stored as integers, at 6 bytes each for any number of views.

    The bits are those of ``rasterize(rasterizer.contract.quantized.to_clip(positions, matrices), ...)``, where that
    function is stated. GPU kernels bring a vertex to clip space where they need it, and PyTorch operators do so for one
    view after another, or on GPUs for all, as is done for Vulkan: the former never hold ``[B, N, 4]`` floats.

    Args:
        positions: ``[N, 3]`` int16.
        matrices: ``[4, 4]``, or ``[B, 4, 4]`` for B views, float32, on ``positions``'s device: from ``(x, y, z, 1)`` to
            clip space, what undoes the quantization and the camera in one. A vertex before the near plane, ``z < -w``,
            has its faces draw nothing.
        tri, resolution, depth_prior, occlusion_truncation, mode, tile_size, batch_size, on_progress: as there.
        backend: ``auto``, ``kernels``, ``vulkan`` or ``torch``.

    Returns:
        As there, with a leading ``[B]`` if ``matrices`` has one; without gradients.

    Raises:
        ValueError: an argument is unusable; the text names it, what was found and what is expected.
    """
    positions = check_quantized(positions)
    home = positions.device
    given = check_matrices(matrices, home)
    faces = check_faces(tri, len(positions), home)
    views = given if given.ndim == 3 else given[None]
    choices = (occlusion_truncation, mode, tile_size, batch_size)
    options = request_of(len(views), home, resolution, depth_prior, on_progress, *choices)
    device = working_device(home)
    if not (faces.numel() and positions.numel() and len(views)):
        shape = (len(views), *options.resolution)
        findices = torch.zeros(shape, dtype=torch.int32, device=home)
        name = registry.selected_name("rasterize_quantized", backend, device)
        options.on_progress(1.0)
        return _shaped(
            findices, findices[..., None].expand(*shape, 3).float(), RasterInfo(name, "", "", str(device), 0), given
        )

    def run(device: torch.device, budget: int) -> tuple[Tensor, Tensor, RasterInfo]:
        draw = registry.select("rasterize_quantized", backend, device)
        request = replace(options, budget=budget) if budget else options
        if request.depth_prior is not None:
            request = replace(request, depth_prior=request.depth_prior.to(device))
        return draw(positions.to(device), views.to(device), faces.to(device), request)

    findices, barycentric, info = with_less_memory(run, device)
    return _shaped(findices.to(home), barycentric.to(home), info, given)


def _shaped(findices: Tensor, barycentric: Tensor, info: RasterInfo, matrices: Tensor) -> Fragments:
    if matrices.ndim == 2:
        findices, barycentric = findices[0], barycentric[0]
    return Fragments.of(findices, barycentric, info)
