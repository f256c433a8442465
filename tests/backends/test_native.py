"""Side by side with the compiled module, where one is installed (its CPU build is the reference, see arithmetic.py)."""

from __future__ import annotations

import pytest
import torch

import rasterizer
from rasterizer.backends.others import custom_rasterizer as native
from rasterizer.contract import scenes

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(bool(native.reason_against(CPU)), reason=f"native module {native.reason_against(CPU)}")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("prior", [None, -6.0, -1.5, 0.2])
def test_random_scenes(seed: int, prior: float | None) -> None:
    size = (0.05, 0.4, 1.2, 4.0)[seed % 4]
    pos, tri = scenes.soup(int(60 / size) + 5, size, seed=seed, behind=0.15 * (seed % 3))
    if seed % 5 == 4:
        pos[:, 2] *= torch.logspace(0, 6, len(pos))
    depth = None if prior is None else torch.full((75, 90), prior)
    ours = rasterizer.rasterize(pos, tri, (75, 90), depth_prior=depth, backend="torch")
    theirs = rasterizer.rasterize(pos, tri, (75, 90), depth_prior=depth, backend="custom_rasterizer")
    assert torch.equal(ours.findices, theirs.findices)
    torch.testing.assert_close(ours.barycentric, theirs.barycentric, rtol=0, atol=0, equal_nan=True)
    assert theirs.info.backend == "custom_rasterizer"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_never_reaches_it(bad: float) -> None:
    pos, tri = scenes.soup(30, 0.5, seed=1)
    pos[5, 0] = bad
    ours = rasterizer.rasterize(pos, tri, (64, 64), backend="torch")
    theirs = rasterizer.rasterize(pos, tri, (64, 64), backend="custom_rasterizer")
    assert torch.equal(ours.findices, theirs.findices)
    assert ours.info.invalid_faces == theirs.info.invalid_faces == 1
