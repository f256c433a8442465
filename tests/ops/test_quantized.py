"""Rasterizing vertices that are stored as integers: the bits of the same numbers as floats."""

from __future__ import annotations

import pytest
import torch

import rasterizer
from rasterizer.backends.kernels import quantized as kernels
from rasterizer.contract import scenes
from rasterizer.contract.quantized import to_clip
from rasterizer.contract.types import RasterOptions
from rasterizer.runtime.policy import PORTABLE, force_policy
from tests.support.emulator import emulated
from tests.support.guards import Guards

STEPS = 4096


def scene(size: float = 0.3, count: int = 300, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions, three views, and faces; the last view has vertices before its near plane."""
    pos, tri = scenes.soup(count, size, seed=seed)
    positions = (pos[:, :3] * STEPS).round().clamp(-32768, 32767).to(torch.int16)
    positions[:4] = torch.tensor([-32768, 32767, 0])[torch.randint(3, (4, 3))].to(torch.int16)
    straight = torch.eye(4)
    straight[:3, :3] /= STEPS
    random = torch.Generator().manual_seed(seed)
    turned = torch.randn(4, 4, generator=random)
    turned[3] = torch.tensor([0.3, 0.2, 0.7, 0.9])
    turned[:, :3] /= STEPS
    return positions, torch.stack((straight, straight.flip(0)[[3, 2, 1, 0]], turned)), tri


def same(one: rasterizer.Fragments, other: rasterizer.Fragments) -> None:
    assert torch.equal(one.findices.cpu(), other.findices.cpu())
    assert torch.equal(one.barycentric.cpu(), other.barycentric.cpu())
    assert one.info.invalid_faces == other.info.invalid_faces


@pytest.mark.parametrize("size", [0.02, 0.3, 1.5])
def test_the_bits_are_those_of_the_same_numbers_as_floats(size: float) -> None:
    positions, matrices, tri = scene(size)
    clip = to_clip(positions, matrices)
    drawn = rasterizer.rasterize_quantized(positions, matrices, tri, (90, 110))
    same(drawn, rasterizer.rasterize(clip, tri, (90, 110)))
    assert drawn.info.invalid_faces > 0 and (drawn.findices[:2] > 0).flatten(1).any(1).all()
    single = rasterizer.rasterize_quantized(positions, matrices[2], tri, (90, 110))
    assert torch.equal(single.findices, drawn.findices[2]) and single.barycentric.shape == (90, 110, 3)
    prior = torch.full((3, 90, 110), 0.1)
    behind = rasterizer.rasterize_quantized(positions, matrices, tri, (90, 110), depth_prior=prior)
    same(behind, rasterizer.rasterize(clip, tri, (90, 110), depth_prior=prior))
    with force_policy(PORTABLE):
        same(rasterizer.rasterize_quantized(positions, matrices, tri, (90, 110), mode="tiled"), drawn)


def test_the_formula() -> None:
    positions, matrices, _ = scene()
    clip = to_clip(positions, matrices)
    q = torch.cat((positions.double(), torch.ones(len(positions), 1, dtype=torch.float64)), dim=1)
    want = (q @ matrices.double().transpose(1, 2)).float()
    before = want[..., 2] < -want[..., 3]
    certain = (want[..., 2] + want[..., 3]).abs() > 1e-5
    assert torch.equal(clip[..., 3].isnan()[certain], before[certain]) and before.any()
    torch.testing.assert_close(clip[..., :3], want[..., :3], rtol=1e-5, atol=1e-5)
    inside = ~clip[..., 3].isnan()
    torch.testing.assert_close(clip[..., 3][inside], want[..., 3][inside], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [0.02, 0.3, 1.5])
@pytest.mark.parametrize("long", [False, True])
def test_kernels(size: float, long: bool) -> None:
    positions, matrices, tri = scene(size, seed=3)
    tri = tri.long() if long else tri
    for views in (matrices, matrices[2:]):
        options = RasterOptions((70, 90), depth_prior=torch.full((len(views), 70, 90), -0.2))
        want, weights, info = kernels.eager.rasterize_quantized(positions, views, tri, options)
        with emulated(kernels.PROGRAM), Guards(before=long) as guards:  # nothing is touched beside what is given
            found, got, account = kernels._run(*guards.guard([positions, views, tri]), options)
        assert torch.equal(found, want) and int(account.invalid) == int(info.invalid)
        torch.testing.assert_close(got, weights, rtol=0, atol=2e-7)


def test_kernels_draw_views_in_groups_where_memory_is_short() -> None:
    positions, matrices, tri = scene(0.3, seed=4)
    options = RasterOptions((70, 90), budget=70 * 90 * 8 * 2)
    want, _, info = kernels.eager.rasterize_quantized(positions, matrices, tri, options)
    with emulated(kernels.PROGRAM):
        found, _, account = kernels._run(positions, matrices, tri, options)
    assert torch.equal(found, want) and int(account.invalid) == int(info.invalid)


@pytest.mark.gpu("cuda")
@pytest.mark.parametrize("size", [0.02, 0.3, 1.5])
def test_kernels_on_a_gpu(size: float) -> None:
    scene_of = scene(size, 3000)
    drawn = rasterizer.rasterize_quantized(*(each.cuda() for each in scene_of), (333, 444))
    assert drawn.info.backend == "kernels"
    want = rasterizer.rasterize_quantized(*scene_of, (333, 444))
    assert torch.equal(drawn.findices.cpu(), want.findices)
    torch.testing.assert_close(drawn.barycentric.cpu(), want.barycentric, rtol=0, atol=2e-7)


def test_nothing_to_draw() -> None:
    positions, matrices, tri = scene()
    for empty in ((positions, matrices, tri[:0]), (positions, matrices[:0], tri)):
        drawn = rasterizer.rasterize_quantized(*empty, (5, 7))
        assert drawn.findices.shape == (len(empty[1]), 5, 7) and not drawn.findices.any()
        assert drawn.barycentric.shape == (len(empty[1]), 5, 7, 3) and not drawn.barycentric.any()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"positions": torch.zeros(5, 3)}, r"positions: is \[5, 3\] torch.float32, expected \[N, 3\] torch.int16"),
        ({"positions": torch.zeros(5, 4, dtype=torch.int16)}, r"positions: is \[5, 4\]"),
        ({"matrices": torch.eye(3)}, r"matrices: is \[3, 3\]"),
        ({"matrices": torch.eye(4).int()}, "matrices: is .*int32"),
        ({"tri": torch.tensor([[0, 1, 9999]])}, "tri: face 0"),
        ({"resolution": (0, 5)}, "resolution"),
        ({"backend": "nvdiffrast"}, "has no rasterize_quantized"),
        ({"depth_prior": torch.zeros(2, 5, 7)}, "depth_prior"),
    ],
)
def test_bad_arguments(changed: dict, text: str) -> None:
    positions, matrices, tri = scene()
    arguments = {"positions": positions, "matrices": matrices, "tri": tri, "resolution": (5, 7), **changed}
    with pytest.raises(ValueError, match=text):
        rasterizer.rasterize_quantized(**arguments)
