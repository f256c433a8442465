"""``mesh_inpaint_processor``: the inpaint module of Hunyuan3D 2.1, under its names."""

# ruff: noqa: N802 - the native names

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import as_array

METHODS = ("smooth", "forward")
"""What :func:`meshVerticeInpaint` can do."""


def meshVerticeInpaint(
    texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any, method: str = "smooth"
) -> tuple[np.ndarray, np.ndarray]:
    """Colour the texels of vertices that no view has painted, along the edges of the mesh.

    Args:
        texture: ``[H, W, C]``, in any range of values.
        mask: ``[H, W]`` or ``[H, W, 1]``; above 0 = painted.
        vtx_pos: ``[V, 3]`` positions.
        vtx_uv: ``[U, 2]``; taken to the nearest edge where outside 0..1.
        pos_idx, uv_idx: ``[F, 3]`` indices into the two.
        method: ``smooth`` or ``forward``.

    Returns:
        ``(texture [H, W, C] float32, mask [H, W] uint8)``, new arrays; written texels have 255 in the mask.

    Raises:
        ValueError: an unknown method, or arguments that do not fit together.
    """
    from ..texturing.vertex_inpaint import inpaint_vertices

    return inpaint_vertices(*arguments(texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx), check_method(method))


def meshVerticeColor(
    texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any, method: str = "smooth"
) -> tuple[np.ndarray, np.ndarray]:
    """The colours behind :func:`meshVerticeInpaint`, per vertex.

    Args:
        texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx, method: as there.

    Returns:
        ``color [V, C]`` float32; ``state [V]`` uint8: 0 = never reached, 1 = from the texture, 2 = filled.

    Raises:
        ValueError: as there.
    """
    from ..texturing.vertex_inpaint import vertex_colors

    return vertex_colors(*arguments(texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx), check_method(method))


def check_method(method: str, known: tuple[str, ...] = METHODS) -> str:
    """``method``, if it is a known one; else the native error, whatever the module knows of."""
    if method not in known:
        raise ValueError("Invalid method. Use 'smooth' or 'forward'.")
    return method


def arguments(
    texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of a call, contiguous, in the native dtypes, safe to index with.

    Raises:
        ValueError: shapes that do not fit together, or an index out of range.
    """
    texture, mask = as_array(texture, np.float32), as_array(mask, np.uint8)
    mask = mask[..., 0] if mask.ndim == 3 and mask.shape[2] == 1 else mask
    if texture.ndim != 3 or mask.shape != texture.shape[:2]:
        raise ValueError(
            f"texture and mask: are {list(texture.shape)} and {list(mask.shape)}, expected [H, W, C] and [H, W]"
        )
    vtx_pos = as_array(vtx_pos, np.float32)
    vtx_uv = np.clip(np.nan_to_num(as_array(vtx_uv, np.float32), nan=0.0), 0.0, 1.0)
    pos_idx, uv_idx = _faces(pos_idx, len(vtx_pos), "pos_idx"), _faces(uv_idx, len(vtx_uv), "uv_idx")
    if len(pos_idx) != len(uv_idx):
        raise ValueError(f"uv_idx: has {len(uv_idx)} faces but pos_idx has {len(pos_idx)}")
    return texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx


def _faces(values: Any, count: int, name: str) -> np.ndarray:
    faces = as_array(values, np.int64)
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"{name}: shape is {list(faces.shape)}, expected [F, 3]")
    if faces.size and (faces.min() < 0 or faces.max() >= count):
        raise ValueError(f"{name}: indices are {faces.min()} to {faces.max()}, expected 0 to {count - 1}")
    return faces.astype(np.int32)
