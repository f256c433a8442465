"""``mesh_processor``: the inpaint module of Hunyuan3D 2.0, compiled or in Python, under its names."""

# ruff: noqa: N802 - the native names

from __future__ import annotations

from typing import Any

import numpy as np

from . import mesh_inpaint_processor


def meshVerticeInpaint(
    texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any, method: str = "smooth"
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`.mesh_inpaint_processor.meshVerticeInpaint`, of which version 2.0 has ``smooth`` only."""
    if method != "smooth":
        raise ValueError("Invalid method. Use 'smooth' or 'forward'.")  # the native words
    return mesh_inpaint_processor.meshVerticeInpaint(texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx, method)


def meshVerticeInpaint_smooth(
    texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`meshVerticeInpaint`; the Python version has it under this name too."""
    return mesh_inpaint_processor.meshVerticeInpaint(texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx)
