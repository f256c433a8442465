"""Colours of a texture carried from the vertices where it is painted to those where it is not.

What Hunyuan3D calls mesh vertex inpaint: a vertex is painted when the texel at one of its corners is, the others take
the mean of their neighbours' colours, nearer ones counting more, and the single texel at each corner is written back.
The two ways to do so (:mod:`.sweeps`, :mod:`.rings`) follow the native module's order of operations, so the result
depends on the order of the faces as it does there.

An order of operations is kept on a CPU only, so the work is done there whatever device the inputs are on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ....contract.checks import as_array
from .rings import fill_by_rings
from .sweeps import fill_by_sweeps

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

METHODS = ("smooth", "forward")

UNREACHED, PAINTED, FILLED = 0, 1, 2
"""States of a vertex."""


def vertex_colors(
    texture: Tensor | ArrayLike,
    mask: Tensor | ArrayLike,
    vtx_pos: Tensor | ArrayLike,
    vtx_uv: Tensor | ArrayLike,
    pos_idx: Tensor | ArrayLike,
    uv_idx: Tensor | ArrayLike,
    method: str = "smooth",
) -> tuple[Tensor, Tensor]:
    """The colour of every vertex, read from the texture or filled in from its neighbours.

    The texel of a corner is ``(round((1 - v) * (H - 1)), round(u * (W - 1)))``, halves away from zero; UVs outside
    0..1 are clamped. Tensors are taken on any device and of any dtype and converted; arrays and lists are too.

    Args:
        texture: ``[H, W, C]`` float32, any range of values.
        mask: ``[H, W]`` uint8, painted where above 0.
        vtx_pos: ``[V, 3]`` float32.
        vtx_uv: ``[U, 2]`` float32, ``v = 0`` is the last row.
        pos_idx, uv_idx: ``[F, 3]`` int32 indices into ``vtx_pos`` and ``vtx_uv``.
        method: ``smooth`` sweeps over the unpainted corners until a steady state is in sight; ``forward`` grows rings
            around what is painted and visits every vertex once.

    Returns:
        ``[V, C]`` float32 colours, 0 where unreached, and ``[V]`` uint8 states: 0 unreached (no painted vertex in the
        same component), 1 painted, 2 filled. ``smooth`` also fills, from its neighbours, a painted vertex that has an
        unpainted corner besides. The two are on the device of ``texture``.

    Raises:
        ValueError: an unknown method, a wrong shape, or an index outside its range.
    """
    result = _solve(texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx, method)
    return _like(result.colors, texture), _like(result.states, texture)


def inpaint_vertices(
    texture: Tensor | ArrayLike,
    mask: Tensor | ArrayLike,
    vtx_pos: Tensor | ArrayLike,
    vtx_uv: Tensor | ArrayLike,
    pos_idx: Tensor | ArrayLike,
    uv_idx: Tensor | ArrayLike,
    method: str = "smooth",
) -> tuple[Tensor, Tensor]:
    """The texture with :func:`vertex_colors` written at the texel of every corner that has a colour.

    Where several corners share a texel the last one's colour stays. Arguments and errors are those of
    :func:`vertex_colors`; the inputs are left as they are.

    Returns:
        ``[H, W, C]`` float32 texture and ``[H, W]`` uint8 mask, 255 at every texel written; they are on the device
        of ``texture``.
    """
    result = _solve(texture, mask, vtx_pos, vtx_uv, pos_idx, uv_idx, method)
    corners = np.flatnonzero(result.states[result.vertices] != UNREACHED)
    corners = corners[_last_of_each(result.texels[corners], result.mask.size)]
    vertices, texels = result.vertices[corners], result.texels[corners]
    new_texture, new_mask = result.texture.copy(), result.mask.copy()
    new_texture.reshape(-1, new_texture.shape[2])[texels] = result.colors[vertices]
    new_mask.reshape(-1)[texels] = 255
    return _like(new_texture, texture), _like(new_mask, texture)


@dataclass(frozen=True)
class _Result:
    """The inputs as arrays, and what was found.

    Attributes:
        texture, mask: ``[H, W, C]`` float32 and ``[H, W]`` uint8; may share memory with the inputs.
        vertices, texels: ``[F * 3]`` int64, the vertex and the flat texel of each corner in face order.
        colors, states: as :func:`vertex_colors` returns them.
    """

    texture: np.ndarray
    mask: np.ndarray
    vertices: np.ndarray
    texels: np.ndarray
    colors: np.ndarray
    states: np.ndarray


@torch.no_grad()
def _solve(texture: Any, mask: Any, vtx_pos: Any, vtx_uv: Any, pos_idx: Any, uv_idx: Any, method: str) -> _Result:
    if method not in METHODS:
        raise ValueError("Invalid method. Use 'smooth' or 'forward'.")  # the native module's words
    texture, mask = _array(texture, "texture", "[H, W, C]", np.float32), _array(mask, "mask", "[H, W]", np.uint8)
    positions, uvs = _array(vtx_pos, "vtx_pos", "[V, 3]", np.float32), _array(vtx_uv, "vtx_uv", "[U, 2]", np.float32)
    faces, uv_faces = _faces(pos_idx, "pos_idx", len(positions)), _faces(uv_idx, "uv_idx", len(uvs))
    if mask.shape != texture.shape[:2]:
        raise ValueError(f"mask: shape is {list(mask.shape)}, expected that of the texture, {list(texture.shape[:2])}")
    if faces.shape != uv_faces.shape:
        raise ValueError(f"uv_idx: has {len(uv_faces)} faces, expected as many as pos_idx, {len(faces)}")

    vertices, texels = faces.ravel(), _texels(uvs, *mask.shape)[uv_faces.ravel()]
    covered = mask.ravel()[texels] > 0
    sources = np.flatnonzero(covered)
    sources = sources[_last_of_each(vertices[sources], len(positions))]
    colors = np.zeros((len(positions), texture.shape[2]), dtype=np.float32)
    colors[vertices[sources]] = texture.reshape(-1, texture.shape[2])[texels[sources]]
    painted = np.zeros(len(positions), dtype=bool)
    painted[vertices[sources]] = True

    fill = fill_by_sweeps if method == "smooth" else fill_by_rings
    colors, filled = fill(colors, painted, positions, faces, vertices[~covered])
    states = np.where(filled, FILLED, np.where(painted, PAINTED, UNREACHED)).astype(np.uint8)
    return _Result(texture, mask, vertices, texels, colors, states)


def _texels(uvs: np.ndarray, height: int, width: int) -> np.ndarray:
    """``[U]`` int64 flat texel indices of ``uvs [U, 2]``; u is scaled in float32 and v in float64, as natively."""
    u, v = np.clip(np.nan_to_num(uvs), 0.0, 1.0).T
    column = np.floor((u * np.float32(width - 1)).astype(np.float64) + 0.5).astype(np.int64)
    row = np.floor((1.0 - v.astype(np.float64)) * (height - 1) + 0.5).astype(np.int64)
    return row * width + column


def _last_of_each(keys: np.ndarray, count: int) -> np.ndarray:
    """Places in ``keys`` (values below ``count``) that hold the last occurrence of their value."""
    last = np.empty(count, dtype=np.int64)
    last[keys] = np.arange(len(keys))  # where a key repeats, NumPy leaves the last value assigned
    return np.flatnonzero(last[keys] == np.arange(len(keys)))


def _array(value: Any, name: str, shape: str, dtype: type) -> np.ndarray:
    """``value`` as a contiguous array with as many dimensions, and the sizes, that ``shape`` names."""
    if isinstance(value, Tensor):
        value = as_array(value.float() if value.is_floating_point() else value)
    try:
        array: np.ndarray = np.ascontiguousarray(value, dtype=dtype)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: is {type(value).__name__}, expected a tensor or array {shape}") from None
    sizes = shape.strip("[]").split(", ")
    fits = array.ndim == len(sizes) and all(
        found == int(size) if size.isdigit() else found > 0 or size in ("F", "V", "U")
        for found, size in zip(array.shape, sizes, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: shape is {list(array.shape)}, expected {shape}")
    return array


def _faces(value: Any, name: str, count: int) -> np.ndarray:
    faces = _array(value, name, "[F, 3]", np.int64)
    low, high = (int(faces.min()), int(faces.max())) if faces.size else (0, -1)
    if low < 0 or high >= count:
        raise ValueError(f"{name}: indices are {low} to {high}, expected 0 to {count - 1}")
    return faces


def _like(array: np.ndarray, other: Any) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.to(other.device) if isinstance(other, Tensor) else tensor
