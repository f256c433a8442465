"""The shaders give the bits of the eager path: on golden files, on scenes, on numbers of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import rasterizer
from rasterizer.backends.eager import rasterize as eager
from rasterizer.backends.vulkan import check
from rasterizer.backends.vulkan.session import Card
from rasterizer.contract import scenes
from rasterizer.contract.types import RasterOptions

SCENES = {
    "sub-pixel": (scenes.sphere(20_000), (40, 50)),
    "small": (scenes.soup(2_000, 0.03, seed=1), (100, 80)),
    "medium": (scenes.soup(200, 0.3, seed=2, behind=0.1), (120, 140)),
    "screen-sized": (scenes.soup(20, 2.5, seed=3), (140, 130)),
    "beyond the screen": (scenes.soup(20, 40.0, seed=4), (77, 133)),
    "behind the camera": (scenes.soup(100, 0.8, seed=5, behind=0.4), (96, 96)),
    "pixels on edges": (scenes.uv_grid(1_000), (128, 128)),
    "one column": (scenes.soup(100, 1.0, seed=6), (64, 1)),
}


def assert_same(card: Card, pos: Tensor, tri: Tensor, options: RasterOptions) -> None:
    """Bits of both, and what they left out."""
    want, weights, told = eager.rasterize(pos, tri, options)
    found, got, info = card.rasterizer.draw(pos, tri, options)
    if pos.ndim == 2:
        found, got = found[0], got[0]
    assert int((found != want).sum()) == 0
    assert check.same(got, weights)
    assert int(info.invalid) == int(told.invalid)


def test_golden_files(card: Card, golden_raster: dict[str, np.ndarray]) -> None:
    pos, tri = torch.from_numpy(golden_raster["V"]), torch.from_numpy(golden_raster["F"])
    size = int(golden_raster["height"]), int(golden_raster["width"])
    priors = [None, *(torch.from_numpy(prior) for prior in golden_raster["depth_prior"])]
    for prior, findices, weights in zip(priors, golden_raster["findices"], golden_raster["barycentric"], strict=True):
        found, got = rasterizer.rasterize(pos, tri, size, depth_prior=prior, backend="vulkan")
        np.testing.assert_array_equal(found.numpy(), findices)
        np.testing.assert_array_equal(got.numpy(), weights)


@pytest.mark.parametrize("scene", SCENES)
def test_scenes(card: Card, scene: str) -> None:
    (pos, tri), size = SCENES[scene]
    for prior in (None, 0.2, float("nan")):
        depth = None if prior is None else torch.full((1, *size), prior)
        assert_same(card, pos[None], tri, RasterOptions(size, depth_prior=depth))


@pytest.mark.parametrize("seed", range(12))
def test_random_scenes(card: Card, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    size = float(10 ** (torch.rand(1, generator=random) * 2.5 - 1.5))
    pos, tri = scenes.soup(int(40 / size) + 3, size, seed=seed, behind=0.1 * (seed % 4))
    pos[torch.rand(len(pos), generator=random) < 0.02] = float("nan")
    if seed % 3 == 0:
        pos[:, :2] = (pos[:, :2] * 16).round() / 16  # corners on pixel centres, edges through them
    tri = torch.cat((tri, tri.flip(0)[:50], tri[:20, [0, 0, 1]]))  # duplicates and degenerate ones
    assert_same(card, pos, tri.long(), RasterOptions((61, 107)))


@pytest.mark.parametrize("seed", range(12))
def test_numbers_of_any_size(card: Card, seed: int) -> None:
    """Denormals, overflow, areas of which a quotient is denormal, thresholds as small."""
    random = torch.Generator().manual_seed(seed)
    pos = torch.rand(180, 4, generator=random, dtype=torch.float64) * 2 - 1

    def powers(low: int, high: int, *shape: int) -> Tensor:
        return 2.0 ** torch.randint(low, high, shape, generator=random, dtype=torch.float64)

    if seed % 4 == 0:
        pos *= powers(-149, 128, 180, 4)
    elif seed % 4 == 1:  # moderate quotients of tiny and huge numbers
        pos *= powers(-149, 120, 180, 1) * 4
    elif seed % 4 == 2:  # far outside
        pos[:, :2] *= powers(8, 66, 180, 1)
        pos[:, 3] = pos[:, 3].abs() + 0.1
    else:  # depths of 0 at corners
        pos[:, 2] = torch.where(torch.rand(180, generator=random) < 0.5, -1.00002, pos[:, 2] * 1e-3 - 1)
        pos[:, 3] = 1
    size = ((33, 65), (17, 1), (64, 64))[seed % 3]
    prior = torch.rand(1, *size, generator=random) * 4 - 3 if seed % 2 else None
    truncation = (1e-6, 1e-40, -1e-41)[seed // 2 % 3]
    tri = torch.arange(180).view(60, 3)
    assert_same(card, pos.float(), tri, RasterOptions(size, prior, occlusion_truncation=truncation))


def test_views_bands_and_full_queues(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    (pos, tri), size = SCENES["medium"]
    views = torch.stack([pos * torch.tensor([1.0, s, 1.0, 1.0]) for s in (1.0, 0.5, -0.7)])
    prior = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) - 0.5
    monkeypatch.setattr(card.rasterizer, "band", 37 * size[1])
    monkeypatch.setattr(card.rasterizer, "capacity", 30)
    assert_same(card, views, tri, RasterOptions(size))
    assert card.rasterizer.capacity > 30  # from the next call on, this mesh's regions have room
    monkeypatch.setattr(card.rasterizer, "capacity", 30)
    assert_same(card, views, tri.to(torch.int16), RasterOptions(size, depth_prior=prior))


def test_a_queue_is_no_larger_than_what_shaders_see(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    (pos, tri), size = SCENES["screen-sized"]
    tri = tri.repeat(300, 1)
    monkeypatch.setattr(card.rasterizer, "band", 37 * size[1])
    monkeypatch.setattr(card.rasterizer, "capacity", 30)
    monkeypatch.setattr(card.gpu, "most_bound", 4 * size[0] * size[1])  # its regions would need more
    for _ in range(2):
        assert_same(card, pos, tri, RasterOptions(size))
        assert card.rasterizer.capacity == card.gpu.most_bound // 8


def test_modes_and_tensors_are_taken_as_they_come(card: Card) -> None:
    (pos, tri), size = SCENES["screen-sized"]
    want = rasterizer.rasterize(pos, tri, size, backend="torch")
    strided = torch.empty(len(pos), 8)[:, ::2].copy_(pos)
    for mode in ("auto", "tiled", "batched"):
        got = rasterizer.rasterize(strided, tri, size, mode=mode, backend="vulkan")
        assert torch.equal(got.findices, want.findices) and check.same(got.barycentric, want.barycentric)
    leaf = pos.clone().requires_grad_()
    rasterizer.rasterize(leaf, tri, size, backend="vulkan").barycentric[..., 0].sum().backward()
    assert leaf.grad is not None and leaf.grad.abs().sum() > 0


def test_vertices_of_integers(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    (pos, tri), size = SCENES["medium"]
    integers = (pos[:, :3] * 2**13).round().clamp(-32768, 32767).to(torch.int16)
    matrices = torch.diag(torch.tensor([2.0**-13, 2.0**-13, 2.0**-13, 1.0])).expand(2, 4, 4) * torch.tensor(
        [[[1.0]], [[0.5]]]
    )
    matrices[1, 3, 3] = 1.0
    prior = torch.rand(2, *size, generator=torch.Generator().manual_seed(0)) - 0.5
    want = rasterizer.rasterize_quantized(integers, matrices, tri, size, depth_prior=prior, backend="torch")
    monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "vulkan")
    got = rasterizer.rasterize_quantized(integers, matrices, tri, size, depth_prior=prior)
    assert got.info.backend == "vulkan" and torch.equal(got.findices, want.findices) and want.findices.any()
    assert check.same(got.barycentric, want.barycentric)


@pytest.mark.parametrize(("tables", "channels"), [(1, 3), (3, 1), (3, 17)])
def test_interpolation(card: Card, tables: int, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rasterizer.backends.vulkan.pixels.BAND", 500)
    random = torch.Generator().manual_seed(channels)
    scale = 2.0 ** torch.randint(-149, 127, (tables, 50, channels), generator=random)
    col = torch.randn(tables, 50, channels, generator=random) * scale
    col[0, 7] = float("inf")
    tri = torch.randint(50, (70, 3), generator=random)
    findices = torch.randint(71, (3, 33, 20), generator=random)
    weights = torch.rand(3, 33, 20, 3, generator=random).flip(2)
    weights[0, 5] *= 1e-39
    want = rasterizer.interpolate(col, findices, weights, tri)
    monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "vulkan")
    monkeypatch.setattr("rasterizer.backends.vulkan.interpolate.by_operators", None)
    for dtype in (torch.int32, torch.float32):
        assert check.same(rasterizer.interpolate(col, findices.to(dtype), weights, tri), want)


def test_self_test_finds_what_is_wrong(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    check.self_test(card.rasterizer, card.interpolator)
    torch.set_default_dtype(torch.float64)  # as a user may
    try:
        check.self_test(card.rasterizer, card.interpolator)
    finally:
        torch.set_default_dtype(torch.float32)
    real = card.interpolator.interpolate
    monkeypatch.setattr(card.interpolator, "interpolate", lambda *arguments: real(*arguments) * (1 + 2**-23))
    with pytest.raises(RuntimeError, match="interpolated values"):
        check.self_test(card.rasterizer, card.interpolator)
    drawn = card.rasterizer.draw

    def wrong(*arguments):
        findices, weights, info = drawn(*arguments)
        return findices.roll(1), weights, info

    def wrong_in_the_second_view(*arguments):
        findices, weights, info = drawn(*arguments)
        findices[1:] = findices[1:].flip(1)
        return findices, weights, info

    monkeypatch.setattr(card.interpolator, "interpolate", real)
    monkeypatch.setattr(card.rasterizer, "draw", wrong_in_the_second_view)
    capacity, band = card.rasterizer.capacity, card.rasterizer.band
    with pytest.raises(RuntimeError, match="'pieces'.*another face"):
        check.self_test(card.rasterizer, card.interpolator)
    assert (card.rasterizer.capacity, card.rasterizer.band) == (capacity, band)
    monkeypatch.setattr(card.rasterizer, "draw", wrong)
    with pytest.raises(RuntimeError, match="'small'.*another face"):
        check.self_test(card.rasterizer, card.interpolator)
