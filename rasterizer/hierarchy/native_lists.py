"""The native module's ``build_hierarchy`` and ``build_hierarchy_with_feat``, output for output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_integer
from ..runtime.log import log
from .construct import build, check_levels
from .surface_samples import Views

if TYPE_CHECKING:
    from .level import Built


def build_hierarchy(
    view_layer_positions: Sequence[Tensor], view_layer_normals: Sequence[Tensor], num_level: int, resolution: int
) -> list[list[Tensor]]:
    """Build a grid hierarchy from depth-peeled layers of the three axis views.

    Args:
        view_layer_positions: three ``[L, H, W, 4]`` float32 tensors, x, y, z in -1..1 and a validity (0 = empty); the
            views along z, x and y, layer by layer. Sizes and numbers of layers may differ between views.
        view_layer_normals: three ``[L, H, W, 3]`` to match.
        num_level: how many levels, 1 or more.
        resolution: cells along each axis at the finest level.

    Returns:
        ``[[positions [N, 3], original [N]], neighbors, downsamples, evencorners, oddcorners]``, where the last four
        have a tensor a level (``downsamples`` one less), int64, on the inputs' device. Four empty lists, and a warning,
        where the native module returns that: not exactly three views, or no level.

    Raises:
        ValueError: what cannot be built; the text names it.
    """
    built = _build(view_layer_positions, view_layer_normals, None, num_level, resolution)
    return [[], [], [], []] if built is None else _as_lists(built)


def build_hierarchy_with_feat(
    view_layer_positions: Sequence[Tensor],
    view_layer_normals: Sequence[Tensor],
    view_layer_feats: Sequence[Tensor],
    num_level: int,
    resolution: int,
) -> list[list[Tensor]]:
    """:func:`build_hierarchy` of samples that carry features, ``[L, H, W, C]`` float32 in each view.

    Returns:
        The same with ``[feats [N, C]]`` as second entry; padded cells have 0.5.
    """
    built = _build(view_layer_positions, view_layer_normals, view_layer_feats, num_level, resolution)
    if built is None or built.feats is None:
        return [[], [], [], []]
    lists = _as_lists(built)
    return [lists[0], [built.feats], *lists[1:]]


def _build(
    positions: Sequence[Tensor],
    normals: Sequence[Tensor],
    feats: Sequence[Tensor] | None,
    levels: int,
    resolution: int,
) -> Built | None:
    given = [len(positions), len(normals)] + ([] if feats is None else [len(feats)])
    if any(count != 3 for count in given) or levels < 1:
        found = f"{given[0]} views of positions, {given[1]} of normals"
        found += "" if feats is None else f", {given[2]} of features"
        log.warning("build_hierarchy: found %s and num_level %s, expected 3 views and 1 level or more.", found, levels)
        return None
    resolution = check_integer(resolution, 1, 4096, "resolution")
    levels = check_integer(levels, 1, 2**31 - 1, "num_level")
    check_levels(levels, resolution, "num_level")
    points = [_check(view, "view_layer_positions", 4) for view in positions]
    directions = [_check(view, "view_layer_normals", 3, like) for view, like in zip(normals, points, strict=True)]
    features = None
    if feats is not None:
        channels = as_tensor(feats[-1], "view_layer_feats").shape[-1]
        features = [_check(view, "view_layer_feats", channels, like) for view, like in zip(feats, points, strict=True)]
    return build(Views(points, directions, features), levels, resolution)


def _check(view: Tensor, name: str, channels: int, like: Tensor | None = None) -> Tensor:
    view = as_tensor(view, name)
    expected = "[layers, height, width" if like is None else str(list(like.shape[:3]))[:-1]
    if view.ndim != 4 or view.shape[-1] != channels or (like is not None and view.shape[:3] != like.shape[:3]):
        raise ValueError(f"{name}: found a view of {list(view.shape)}, expected {expected}, {channels}]")
    if like is not None and view.device != like.device:
        raise ValueError(f"{name}: is on {view.device} but the positions are on {like.device}")
    return view


def _as_lists(built: Built) -> list[list[Tensor]]:
    levels = built.levels
    return [
        [built.positions, built.original],
        [level.neighbors for level in levels],
        list(built.downsamples),
        [level.corners[0].to(torch.int64) for level in levels],
        [level.corners[1].to(torch.int64) for level in levels],
    ]
