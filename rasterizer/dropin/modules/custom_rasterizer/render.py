"""``custom_rasterizer.render``: the two functions everything goes through."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .... import ops
from ....contract.checks import as_tensor
from .. import custom_rasterizer_kernel
from ..arguments import as_float, as_index


def rasterize(
    pos: Tensor,
    tri: Tensor,
    resolution: Sequence[int],
    clamp_depth: Tensor = torch.empty(0, dtype=torch.float32),  # noqa: B008 - the native default, never written to
    use_depth_prior: int = 0,
) -> tuple[Tensor, Tensor]:
    """Find the nearest face at every pixel centre; the native module's result, bit for bit.

    Args:
        pos: ``[1, N, 4]`` clip-space vertices (only the first of a batch is drawn, as natively), or ``[N, 4]``.
        tri: ``[M, 3]`` vertex indices, on ``pos``'s device.
        resolution: ``(height, width)`` in pixels.
        clamp_depth: ``[H, W]`` NDC depth of the layer already drawn, see :func:`rasterizer.rasterize`.
        use_depth_prior: 0 to ignore it.

    Returns:
        ``findices [H, W]`` int32, 1-based, 0 = background; ``barycentric [H, W, 3]`` float32.

    Raises:
        ValueError: an argument is unusable; the text names it.
    """
    pos = as_float(pos, "pos")
    height, width = resolution
    findices, barycentric = custom_rasterizer_kernel.rasterize_image(
        pos[0] if pos.ndim == 3 else pos, tri, clamp_depth, width, height, 1e-6, use_depth_prior
    )
    return findices, barycentric


def interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
    """Interpolate vertex attributes over rasterized faces.

    Args:
        col: ``[1, N, C]`` attributes, or ``[N, C]``.
        findices: ``[H, W]`` of any dtype; packs hand float32, because they kept it beside the barycentrics.
        barycentric: ``[H, W, 3]``, any strides.
        tri: ``[M, 3]`` indices into ``col``.

    Returns:
        ``[1, H, W, C]``, zeros on background. Differentiable in ``col`` and ``barycentric``.

    Raises:
        ValueError: an argument is unusable; the text names it.
    """
    col, barycentric = as_float(col, "col"), as_float(barycentric, "barycentric")
    findices, faces = as_tensor(findices, "findices"), as_index(tri, col.device, "tri")
    return ops.interpolate(col[:1] if col.ndim == 3 else col[None], findices, barycentric, faces)
