"""Interpolation: the native contract, batches, what callers hand over, and gradients."""

from __future__ import annotations

import sys

import pytest
import torch

import rasterizer
from rasterizer.contract import scenes
from rasterizer.runtime.policy import GPU, force_policy

POS, TRI = scenes.soup(30, 0.6, seed=7)
FOUND, WEIGHTS = rasterizer.rasterize(POS, TRI, (40, 50))


def _plain(col: torch.Tensor) -> torch.Tensor:
    corners = col[TRI.long()[(FOUND.long() - 1).clamp(min=0)]]
    return (WEIGHTS[..., None] * corners).sum(dim=2)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_sum_over_corners_and_zero_background(channels: int) -> None:
    col = torch.randn(len(POS), channels)
    image = rasterizer.interpolate(col, FOUND, WEIGHTS, TRI)
    torch.testing.assert_close(image, _plain(col), rtol=1e-5, atol=1e-5)
    assert (FOUND == 0).any() and not image[FOUND == 0].any()


def test_native_shapes() -> None:
    col = torch.randn(1, len(POS), 3)
    assert rasterizer.interpolate(col, FOUND, WEIGHTS, TRI).shape == (1, 40, 50, 3)
    assert rasterizer.interpolate(col[0], FOUND, WEIGHTS, TRI).shape == (40, 50, 3)


def test_what_hunyuan3d_hands_over() -> None:
    col = torch.randn(1, len(POS), 3)
    joined = torch.cat((WEIGHTS, FOUND[..., None].float()), dim=-1)[None]  # its "rast_out" [1, H, W, 4]
    image = rasterizer.interpolate(col, joined[0, ..., 3], joined[0, ..., :3], TRI.long())
    assert torch.equal(image, rasterizer.interpolate(col, FOUND, WEIGHTS, TRI))


def test_batches_share_or_own_their_attributes() -> None:
    views = torch.stack((POS, POS * torch.tensor([0.5, 1, 1, 1])))
    found, weights = rasterizer.rasterize(views, TRI, (40, 50))
    col = torch.randn(2, len(POS), 3)
    own = rasterizer.interpolate(col, found, weights, TRI)
    shared = rasterizer.interpolate(col[0], found, weights, TRI)
    for view in range(2):
        assert torch.equal(own[view], rasterizer.interpolate(col[view], found[view], weights[view], TRI))
        assert torch.equal(shared[view], rasterizer.interpolate(col[0], found[view], weights[view], TRI))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    col = torch.randn(len(POS), 3)
    whole = rasterizer.interpolate(col, FOUND, WEIGHTS, TRI)
    monkeypatch.setattr("rasterizer.backends.eager.interpolate.WORKING_BYTES", 333 * (32 + 12 * 3))
    assert torch.equal(rasterizer.interpolate(col, FOUND, WEIGHTS, TRI), whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"col": torch.zeros(5, 3)}, ("tri", "5 vertices")),
        ({"col": torch.zeros(len(POS), 3, dtype=torch.int32)}, ("col", "int32")),
        ({"col": torch.zeros(4, len(POS), 3)}, ("col", "batch of 4")),
        ({"barycentric": torch.zeros(40, 50, 2)}, ("barycentric", "[40, 50, 2]", "[40, 50, 3]")),
        ({"findices": torch.zeros(7)}, ("findices", "[7]")),
    ],
)
def test_refusals(change: dict, words: tuple[str, ...]) -> None:
    arguments = {"col": torch.zeros(len(POS), 3), "findices": FOUND, "barycentric": WEIGHTS, "tri": TRI, **change}
    with pytest.raises(ValueError) as refusal:
        rasterizer.interpolate(**arguments)
    for word in words:
        assert word in str(refusal.value)


def test_gradient_of_attributes_and_weights() -> None:
    found = FOUND[::5, ::5]
    weights = WEIGHTS[::5, ::5].double().clone().requires_grad_()
    col = torch.randn(len(POS), 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c, w: rasterizer.interpolate(c, found, w, TRI), (col, weights))


def test_gradient_of_barycentrics() -> None:
    pos, tri = scenes.soup(6, 1.2, seed=3)
    found, _ = rasterizer.rasterize(pos, tri, (7, 9))
    assert (found > 0).sum() > 10
    double = pos.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: rasterizer.barycentrics(p, tri, found), (double,))


@pytest.mark.parametrize("batch", [False, True])
def test_rasterize_is_differentiable_without_changing_its_bits(batch: bool, policy: str) -> None:
    pos = torch.stack((POS, POS.flip(1).roll(1, 1).contiguous())) if batch else POS
    plain = rasterizer.rasterize(pos, TRI, (24, 30))
    leaf = pos.clone().requires_grad_()
    found, weights = rasterizer.rasterize(leaf, TRI, (24, 30))
    assert torch.equal(found, plain.findices) and torch.equal(weights, plain.barycentric)
    cost = torch.rand(weights.shape, generator=torch.Generator().manual_seed(0))
    (weights * cost).sum().backward()
    double = pos.double().requires_grad_()
    (rasterizer.barycentrics(double, TRI, found) * cost).sum().backward()
    assert double.grad.abs().max() > 0
    torch.testing.assert_close(leaf.grad, double.grad.float(), rtol=2e-2, atol=2e-3 * float(double.grad.abs().max()))


def test_gradient_ignores_degenerate_faces_behind_the_background() -> None:
    pos = torch.tensor(
        [[0.0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [-0.5, -0.5, 0, 1], [0.5, -0.5, 0, 1], [0, 0.5, 0, 1]]
    )
    leaf = pos.requires_grad_()
    _, weights = rasterizer.rasterize(leaf, torch.tensor([[0, 1, 2], [3, 4, 5]]), (16, 16))
    weights[..., 0].sum().backward()
    assert torch.isfinite(leaf.grad).all() and leaf.grad[3:].abs().max() > 0


@pytest.mark.parametrize("shape", [(0, 40, 50), (0, 50), (40, 0), (2, 0, 50), (2, 40, 0)])
@pytest.mark.parametrize("channels", [0, 3, 20])
def test_nothing_of_nothing(shape: tuple[int, ...], channels: int, policy: str) -> None:
    found, weights = torch.zeros(shape, dtype=torch.int32), torch.zeros((*shape, 3), dtype=torch.float64)
    col = torch.zeros(len(POS), channels)
    image = rasterizer.interpolate(col, found, weights, TRI)
    assert image.shape == (*shape, channels) and image.dtype == torch.float64
    leaf = col.clone().requires_grad_()
    rasterizer.interpolate(leaf, found, weights, TRI).sum().backward()
    assert leaf.grad.shape == col.shape and not leaf.grad.any()
    assert rasterizer.barycentrics(POS, TRI, found).shape == (*shape, 3)


def test_attributes_without_channels(policy: str) -> None:
    col = torch.zeros(len(POS), 0)
    assert rasterizer.interpolate(col, FOUND, WEIGHTS, TRI).shape == (40, 50, 0)
    leaf, weights = col.requires_grad_(), WEIGHTS.clone().requires_grad_()
    rasterizer.interpolate(leaf, FOUND, weights, TRI).sum().backward()
    assert leaf.grad.shape == col.shape and not weights.grad.any()


@pytest.mark.parametrize("gradient", [False, True])
def test_memory_that_runs_out(gradient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from rasterizer.backends import registry
    from rasterizer.backends.eager import interpolate as eager

    budgets = []

    def short(*arguments) -> torch.Tensor:
        budgets.append(arguments[-1] >> 20)
        if len(budgets) < 3:
            raise torch.OutOfMemoryError("out of memory")
        return interpolate(*arguments)

    way = "interpolate_out_of_place" if gradient else "interpolate"
    interpolate = getattr(eager, way)
    monkeypatch.setattr(sys.modules[rasterizer.interpolate.__module__], "interpolate_out_of_place", short)
    monkeypatch.setattr(registry, "usual", lambda operation, device: short)
    col = torch.randn(len(POS), 3, requires_grad=gradient)
    image = rasterizer.interpolate(col, FOUND, WEIGHTS, TRI)
    torch.testing.assert_close(image, _plain(col), rtol=1e-5, atol=1e-5)
    assert budgets == [0, 128, 16]


def test_on_the_device_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    module = sys.modules[rasterizer.interpolate.__module__]
    monkeypatch.setattr(module, "working_device", lambda device: asked.append(device) or device)
    rasterizer.interpolate(POS, FOUND, WEIGHTS, TRI)
    assert asked == [torch.device("cpu")]


def test_less_memory_makes_smaller_chunks() -> None:
    from rasterizer.backends.eager import stacks
    from rasterizer.backends.eager.interpolate import interpolate

    chunks = []
    whole = stacks.blender

    def watched(*arguments):
        def of(table):
            def blend(found, weights, out):
                chunks.append(len(found))
                return blend_from(table)(found, weights, out)

            return blend

        blend_from = whole(*arguments)
        return of

    col = torch.randn(1, len(POS), 20)
    with pytest.MonkeyPatch.context() as patch, force_policy(GPU):
        patch.setattr(stacks, "blender", watched)
        interpolate(col, FOUND[None], WEIGHTS[None], TRI, 300 * (32 + 12 * 20))
    assert max(chunks) == 300 and sum(chunks) == FOUND.numel()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.uint8, torch.int64, torch.float32, torch.float64])
def test_barycentrics_of_indices_of_any_dtype(dtype: torch.dtype) -> None:
    want = rasterizer.barycentrics(POS, TRI, FOUND)
    assert want.any() and torch.equal(rasterizer.barycentrics(POS, TRI, FOUND.to(dtype)), want)
    assert torch.equal(rasterizer.barycentrics(POS, TRI, FOUND.numpy()), want)


@pytest.mark.parametrize("wrong", [-1, 31, 10**6])
def test_barycentrics_of_a_face_that_is_not_there(wrong: int) -> None:
    found = FOUND.clone()
    found[3, 4] = wrong
    with pytest.raises(ValueError, match=rf"findices: values are .*{wrong}.*expected 0 \(background\) to 30"):
        rasterizer.barycentrics(POS, TRI, found)


def test_bytes_stand_for_zero_to_one() -> None:
    stored = torch.randint(256, (5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found, weights = torch.tensor([[1, 2, 0]]), torch.rand(1, 3, 3)
    tri = torch.tensor([[0, 1, 2], [2, 3, 4]])
    got = rasterizer.interpolate(stored, found, weights, tri)
    assert torch.equal(got, rasterizer.interpolate(stored.to(torch.float32) / 255, found, weights, tri))
