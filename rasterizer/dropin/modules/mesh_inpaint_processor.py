"""``mesh_inpaint_processor``: the inpaint module of Hunyuan3D 2.1, under its names."""

# ruff: noqa: N802 - the native names

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def meshVerticeInpaint(
    texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any, method: str = "smooth"
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`rasterizer.texturing.fill.vertices.inpaint.inpaint_vertices`, arrays out, anything in.

    Args:
        texture: ``[H, W, C]``, in any range of values.
        mask: ``[H, W]`` or ``[H, W, 1]``; painted where above 0.
        vtx_pos: ``[V, 3]`` positions.
        vtx_uv: ``[U, 2]``; clamped to 0..1, outside of which the native module writes to foreign memory.
        pos_idx, uv_idx: ``[F, 3]`` indices into the two.
        method: ``smooth`` or ``forward``.

    Returns:
        ``texture [H, W, C]`` float32 and ``mask [H, W]`` uint8, new arrays; 255 in the mask where written.

    Raises:
        ValueError: an unknown method, or an argument that is unusable; the text names it.
    """
    from ...texturing.fill.vertices.inpaint import inpaint_vertices  # packs import this module when ComfyUI starts

    return _arrays(inpaint_vertices(_array(texture), _flat(mask), vtx_pos, vtx_uv, pos_idx, uv_idx, method))


def meshVerticeColor(
    texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any, method: str = "smooth"
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`rasterizer.texturing.fill.vertices.inpaint.vertex_colors`, arrays out, anything in.

    Args:
        texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx, method: as for :func:`meshVerticeInpaint`.

    Returns:
        ``color [V, C]`` float32 and ``state [V]`` uint8: 0 = never reached, 1 = from the texture, 2 = filled.

    Raises:
        ValueError: as there.
    """
    from ...texturing.fill.vertices.inpaint import vertex_colors

    return _arrays(vertex_colors(_array(texture), _flat(mask), vtx_pos, vtx_uv, pos_idx, uv_idx, method))


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)


def _flat(mask: Any) -> np.ndarray:
    mask = _array(mask)
    return mask[..., 0] if mask.ndim == 3 and mask.shape[2] == 1 else mask


def _arrays(results: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    first, second = results
    return first.numpy(), second.numpy()
