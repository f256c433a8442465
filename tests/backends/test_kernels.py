"""GPU kernels: the same bits as the eager path on a GPU, and the compile step for both vendors without one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import rasterizer
from rasterizer.backends import registry
from rasterizer.backends.kernels import interpolate as interpolation
from rasterizer.backends.kernels import rasterize as kernels
from rasterizer.contract import scenes
from rasterizer.contract.types import RasterOptions
from rasterizer.gpu import platforms, program
from rasterizer.hierarchy import kernels as gpu
from rasterizer.runtime.policy import PORTABLE, force_policy

CUDA = torch.device("cuda", 0)
SCENES = {
    "sub-pixel": (scenes.sphere(200_000), 100, 120),
    "dense": (scenes.sphere(200_000), 50, 60),
    "dense, behind the camera, with slivers": (scenes.soup(120_000, 0.05, seed=8, behind=0.3), 60, 60),
    "dense, large": (scenes.soup(20_000, 0.5, seed=9, behind=0.1), 20, 25),
    "small": (scenes.soup(20_000, 0.03, seed=1), 300, 200),
    "medium": (scenes.soup(3_000, 0.3, seed=2, behind=0.1), 500, 400),
    "screen-sized": (scenes.soup(60, 2.5, seed=3), 700, 900),
    "beyond the screen": (scenes.soup(40, 40.0, seed=4), 333, 777),
    "behind the camera": (scenes.soup(500, 0.8, seed=5, behind=0.4), 256, 256),
    "pixels on edges": (scenes.uv_grid(20_000), 1024, 1024),
    "one column": (scenes.soup(200, 1.0, seed=6), 64, 1),
}


def _same(one: rasterizer.Fragments, other: rasterizer.Fragments) -> None:
    assert int((one.findices.cpu() != other.findices.cpu()).sum()) == 0
    torch.testing.assert_close(
        one.barycentric.cpu(), other.barycentric.cpu(), rtol=0, atol=2e-7, equal_nan=True, check_device=False
    )


@pytest.mark.gpu
def test_kernels_are_what_auto_uses() -> None:
    assert kernels.reason_against(CUDA) == ""
    assert rasterizer.rasterize(*(t.to(CUDA) for t in scenes.sphere(100)), (32, 32)).info.backend == "kernels"


@pytest.mark.gpu
def test_golden_files(golden_raster: dict[str, np.ndarray]) -> None:
    pos, tri = torch.from_numpy(golden_raster["V"]).to(CUDA), torch.from_numpy(golden_raster["F"]).to(CUDA)
    size = int(golden_raster["height"]), int(golden_raster["width"])
    priors = [None, *(torch.from_numpy(prior).to(CUDA) for prior in golden_raster["depth_prior"])]
    for prior, findices, weights in zip(priors, golden_raster["findices"], golden_raster["barycentric"], strict=True):
        found, got = rasterizer.rasterize(pos, tri, size, depth_prior=prior, backend="kernels")
        np.testing.assert_array_equal(found.cpu().numpy(), findices)
        np.testing.assert_allclose(got.cpu().numpy(), weights, rtol=0, atol=2e-7)


@pytest.mark.gpu
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("prior", [None, -3.0, 0.2, float("nan")])
def test_scenes(scene: str, prior: float | None) -> None:
    (pos, tri), height, width = SCENES[scene]
    depth = None if prior is None else torch.full((height, width), prior)
    moved = None if depth is None else depth.to(CUDA)
    want = rasterizer.rasterize(pos, tri, (height, width), depth_prior=depth)
    _same(rasterizer.rasterize(pos.to(CUDA), tri.to(CUDA), (height, width), depth_prior=moved, backend="kernels"), want)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(30))
def test_random_scenes(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    size = float(10 ** (torch.rand(1, generator=random) * 2.5 - 1.5))
    pos, tri = scenes.soup(int(400 / size) + 3, size, seed=seed, behind=0.1 * (seed % 4))
    pos[torch.rand(len(pos), generator=random) < 0.01] = float("nan")
    if seed % 3 == 0:
        pos[:, :2] = (pos[:, :2] * 16).round() / 16  # corners on pixel centres, edges through them
    tri = torch.cat((tri, tri.flip(0)[:50], tri[:20, [0, 0, 1]]))  # duplicates and degenerate ones
    want = rasterizer.rasterize(pos, tri, (211, 307))
    got = rasterizer.rasterize(pos.to(CUDA), tri.to(CUDA).long(), (211, 307), backend="kernels")
    _same(got, want)
    assert got.info.invalid_faces == want.info.invalid_faces


@pytest.mark.gpu
def test_views_and_layouts() -> None:
    pos, tri = SCENES["medium"][0]
    views = torch.stack([pos * torch.tensor([1.0, s, 1.0, 1.0]) for s in (1.0, 0.5, -0.7)]).to(CUDA)
    tri = tri.to(CUDA)
    both = rasterizer.rasterize(views, tri, (130, 150), backend="kernels")
    _same(both, rasterizer.rasterize(views, tri, (130, 150), backend="torch"))
    shifted = torch.empty(views.numel() + 1, device=CUDA)[1:].view(views.shape).copy_(views)  # not on 16 bytes
    _same(rasterizer.rasterize(shifted, tri, (130, 150), backend="kernels"), both)
    _same(rasterizer.rasterize(views, tri.to(torch.int16), (130, 150), backend="kernels"), both)


@pytest.mark.gpu
@pytest.mark.parametrize("queue", ["_RECORDS", "_REGIONS"])
def test_full_queues_lose_nothing(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, queue, 3)
    monkeypatch.setattr(kernels, "_plan", kernels._plan.__wrapped__)
    for name in ("medium", "screen-sized"):
        (pos, tri), height, width = SCENES[name]
        pos, tri = pos.to(CUDA), tri.to(CUDA)
        got = rasterizer.rasterize(pos, tri, (height, width), backend="kernels")
        _same(got, rasterizer.rasterize(pos, tri, (height, width), backend="torch"))


@pytest.mark.gpu
def test_more_faces_than_nvdiffrast_can_count() -> None:
    pos, tri = (tensor.to(CUDA) for tensor in scenes.sphere(30_000_000))
    assert len(tri) > 1 << 24
    got = rasterizer.rasterize(pos, tri, (512, 512), backend="kernels")
    assert int(got.findices.max()) > 1 << 24
    _same(got, rasterizer.rasterize(pos, tri, (512, 512), backend="torch"))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32])
@pytest.mark.parametrize(("tables", "channels"), [(1, 3), (3, 1), (3, 17)])
def test_interpolation(tables: int, channels: int, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(channels)
    col = torch.rand(tables, 50, channels, generator=random)
    tri = torch.randint(50, (70, 3), generator=random)
    findices = torch.randint(71, (3, 33, 20), generator=random)
    weights = torch.rand(3, 33, 20, 3, generator=random).flip(2)
    assert not (interpolation.reason_against(CUDA) or interpolation._unsuited(col, findices, weights, tri))
    want = rasterizer.interpolate(col, findices, weights, tri)
    got = rasterizer.interpolate(col.to(CUDA), findices.to(CUDA, dtype), weights.to(CUDA), tri.to(CUDA))
    assert torch.equal(got.cpu(), want)
    leaf = col.to(CUDA).requires_grad_()
    rasterizer.interpolate(leaf, findices.to(CUDA), weights.to(CUDA), tri.to(CUDA)).sum().backward()
    assert leaf.grad.abs().sum() > 0


@pytest.mark.gpu
@pytest.mark.parametrize("scene", ["medium", "pixels on edges", "screen-sized"])
def test_without_fast_doubles(scene: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cards run whose float64 is slow; an H100 would never take it."""
    ours = kernels.PROGRAM
    defines = {**ours.defines, "FAST_DOUBLE": 0}
    slow = program.Program(
        ours.source, ours.kernels, "a test", structs=ours.structs, defines=defines, shared=ours.shared
    )
    assert slow.reason_against(CUDA) == ""
    monkeypatch.setattr(kernels, "PROGRAM", slow)
    (pos, tri), height, width = SCENES[scene]
    got = rasterizer.rasterize(pos.to(CUDA), tri.to(CUDA), (height, width), backend="kernels")
    _same(got, rasterizer.rasterize(pos, tri, (height, width)))


@pytest.mark.gpu
def test_nothing_is_left_of_earlier_calls() -> None:
    scenes_ = [SCENES[name] for name in ("medium", "small", "screen-sized", "one column")]
    want = [rasterizer.rasterize(pos.to(CUDA), tri.to(CUDA), size, backend="torch") for (pos, tri), *size in scenes_]
    for turn in range(3 * kernels._EPOCHS):  # past the clearing of the z-buffer
        (pos, tri), *size = scenes_[turn % 4]
        got = rasterizer.rasterize(pos.to(CUDA), tri.to(CUDA), size, backend="kernels")
        if turn % 7 == 0 or kernels._kept[0, torch.cuda.current_stream().cuda_stream].epoch > kernels._EPOCHS - 4:
            _same(got, want[turn % 4])


@pytest.mark.gpu
def test_threads_share_a_stream() -> None:
    (pos, tri), height, width = SCENES["medium"]
    turned = [(pos * torch.tensor([1.0, scale, 1.0, 1.0])).to(CUDA) for scale in (1.0, 0.7, -0.4, 0.1)]
    faces = tri.to(CUDA)
    want = [rasterizer.rasterize(view, faces, (height, width), backend="torch") for view in turned]

    def work(number: int) -> None:
        for _ in range(50):
            _same(rasterizer.rasterize(turned[number], faces, (height, width), backend="kernels"), want[number])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.mark.gpu
def test_stream_and_graph() -> None:
    (pos, tri), height, width = SCENES["small"]
    pos, tri = pos.to(CUDA), tri.to(CUDA)
    want = rasterizer.rasterize(pos, tri, (height, width), backend="kernels")
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        _same(rasterizer.rasterize(pos, tri, (height, width), backend="kernels"), want)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # fails if anything synchronised or ran on another stream
        got = rasterizer.rasterize(pos, tri, (height, width), backend="kernels")
    for move in (0.0, 0.3, 50.0):  # the last one leaves an empty screen, whatever was drawn before
        pos[:, 0] += move
        graph.replay()
        torch.cuda.synchronize()
        _same(got, rasterizer.rasterize(pos, tri, (height, width), backend="kernels"))
    assert not got.findices.any()


@pytest.mark.gpu
def test_a_failed_launch_falls_back(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    (pos, tri), height, width = SCENES["medium"]
    pos, tri = pos.to(CUDA), tri.to(CUDA)
    want = rasterizer.rasterize(pos, tri, (height, width), backend="torch")
    kernels.reason_against(CUDA)
    monkeypatch.setitem(kernels.PROGRAM._reasons, 0, "")
    monkeypatch.setattr(kernels, "_plan", _refused)
    got = rasterizer.rasterize(pos, tri, (height, width))
    assert got.info.backend == "torch" and "cuLaunchKernel: no" in caplog.text
    _same(got, want)
    assert "cuLaunchKernel: no" in kernels.reason_against(CUDA)


@pytest.mark.gpu
def test_a_failed_launch_interpolates_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    col, findices, weights = torch.rand(5, 3), torch.ones(4, 4, dtype=torch.int32), torch.rand(4, 4, 3)
    tri = torch.tensor([[0, 1, 2]])
    interpolation.PROGRAM.reason_against(CUDA, interpolation._self_test)
    monkeypatch.setitem(interpolation.PROGRAM._reasons, 0, "")
    monkeypatch.setattr(program.Loaded, "launcher", _refused)
    got = rasterizer.interpolate(*(tensor.to(CUDA) for tensor in (col, findices, weights, tri)))
    assert torch.equal(got.cpu(), rasterizer.interpolate(col, findices, weights, tri))
    assert "cuLaunchKernel: no" in interpolation.PROGRAM.reason_against(CUDA, interpolation._self_test)


def _refused(*_: object) -> None:
    raise platforms.LaunchError("cuLaunchKernel: no")


@pytest.mark.gpu
def test_wrong_pixels_are_noticed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real = kernels._run

    def wrong(*arguments):
        findices, weights, info = real(*arguments)
        return findices.roll(1), weights, info

    monkeypatch.setattr(kernels, "_run", wrong)
    monkeypatch.setattr(kernels.PROGRAM, "_loaded", {})
    assert (
        "self-test" in kernels.PROGRAM._prepare(CUDA, kernels._self_test)
        and "using PyTorch operators instead" in caplog.text
    )


@pytest.mark.gpu
def test_portable_policy_does_not_change_the_kernels() -> None:
    (pos, tri), height, width = SCENES["small"]
    with force_policy(PORTABLE):
        got = rasterizer.rasterize(pos.to(CUDA), tri.to(CUDA), (height, width), backend="kernels")
    _same(got, rasterizer.rasterize(pos, tri, (height, width)))


def test_without_a_gpu_the_reason_is_said() -> None:
    assert kernels.reason_against(torch.device("cpu")) == "for CUDA and ROCm devices, not cpu"
    assert registry.BACKENDS[0].name == "kernels"


class _Silent:
    """A platform whose kernels do nothing, to see what would be launched."""

    def __init__(self) -> None:
        self.grids: list[tuple[int, int, int]] = []

    def launcher(self, function: object, blocks: tuple[int, int, int], threads: int):
        return lambda stream, arguments: self.grids.append(blocks)


def _silent(owner: program.Program, monkeypatch: pytest.MonkeyPatch) -> _Silent:
    found = _Silent()
    monkeypatch.setitem(owner._loaded, None, program.Loaded(found, dict.fromkeys(owner.kernels), 8))
    return found


def test_a_budget_that_is_given_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    _silent(kernels.PROGRAM, monkeypatch)
    launched = []

    def launch(plan, pos, tri, prior, options, results=None):
        launched.append((len(pos.values), plan.memory + 8 * plan.pixels))
        return *(results or plan.results(options.barycentrics)), 0

    monkeypatch.setattr(kernels, "_launch", launch)
    pos, tri = scenes.soup(200_000, 0.1)
    views = pos[None].expand(8, -1, -1)
    for budget in (0, 128 << 20, 16 << 20):
        launched.clear()
        found, _, _ = kernels._run(views, tri, RasterOptions((512, 512), budget=budget))
        assert found.shape == (8, 512, 512) and sum(count for count, _ in launched) == 8
        most = max(size for _, size in launched)
        assert len(launched) == 1 if not budget else most <= budget
    assert len(launched) > 1


@pytest.mark.parametrize("empty", ["findices", "col", "channels", "tri"])
def test_an_empty_grid_is_not_launched(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = _silent(interpolation.PROGRAM, monkeypatch)
    col, found, weights = torch.ones(1, 3, 2), torch.zeros(1, 4, 5, dtype=torch.int32), torch.zeros(1, 4, 5, 3)
    tri = torch.tensor([[0, 1, 2]])
    if empty == "findices":
        found, weights = found[:, :0], weights[:, :0]
    elif empty == "tri":
        tri = tri[:0]
    elif empty == "col":
        col, tri = col[:, :0], tri[:0]
    else:
        col = col[..., :0]
    image = interpolation.interpolate(col, found, weights, tri)
    assert image.shape == (*found.shape, col.shape[2]) and not image.any() and not silent.grids


def test_the_hierarchy_launches_no_empty_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = _silent(gpu.PROGRAM, monkeypatch)
    monkeypatch.setattr("rasterizer.gpu.program.current_stream", lambda number: 0)
    launch = gpu._launcher(torch.device("cpu"), gpu._Keys())
    launch("mark", 0)
    launch("mark", 257, 3)
    assert silent.grids == [(2, 3, 1)]


@pytest.mark.slow
def test_a_plan_of_no_real_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _silent(kernels.PROGRAM, monkeypatch)
    pos, tri = scenes.soup(5, 0.5)
    call = kernels.PROGRAM, kernels.Vertices(pos), tri, RasterOptions((8, 8))
    with FakeTensorMode(), pytest.raises(RuntimeError, match="FakeTensor"):
        kernels._plan_of(*call)
    assert type(kernels._plan_of(*call).image) is torch.Tensor
