"""``custom_rasterizer_kernel``: the functions of Hunyuan3D's compiled module, under its names; lists as results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ... import hierarchy, ops
from .arguments import as_float, as_index


def rasterize_image(
    V: Tensor,  # noqa: N803 - the native names
    F: Tensor,  # noqa: N803
    D: Tensor,  # noqa: N803
    width: int,
    height: int,
    occlusion_truncation: float,
    use_depth_prior: int,
) -> list[Tensor]:
    """:func:`rasterizer.rasterize_image` for arguments of any kind.

    Args:
        V: ``[N, 4]`` clip-space vertices.
        F: ``[M, 3]`` vertex indices.
        D: ``[height, width]`` depth prior; ignored unless ``use_depth_prior``.
        width, height: image size in pixels.
        occlusion_truncation: added to the mapped prior before the test.
        use_depth_prior: 0 or 1.

    Returns:
        ``[findices [height, width] int32, barycentric [height, width, 3] float32]`` on ``V``'s device; no gradient.

    Raises:
        ValueError: an argument is unusable; the text names it.
    """
    pos = as_float(V, "V").detach()
    tri = as_index(F, pos.device, "F")
    width, height = int(width), int(height)
    prior = as_float(D, "D").detach().to(pos.device) if use_depth_prior else D
    return list(ops.rasterize_image(pos, tri, prior, width, height, float(occlusion_truncation), int(use_depth_prior)))


def build_hierarchy(
    view_layer_positions: Sequence[Tensor], view_layer_normals: Sequence[Tensor], num_level: int, resolution: int
) -> list[list[Tensor]]:
    """:func:`rasterizer.build_hierarchy`; nested lists of CPU tensors, as natively."""
    return _lists(hierarchy.build_hierarchy(view_layer_positions, view_layer_normals, num_level, resolution))


def build_hierarchy_with_feat(
    view_layer_positions: Sequence[Tensor],
    view_layer_normals: Sequence[Tensor],
    view_layer_feats: Sequence[Tensor],
    num_level: int,
    resolution: int,
) -> list[list[Tensor]]:
    """:func:`rasterizer.build_hierarchy_with_feat`; nested lists of CPU tensors, as natively."""
    views = view_layer_positions, view_layer_normals, view_layer_feats
    return _lists(hierarchy.build_hierarchy_with_feat(*views, num_level, resolution))


def _lists(values: Any) -> Any:
    return values.cpu() if isinstance(values, Tensor) else [_lists(value) for value in values]
