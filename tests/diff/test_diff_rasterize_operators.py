"""What concerns rasterization by operators alone: its arithmetic, its policies, its memory."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from rasterizer.backends.diff_interface import NO_LAYER
from rasterizer.backends.eager.diff import backward, exact, rasterize, resolve
from rasterizer.contract import scenes
from rasterizer.contract.diff_reference import _to_float32, rasterize_reference
from rasterizer.contract.diff_rule import DEPTH_MOST, DEPTH_ORIGIN, DEPTH_SCALE
from rasterizer.runtime.policy import CPU, force_policy
from tests.support.measures import peak_memory
from tests.support.policies import POLICIES

SIZE = 384
MESHES = {
    "400 k faces": scenes.sphere(400_000),
    "large faces": scenes.soup(300, 1.5),
    "clipped": scenes.soup(1000, 0.05, behind=0.1),
    "300 faces": scenes.sphere(300),
}
SOUP = scenes.soup(150, 0.6, seed=3, behind=0.15)


def test_depth_is_a_fused_multiply_add() -> None:
    random = np.random.RandomState(0)
    w = np.exp(random.standard_normal(4000) * 5).astype(np.float32)
    z = (w * np.clip(random.uniform(-1, 1, 4000) * 10.0 ** random.uniform(-12, 0, 4000), -1, 1)).astype(np.float32)
    z[::7], z[1::7], z[2::7] = w[::7], -w[1::7], 0.0
    # Products that end halfway between two depths, and a little beside.
    w[5::7], z[5::7] = 0.5, random.choice([2.0**-24, -(2.0**-25), 3 * 2.0**-26, 2.0**-24 + 2.0**-40], len(z[5::7]))
    reciprocal = np.float32(1) / w
    found = exact.vertex_depth(torch.from_numpy(z), torch.from_numpy(reciprocal))
    scaled = z * np.float32(DEPTH_SCALE)
    for got, a, b in zip(found.tolist(), scaled.tolist(), reciprocal.tolist(), strict=True):
        assert got == int(_to_float32(Fraction(a) * Fraction(b) + DEPTH_ORIGIN))
    assert found.min() > 17000 and found.max() < DEPTH_MOST


def test_depth_beyond_the_view_is_clamped() -> None:
    depth = exact.vertex_depth(torch.tensor([1e28, -1e28, 7.0, -7.0, 1e-37]), torch.tensor([1e8, 1e8, 1.0, 1.0, 1e38]))
    assert depth.tolist() == [DEPTH_MOST, 0.0, DEPTH_MOST, 0.0, DEPTH_MOST]


@pytest.mark.parametrize("float64", [True, False])
def test_quotients_are_exact(float64: bool) -> None:
    random = np.random.RandomState(1)
    area = torch.from_numpy(np.where(random.rand(50_000) < 0.3, random.randint(1, 99, 50_000), 0))
    area = torch.where(area > 0, area, torch.from_numpy(random.randint(1, 2**30 + 1, 50_000)))
    whole = torch.from_numpy(random.randint(-(2**32) + 2, 2**32 - 2, 50_000))
    whole[::5] = torch.from_numpy(random.randint(-3, 3, 10_000))
    rest = torch.from_numpy((random.rand(50_000) * area.numpy()).astype(np.int64)).clamp_(max=area - 1)
    rest[::4], rest[1::4] = 0, area[1::4] - 1
    assert torch.equal(exact.quotient(whole * area + rest, area, float64), whole)


def test_differences_of_products_cancel_without_loss() -> None:
    random = torch.Generator().manual_seed(2)
    a, b, nearly, also = (torch.randn(20_000, generator=random) for _ in range(4))
    c, d = a * (1 + 1e-6 * nearly), b * (1 + 1e-6 * also)
    for first in (a, 4100, 70_001):
        third = c if isinstance(first, Tensor) else first * c / a
        wanted = (first.double() if isinstance(first, Tensor) else first) * b.double() - third.double() * d.double()
        found = exact.difference_of_products(first, b, third, d)
        torch.testing.assert_close(found.double(), wanted, rtol=2.0**-23, atol=0.0)


@pytest.mark.parametrize("size", [(61, 83), (300, 330), (4, 2070)])
@pytest.mark.parametrize("looks", [True, False])
def test_policies_show_the_same_triangles(size: tuple[int, int], looks: bool, policy: str) -> None:
    """Also where a batch has few triangles and a chunk few pixels."""
    pos, tri = SOUP
    want = rasterize_reference(pos.numpy(), tri.numpy(), *size)
    chosen = POLICIES[policy] or CPU
    chosen = chosen if looks else replace(chosen, batch=64, chunk=1 << 10)
    with force_policy(chosen):
        rast, _, depth = rasterize.rasterize(pos[None], tri, size, None, None, True)
    assert depth is not None
    assert np.array_equal(rast[0, ..., 3].numpy(), want.ids)
    assert np.array_equal(depth[0].numpy(), want.depth)


def test_planes_of_triangles_and_of_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is made of all triangles, or where these are many of what each pixel shows."""
    pos, tri = SOUP
    call = pos[None], tri, (64, 64), None, None, False
    first, second, _ = rasterize.rasterize(*call)
    monkeypatch.setattr(resolve.planes, "BYTES_PER_TRIANGLE", 1 << 60)
    again = rasterize.rasterize(*call)
    assert torch.equal(first, again[0]) and torch.equal(second, again[1])


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES)
def test_memory_follows_the_budget(mesh: str, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = 24 << 20
    for module in (rasterize, backward):
        monkeypatch.setattr(module, "default_budget", lambda device: budget)
    pos, tri = MESHES[mesh]
    call = pos[None], tri, (SIZE, SIZE), None, None, False
    fixed = SIZE * SIZE * (32 + 4 + 4 + 12 + 13) + len(pos) * (16 + 13) + len(tri) * 12
    peak = peak_memory(lambda: rasterize.rasterize(*call))
    assert fixed // 3 < peak < budget + fixed
    rast, _, _ = rasterize.rasterize(*call)
    fixed = SIZE * SIZE * 8 + len(pos) * (16 + 12 * 3 + 16) + len(tri) * 12
    peak = peak_memory(lambda: backward.rasterize_backward(pos[None], tri, rast, rast, rast))
    assert fixed // 3 < peak < budget + fixed


def test_an_empty_pixel_is_behind_everything() -> None:
    pos, tri = SOUP
    behind = torch.full((1, 20, 20), NO_LAYER, dtype=torch.int32)
    rast, _, depth = rasterize.rasterize(pos[None], tri, (20, 20), None, behind, True)
    assert not rast.any() and depth is not None and torch.equal(depth, behind)
