"""What concerns the kernels of rasterization alone; what they draw is the business of test_diff_rasterize.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rasterizer.backends.diff_interface import NO_LAYER
from rasterizer.backends.eager.diff import rasterize as eager
from rasterizer.backends.kernels.diff import coverage
from rasterizer.backends.kernels.diff import rasterize as kernels
from rasterizer.backends.kernels.diff.rasterize_check import compare
from rasterizer.contract import scenes
from rasterizer.contract.diff_rule import decode_ids
from rasterizer.gpu.platforms import LaunchError
from tests.support.emulator import emulated
from tests.support.guards import Guards

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
SOUPS = {
    "small": (scenes.soup(300, 0.1, seed=1, behind=0.1), (70, 90)),
    "medium": (scenes.soup(60, 0.6, seed=2), (130, 110)),
    "screen-sized": (scenes.soup(12, 2.5, seed=3, behind=0.2), (150, 170)),
    "two tiles": (scenes.soup(40, 1.0, seed=4), (5, 2060)),
}

Drawn = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(params=["emulated", "emulated backwards", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Where the kernels run, with nothing kept from other tests."""
    monkeypatch.setattr(coverage, "_kept", {})
    for cached in (coverage.plan_of, kernels._resolvers, kernels._gradients):
        cached.cache_clear()
    if request.param == "cuda":
        assert kernels.reason_against(CUDA) == ""
        yield CUDA
    else:
        with emulated(coverage.PROGRAM, kernels.PROGRAM, backwards=request.param == "emulated backwards"):
            yield CPU
    coverage.plan_of.cache_clear()


def _soup(name: str, device: torch.device) -> tuple[Tensor, Tensor, tuple[int, int]]:
    (pos, tri), size = SOUPS[name]
    return pos[None].to(device), tri.to(device), size


def _draw(pos: Tensor, tri: Tensor, size: tuple[int, int], ranges: Tensor | None = None) -> Drawn:
    return kernels._run(pos, tri, size, ranges, None, True)


def _same(one: Drawn, other: Drawn) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_self_test(device: torch.device) -> None:
    compare(kernels._run, kernels._run_backward, device)


@pytest.mark.parametrize("seed", range(12))
def test_layers_of_random_scenes(seed: int, device: torch.device) -> None:
    """The same triangles and depths as on the eager path, whatever vertices are, and gradients as finite as there."""
    random = torch.Generator().manual_seed(seed)
    size = float(10 ** (torch.rand(1, generator=random) * 2.5 - 1.5))
    pos, tri = scenes.soup(int(60 / size) + 3, size, seed=seed, behind=0.15 * (seed % 4))
    if seed % 3 == 0:
        pos[:, :2] = (pos[:, :2] * 16).round() / 16  # corners on centres of pixels, edges through them
    elif seed % 3 == 1:
        pos *= 10.0 ** (torch.rand((len(pos), 1), generator=random) * 8 - 4)
        for value, column in ((float("nan"), 0), (float("inf"), 3), (0.0, 3), (1e30, 1)):
            pos[torch.rand(len(pos), generator=random) < 0.02, column] = value
    tri = torch.cat((tri, tri.flip(0)[:50], tri[:9, [0, 0, 1]]))  # duplicates and degenerate ones
    pos, tri, behind = pos[None].to(device), tri.to(device), None
    steps = eager.rasterize_backward, kernels._run_backward
    for _ in range(3):
        call = pos, tri, ((64, 75), (3, 2100), (2053, 4))[seed % 3], None, behind, True
        want, got = eager.rasterize(*call), kernels._run(*call)
        assert torch.equal(got[0][..., 3], want[0][..., 3]) and torch.equal(got[2], want[2])
        upstream = torch.ones_like(want[0])
        finite = [step(pos, tri, want[0], upstream, upstream).isfinite() for step in steps]
        assert torch.equal(*finite)
        behind = want[2]


@pytest.mark.parametrize("queue", ["_RECORDS", "_REGIONS"])
@pytest.mark.parametrize("soup", SOUPS)
def test_full_queues_lose_nothing(queue: str, soup: str, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    want = _draw(*_soup(soup, device))
    monkeypatch.setattr(coverage, queue, 3)
    coverage.plan_of.cache_clear()
    coverage._kept.clear()
    _same(_draw(*_soup(soup, device)), want)


@pytest.mark.parametrize("soup", SOUPS)
@pytest.mark.parametrize(("many", "shared"), [(0, False), (0, True), (10**9, False)])
def test_who_draws_does_not_matter(
    soup: str, many: int, shared: bool, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread by itself, four together, or almost everything in the second kernel."""
    want = _draw(*_soup(soup, device))
    monkeypatch.setattr(coverage, "is_shared", lambda triangles, pixels: shared)
    monkeypatch.setattr(coverage, "small_box", lambda triangles, shared: 4 if many else 1 << 22)
    coverage.plan_of.cache_clear()
    _same(_draw(*_soup(soup, device)), want)


def test_passes(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images in groups, and each with triangles of its own."""
    pos, tri, size = _soup("medium", device)
    views = torch.cat([pos * torch.tensor([1.0, s, 1.0, 1.0], device=device) for s in (1.0, 0.5, -0.7, 0.2, 1.4)])
    ranges = torch.tensor([[0, 60], [20, 20], [7, 0], [59, 9], [-5, 30]], dtype=torch.int32)
    want, ranged = _draw(views, tri, size), _draw(pos[0], tri, size, ranges)
    for image in range(5):
        _same(tuple(values[image : image + 1] for values in want), _draw(views[image, None], tri, size))
        _same(tuple(values[image : image + 1] for values in ranged), _draw(pos[0], tri, size, ranges[image, None]))
    monkeypatch.setattr(coverage, "_PASS_PIXELS", 2 * size[0] * size[1])
    monkeypatch.setattr(coverage, "_RANGES", 1)
    coverage.plan_of.cache_clear()
    coverage._kept.clear()
    _same(_draw(views, tri, size), want)
    _same(_draw(pos[0], tri, size, ranges), ranged)
    upstream = torch.rand(want[0].shape, generator=torch.Generator().manual_seed(0)).to(device)
    whole = kernels._run_backward(views, tri, want[0], upstream, upstream)
    for image in range(5):
        part = slice(image, image + 1)
        alone = kernels._run_backward(views[part], tri, want[0][part], upstream[part], upstream[part])
        torch.testing.assert_close(whole[part], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_buffers_are_left_as_they_were(device: torch.device) -> None:
    pos, tri, size = _soup("small", device)
    _draw(*_soup("screen-sized", device))
    (before,) = coverage._kept.values()
    assert bool((before.words == -1).all())
    _draw(pos, tri, size)
    (after,) = coverage._kept.values()
    assert after.words is before.words and bool((after.words == -1).all())


def test_buffers_of_a_failed_launch_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_kept", {})
    monkeypatch.setattr(kernels.PROGRAM, "_reasons", {})
    pos, tri, size = _soup("small", CPU)
    with emulated(coverage.PROGRAM, kernels.PROGRAM):
        want = _draw(pos, tri, size)

        def fail(stream: int, arguments: object) -> None:
            raise LaunchError("no more launches")

        assert coverage._kept
        monkeypatch.setattr(kernels, "_resolvers", lambda program, plan: [fail])
        got = kernels.rasterize(pos, tri, size, None, None, True)
        assert not coverage._kept and "no more launches" in kernels.PROGRAM._reasons[None]  # type: ignore[index]
    assert torch.equal(got[0][..., 3], want[0][..., 3])


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("soup", SOUPS)
def test_nothing_outside_of_tensors_is_touched(soup: str, before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_kept", {})
    random = torch.Generator().manual_seed(0)
    pos, tri, size = _soup(soup, CPU)
    pos = pos.clone()
    pos[:, ::7, 0], pos[:, ::11, 3], pos[:, ::13, 2] = float("inf"), 0.0, float("nan")
    tri = torch.cat((tri, torch.randint(-(2**31), 2**31 - 1, (20, 3), generator=random, dtype=torch.int32), tri))
    ids = torch.randint(-(2**31), 2**31 - 1, (1, *size), generator=random, dtype=torch.int32).view(torch.float32)
    with emulated(coverage.PROGRAM, kernels.PROGRAM), Guards(before) as guards:
        pos, tri, ids = guards.guard((pos, tri, ids))
        rast, _, _ = _draw(pos, tri, size)
        assert int(rast[..., 3].max()) <= len(tri)
        rast = torch.cat((rast[..., :3], torch.where(ids > 1e-3, ids, rast[..., 3])[..., None]), -1)
        kernels._run_backward(pos, tri, rast, torch.ones_like(rast), torch.ones_like(rast))


def test_background(device: torch.device) -> None:
    """No triangle is drawn at all."""
    pos, tri, size = _soup("small", device)
    ranges = torch.tensor([[0, 0], [300, 5]], dtype=torch.int32)
    rast, db, depth = _draw(pos[0], tri, size, ranges)
    assert not rast.any() and not db.any() and bool((depth == NO_LAYER).all())
    assert kernels._run(pos[0], tri, size, ranges, None, False)[2] is None
    assert not kernels._run_backward(pos[0], tri, rast, torch.ones_like(rast), None).any()


def test_ids_that_float32_cannot_count(device: torch.device) -> None:
    first = (1 << 24) - 3
    tri = torch.zeros((first + 9, 3), dtype=torch.int32, device=device)
    pos, some, size = _soup("medium", device)
    tri[first:] = some[:9]
    ranges = torch.tensor([[first, 9]], dtype=torch.int32)
    rast, _, _ = _draw(pos[0], tri, size, ranges)
    want, _, _ = _draw(pos[0], some, size, torch.tensor([[0, 9]], dtype=torch.int32))
    ids = torch.where(want[..., 3] > 0, want[..., 3].int() + first, 0)
    assert int(ids.max()) > 1 << 24 and torch.equal(decode_ids(rast[..., 3]), ids)
    upstream = torch.ones_like(rast)
    got = kernels._run_backward(pos[0], tri, rast, upstream, upstream)
    expected = kernels._run_backward(pos[0], some, want, upstream, upstream)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("given", ["rast", "db", "z and ids"])
def test_upstream_gradients_apart(given: str, device: torch.device) -> None:
    pos, tri, size = _soup("medium", device)
    rast, _, _ = _draw(pos, tri, size)
    d_rast, d_db = torch.rand((2, *rast.shape), generator=torch.Generator().manual_seed(0)).to(device)
    if given == "z and ids":
        d_rast[..., :2] = 0.0
        assert not kernels._run_backward(pos, tri, rast, d_rast, None).any()
        return
    parts = (d_rast, None) if given == "rast" else (None, d_db)
    got, want = kernels._run_backward(pos, tri, rast, *parts), eager.rasterize_backward(pos, tri, rast, *parts)
    assert not got[..., 2].any() and got.abs().max() > 0
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4 * float(want.abs().max()))


def test_unaligned_tensors(device: torch.device) -> None:
    def shifted(values: Tensor) -> Tensor:
        return torch.empty(values.numel() + 1, device=device)[1:].view(values.shape).copy_(values)

    pos, tri, size = _soup("medium", device)
    want = _draw(pos, tri, size)
    _same(_draw(shifted(pos), tri, size), want)
    upstream = torch.ones_like(want[0])
    got = kernels._run_backward(shifted(pos), tri, shifted(want[0]), shifted(upstream), shifted(upstream))
    expected = kernels._run_backward(pos, tri, want[0], upstream, upstream)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.gpu
def test_captured_graph() -> None:
    assert kernels.reason_against(CUDA) == ""
    pos, tri, size = _soup("medium", CUDA)
    upstream = torch.ones((1, *size, 4), device=CUDA)

    def both() -> tuple[Tensor, Tensor]:
        rast = kernels._run(pos, tri, size, None, None, False)[0]
        return rast, kernels._run_backward(pos, tri, rast, upstream, upstream)

    with torch.cuda.stream(torch.cuda.Stream()):
        both()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        rast, gradient = both()
    for turned in (False, True, False):
        if turned:
            pos.mul_(torch.tensor([-1.0, 0.5, 1.0, 1.0], device=CUDA))
        graph.replay()
        want, expected = both()
        assert torch.equal(rast, want)
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.gpu
def test_nothing_waits_for_the_device() -> None:
    assert kernels.reason_against(CUDA) == ""
    pos, tri, size = _soup("medium", CUDA)
    ranges = torch.tensor([[0, 20], [20, 40]], dtype=torch.int32)
    for _ in range(2):  # the first time, buffers are made
        torch.cuda.set_sync_debug_mode("error")
        try:
            rast, db, depth = kernels._run(pos[0], tri, size, ranges, None, True)
            kernels._run(pos[0], tri, size, ranges, depth, False)
            kernels._run_backward(pos[0], tri, rast, rast, db)
        finally:
            torch.cuda.set_sync_debug_mode("default")
