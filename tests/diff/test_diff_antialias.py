"""Antialiasing and its gradients, every implementation: recordings, the contract in float64, and inputs gone wrong."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.diff.conftest import OPERATORS, Way
from tests.support import antialias_reference as reference
from tests.support import nvdiffrast_golden as golden

NAN, INF = float("nan"), float("inf")


class Scene(NamedTuple):
    """What antialiasing takes, and the gradient of what it gives."""

    color: Tensor
    rast: Tensor
    pos: Tensor
    tri: Tensor
    topology: Tensor
    d_out: Tensor


class Results(NamedTuple):
    out: Tensor
    g_color: Tensor
    g_pos: Tensor


def run(way: Way, given: Scene) -> Results:
    color, rast, pos, tri, topology, d_out = (each.to(way.device) for each in given)
    out, work = way("antialias")(color, rast, pos, tri, topology)
    assert torch.equal(color.cpu().nan_to_num(7.0), given.color.nan_to_num(7.0))
    gradients = way("antialias_backward")(color, rast, pos, tri, topology, work, d_out, (True, True))
    for each, like in zip((out, *gradients), (color, color, pos), strict=True):
        assert each.shape == like.shape and each.dtype == torch.float32 and each.is_contiguous()
    return Results(*(each.cpu() for each in (out, *gradients)))


@cache
def soup(shared: bool, channels: int, size: tuple[int, int] = (17, 22), seed: int = 0, shift: float = 0.0) -> Scene:
    """Two images of a folded sheet and loose triangles, none of which is near a decision of the contract.

    Args:
        shared: both images show ``pos [V, 4]``, drawn in two ways.
        channels: of the colours.
        size: rows and columns.
        seed: of the first one that is tried.
        shift: how far positions are from where they were drawn, in pixels.
    """
    sheet = [[row, row + 1, row + 4] for row in range(3)] + [[row + 1, row + 5, row + 4] for row in range(3)]
    loose = [[8, 9, 10], [11, 12, 13], [9, 8, 14]]
    tri = torch.tensor(sheet + loose, dtype=torch.int32)
    while True:
        generator = torch.Generator().manual_seed(seed)
        pos = torch.rand((2, 15, 4), generator=generator) * 2 - 1
        pos[..., 3] = 1 + 0.5 * pos[..., 3]
        pos[..., :2] *= 1.2
        rast = reference.draw(pos, tri, size)
        pos = pos[0].contiguous() if shared else pos
        if shared:
            rast[1] = reference.draw(pos[None], tri.flip(0), size)[0]
            rast[1, ..., 3] = torch.where(rast[1, ..., 3] > 0, len(tri) + 1 - rast[1, ..., 3], 0)
        pos[..., :2] += 2 * shift / torch.tensor(size[::-1]) * pos[..., 3:]
        topology = torch.tensor(_across(tri), dtype=torch.int32)
        found, margin = reference.blends(rast, pos.double(), tri, topology)
        if margin > 3e-5 and any(0.05 < abs(float(blend.alpha)) < 0.45 for blend in found):
            break
        seed += 1
    color, d_out = torch.randn((2, 2, *size, channels), generator=generator)
    return Scene(color, rast, pos, tri, topology, d_out)


def _across(tri: Tensor) -> list[list[int]]:
    """Of manifold meshes."""
    edges: dict[frozenset[int], list[int]] = {}
    for row in tri.tolist():
        for k in range(3):
            edges.setdefault(frozenset({row[k - 2], row[k - 1]}), []).append(row[k])

    def across(row: list[int], k: int) -> int:
        return next((each for each in edges[frozenset({row[k - 2], row[k - 1]})] if each != row[k]), -1)

    return [[across(row, k) for k in range(3)] for row in tri.tolist()]


def _for_reference(given: Scene) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return given.rast, given.pos.double(), given.tri, given.topology


def wanted_of(given: Scene) -> Results:
    found, _ = reference.blends(*_for_reference(given))
    color = given.color.double().requires_grad_()
    out = reference.antialias(color, found)
    (g_color,) = torch.autograd.grad((out * given.d_out).sum(), color)
    return Results(
        out.detach(), g_color, reference.gradient_of_positions(given.color.double(), given.pos, given.d_out, found)
    )


def assert_close(found: Results, wanted: Results) -> None:
    assert (found.out - wanted.out).abs().max() <= 3e-5
    assert (found.g_color - wanted.g_color).abs().max() <= 2e-5
    assert (found.g_pos - wanted.g_pos).abs().max() <= 1e-5 * max(1.0, wanted.g_pos.abs().max())


@pytest.mark.parametrize("name", golden.names("aa_"))
def test_recordings(way: Way, name: str) -> None:
    case = golden.load(name)
    rast, pos, tri = case["in_rast"], case["in_pos"], case["in_tri"]
    topology = way("topology")(tri.to(way.device), pos.shape[-2]).cpu()
    shape = case.meta["color_shape"]
    color, d_out = golden.normal(case.meta["color_seed"], *shape), golden.normal(case.meta["dy_seed"], *shape)
    found = run(way, Scene(color, rast, pos, tri, topology, d_out))
    found = found._replace(g_pos=found.g_pos * case.meta["pos_gradient_boost"])
    assert torch.equal((found.out != color).any(-1), (case["out"] != color).any(-1))
    assert_close(found, Results(case["out"], case["g_color"], case["g_pos"]))


@pytest.mark.parametrize(
    ("shared", "channels", "size"),
    [(False, 3, (17, 22)), (True, 1, (17, 22)), (True, 40, (12, 9)), (False, 2, (1, 40)), (False, 2, (40, 1))],
)
def test_the_contract_in_float64(way: Way, shared: bool, channels: int, size: tuple[int, int]) -> None:
    given = soup(shared, channels, size)
    wanted = wanted_of(given)
    assert (wanted.out != given.color).any() and wanted.g_pos.any()
    assert_close(run(way, given), wanted)


@pytest.mark.parametrize("shift", [0.09, -0.09])
def test_crossings_beyond_the_centres_of_pixels(way: Way, shift: float) -> None:
    given = soup(True, 3, (40, 44), shift=shift)
    wanted = wanted_of(given)
    limits = [abs(blend.alpha) for blend in reference.blends(*_for_reference(given))[0]]
    assert limits.count(0.5) > 5
    assert_close(run(way, given), wanted)


def test_the_gradient_of_positions_is_one(way: Way) -> None:
    """That of the blend itself, but for the offset of slopes."""
    given = soup(False, 3, (60, 60))
    pos = given.pos.double().requires_grad_()
    blends, _ = reference.blends(given.rast, pos, given.tri, given.topology)
    loss = (reference.antialias(given.color.double(), blends) * given.d_out).sum()
    (wanted,) = torch.autograd.grad(loss, pos)
    found = run(way, given).g_pos
    assert (found - wanted).abs().max() <= 2e-3 * wanted.abs().max()


@pytest.mark.parametrize("shared", [True, False])
def test_the_gradient_of_colours_is_the_transpose(way: Way, shared: bool) -> None:
    given = soup(shared, 3)
    found = run(way, given)
    one, other = (found.out.double() * given.d_out).sum(), (found.g_color.double() * given.color).sum()
    assert abs(one - other) <= 1e-5 * given.color.double().norm() * given.d_out.double().norm()


def test_only_what_is_wanted(way: Way) -> None:
    given = soup(False, 3)
    *arguments, d_out = (each.to(way.device) for each in given)
    _, work = way("antialias")(*arguments)
    both = run(way, given)
    g_color, nothing = way("antialias_backward")(*arguments, work, d_out, (True, False))
    assert nothing is None and (g_color.cpu() - both.g_color).abs().max() <= 1e-5
    nothing, g_pos = way("antialias_backward")(*arguments, work, d_out, (False, True))
    assert nothing is None and (g_pos.cpu() - both.g_pos).abs().max() <= 1e-5 * both.g_pos.abs().max()


def test_alike_pixels_stay_as_they_are(way: Way) -> None:
    given = soup(False, 3)
    found = run(way, given._replace(rast=torch.zeros_like(given.rast)))
    assert torch.equal(found.out, given.color) and torch.equal(found.g_color, given.d_out) and not found.g_pos.any()


def test_colours_that_are_not_finite_stay_where_they_are(way: Way) -> None:
    given, wanted = soup(False, 3), wanted_of(soup(False, 3))
    reached = _with_neighbours(((wanted.out - given.color).abs() > 1e-6).any(-1))
    assert not reached.all()
    color = torch.where(reached[..., None], given.color, NAN)
    d_out = torch.where(reached[..., None], given.d_out, INF)
    found = run(way, given._replace(color=color, d_out=d_out))
    assert (found.out - wanted.out)[reached].abs().max() <= 3e-5
    assert torch.equal(found.out[~reached].isnan(), torch.ones_like(found.out[~reached], dtype=torch.bool))
    assert (found.g_color - wanted.g_color)[reached].abs().max() <= 2e-5
    assert (found.g_pos - wanted.g_pos).abs().max() <= 1e-5 * wanted.g_pos.abs().max()


def test_ids_of_no_triangle_are_background(way: Way) -> None:
    given = soup(False, 3)
    odd = torch.tensor([NAN, -3.0, 1e20, -1e20, INF, -INF, 10.0, 0.4])
    rast = given.rast.clone()
    empty = rast[..., 3] == 0
    rast[..., 3][empty] = odd.repeat(1000)[: int(empty.sum())]
    assert_close(run(way, given._replace(rast=rast)), wanted_of(given))


def test_vertices_out_of_range_give_nothing(way: Way) -> None:
    given = soup(False, 3)
    tri, topology = given.tri.clone(), given.topology.clone()
    tri[0, 0], tri[2, 1], tri[4, 2], tri[6] = -1, 15, 2**31 - 1, -(2**31)
    bad = torch.tensor([0, 2, 4, 6])
    whole = [row for row in range(len(tri)) if row not in bad.tolist()]
    wanted_blends = [
        blend
        for blend in reference.blends(given.rast, given.pos.double(), given.tri, topology)[0]
        if _nearer(given.rast[blend.image], blend) - 1 in whole
    ]
    wanted = reference.antialias(given.color.double(), wanted_blends)
    assert len(wanted_blends) > 0 and not torch.equal(wanted, wanted_of(given).out)
    found = run(way, given._replace(tri=tri))
    assert (found.out - wanted).abs().max() <= 3e-5
    gradient = reference.gradient_of_positions(given.color.double(), given.pos, given.d_out, wanted_blends)
    assert (found.g_pos - gradient).abs().max() <= 1e-5 * gradient.abs().max()


def _nearer(rast: Tensor, blend: reference.Blend) -> int:
    (_, _, depth_p, of_p), (_, _, depth_q, of_q) = rast[blend.p].tolist(), rast[blend.q].tolist()
    return int(of_p if of_q == 0 or (of_p > 0 and depth_p < depth_q) else of_q)


def test_a_topology_of_another_mesh_does_no_harm(way: Way) -> None:
    given = soup(False, 3)
    for row in (-(2**31), -7, 15, 2**31 - 1):
        boundary = wanted_of(given._replace(topology=torch.full_like(given.topology, -1)))
        assert_close(run(way, given._replace(topology=torch.full_like(given.topology, row))), boundary)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0, 1e38, 1e-40])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_positions_that_are_not_finite_do_no_harm(way: Way, axis: int, value: float) -> None:
    given = soup(False, 3)
    pos = given.pos.clone()
    pos[:, 2, axis] = value
    depends = torch.tensor(
        [2 in [*row, *across] for row, across in zip(given.tri.tolist(), given.topology.tolist(), strict=True)]
    )
    ids = given.rast[..., 3].long()
    reached = _with_neighbours((ids > 0) & depends[(ids - 1).clamp(min=0)])
    found, wanted = run(way, given._replace(pos=pos)), wanted_of(given)
    assert found.out.isfinite().all() and found.g_color.isfinite().all() and not reached.all()
    assert (found.out - wanted.out)[~reached].abs().max() <= 3e-5
    assert (found.g_color - wanted.g_color)[~reached].abs().max() <= 2e-5


def _with_neighbours(pixels: Tensor) -> Tensor:
    steps = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    return torch.stack([pixels.roll(step, (1, 2)) for step in steps]).any(0)


@OPERATORS
@pytest.mark.parametrize("shared", [True, False])
def test_the_same_bits_every_time(way: Way, shared: bool) -> None:
    given = soup(shared, 3, (60, 60))
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(way.device.type != "cpu")
        first, second = run(way, given), run(way, given)
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
