"""An atlas: the pictures of several parts side by side on one texture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..runtime.log import log
from .layers import Picture
from .parts import Part

_GUTTER = 4  # texels around each picture that repeat it, for bilinear filtering and the first levels of a mipmap
_LARGEST = 8192  # texels along a side of the atlas
_ROUNDING = 1e-3  # of a picture: UVs that far beyond a border are on it, and fall into the gutter


def make_atlas(layers: Sequence[Sequence[Picture]], groups: Sequence[Sequence[Part]]) -> list[np.ndarray]:
    """Lay pictures side by side, as often as the UVs of their parts repeat them; move the UVs there.

    Pictures shrink, all to the same limit, where together they would exceed 8192 texels a side.

    Args:
        layers: of each kind of texture, a picture for each group; all kinds have the same layout.
        groups: the parts that share a picture; their UVs are replaced.

    Returns:
        ``[H, W, 3]`` uint8 for each layer.

    Raises:
        ValueError: a picture cannot be decoded.
    """
    spans = np.stack([_move_to_origin(group) for group in groups])
    full = np.array([[picture.size for picture in pictures] for pictures in layers]).max(axis=0)
    sizes, repeats, corners, extent = _lay_out(full, spans)
    if (sizes < full).any():
        log.info("%d of %d textures shrink to fit into one.", (sizes < full).any(axis=1).sum(), len(groups))
    atlases = [_paint(pictures, sizes, repeats, corners, extent) for pictures in layers]
    for group, span, size, repeat, corner in zip(groups, spans, sizes, repeats, corners, strict=True):
        for part in group:
            part.uvs = (part.uvs * repeat / span * size + corner + _GUTTER) / extent
    return atlases


def _move_to_origin(group: Sequence[Part]) -> np.ndarray:
    """Move the parts' UVs by whole pictures to begin in 0..1; ``[2]`` int64, how many pictures they then span."""
    span = np.ones(2, np.int64)
    for part in group:
        assert part.uvs is not None  # merge_textures gives some to each
        used = part.uvs[np.unique(part.faces)]
        first = np.floor(used.min(axis=0) + _ROUNDING)
        part.uvs = part.uvs - first
        span[:] = np.maximum(span, np.ceil(used.max(axis=0) - first - _ROUNDING))
    return span


def _lay_out(full: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Size, repeats and corner of each picture, ``[K, 2]`` each, and the size of the atlas, ``[2]``.

    Args:
        full: ``[K, 2]``, width and height of the pictures as they are.
        spans: ``[K, 2]``, how often their UVs repeat them.
    """
    limit = _LARGEST // 2
    while True:
        sizes = np.clip(limit // spans, 1, full)
        # An axis of one texel is the same everywhere, so its repeats can share that texel.
        repeats = np.where(sizes == 1, 1, spans)
        corners, extent = _pack(sizes * repeats + 2 * _GUTTER)
        if extent.max() <= _LARGEST or limit == 1:
            return sizes, repeats, corners, extent
        limit //= 2


def _pack(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[K, 2]`` of (width, height) on shelves, tallest first: the corner of each, and the size of all.

    Next fit by decreasing height (Coffman, Garey, Johnson and Tarjan, Performance Bounds for Level-Oriented
    Two-Dimensional Packing Algorithms, SIAM Journal on Computing 9, 1980), on shelves of about the square's side.
    """
    row = max(sizes[:, 0].max(), np.sqrt(sizes.prod(axis=1).sum()))
    corners = np.zeros_like(sizes)
    x = y = shelf = 0
    for index in np.argsort(-sizes[:, 1], kind="stable"):
        if x + sizes[index, 0] > row:
            x, y, shelf = 0, y + shelf, 0
        corners[index] = x, y
        x, shelf = x + sizes[index, 0], max(shelf, sizes[index, 1])
    return corners, (corners + sizes).max(axis=0)


def _paint(
    pictures: Sequence[Picture], sizes: np.ndarray, repeats: np.ndarray, corners: np.ndarray, extent: np.ndarray
) -> np.ndarray:
    """``[H, W, 3]`` uint8: each picture at its corner, black between them."""
    atlas = np.zeros((extent[1], extent[0], 3), np.uint8)
    for picture, size, repeat, (left, top) in zip(pictures, sizes, repeats, corners, strict=True):
        block = _block(picture, size, repeat)
        atlas[top : top + block.shape[0], left : left + block.shape[1]] = block
    return atlas


def _block(picture: Picture, size: np.ndarray, repeat: np.ndarray) -> np.ndarray:
    """``[H, W, 3]`` uint8: a picture scaled to ``size``, repeated, and with its gutter around."""
    from PIL import Image

    scaled = Image.fromarray(picture.pixels()).resize(tuple(size.tolist()), Image.Resampling.BOX)
    tiled = np.tile(np.array(scaled), (*repeat[::-1], 1))
    return np.pad(tiled, ((_GUTTER,) * 2, (_GUTTER,) * 2, (0, 0)), mode="wrap")
