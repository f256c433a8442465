"""What the kernels of :mod:`.rasterize` must pass before they are used on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ....contract import scenes
from ....runtime.devices import elsewhere
from ...eager.diff import rasterize as eager

_TOLERANCE = 1e-3
"""What rounding cannot explain, and any fault exceeds."""


def _scenes() -> dict[str, tuple[scenes.Scene, tuple[int, int]]]:
    """Triangles and image sizes that reach every branch."""
    return {
        "small": (scenes.soup(300, 0.1, seed=1, behind=0.1), (150, 170)),
        "medium": (scenes.soup(60, 0.6, seed=2), (150, 170)),
        "large and clipped": (scenes.soup(12, 2.5, seed=3, behind=0.2), (150, 170)),
        "many": (scenes.soup(40_000, 0.05, seed=4), (350, 370)),
        "tiles": (scenes.soup(60, 0.6, seed=5), (9, 2100)),
    }


def compare(rasterize: Callable[..., Any], backward: Callable[..., Tensor], device: torch.device) -> None:
    """Compare both steps with the eager path: every scene, then two images of parts of one and what lies behind.

    Raises:
        RuntimeError: a result differs.
    """
    rasterize, backward = (elsewhere(each, device, torch.device("cpu")) for each in (rasterize, backward))

    def check(
        name: str, pos: Tensor, tri: Tensor, size: tuple[int, int], ranges: Tensor | None, behind: Tensor | None
    ) -> Tensor:
        call = pos, tri, size, ranges, behind, True
        (want, want_db, want_depth), (got, got_db, got_depth) = eager.rasterize(*call), rasterize(*call)
        assert want_depth is not None
        wrong = int((got[..., 3] != want[..., 3]).sum()) + int((got_depth != want_depth).sum())
        if wrong:
            raise RuntimeError(f"self-test '{name}': {wrong} ids and depths wrong")
        _check(f"{name}': barycentrics", got[..., :3], want[..., :3])
        scale = 1.0 + want_db.abs()
        _check(f"{name}': derivatives", got_db / scale, want_db / scale)
        given = pos, tri, want, torch.ones_like(want), torch.ones_like(want_db)
        _check(f"{name}': gradients", backward(*given), eager.rasterize_backward(*given))
        return want_depth

    for name, ((points, faces), size) in _scenes().items():
        check(name, points[None], faces, size, None, None)
    (points, faces), size = _scenes()["large and clipped"]
    ranges = torch.tensor([[3, 5], [0, 99]], dtype=torch.int32)
    behind = check("parts", points, faces, size, ranges, None)
    check("behind", points, faces, size, ranges, behind)


def _check(what: str, got: Tensor, want: Tensor) -> None:
    """Whether all differences are small beside the largest value."""
    error = float((got - want).abs().max() / want.abs().max().clamp(min=1e-3))
    if not error <= _TOLERANCE:
        raise RuntimeError(f"self-test '{what} off by {error:.1e}")
