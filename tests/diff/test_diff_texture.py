"""Texture sampling: recorded cases, worked examples, and what has no place on a texture."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.diff.conftest import Way
from tests.support import texture_reference
from tests.support.nvdiffrast_golden import Case, load, names, normal
from tests.support.texture_calls import BOUNDARIES, MODES, Call, sizes

NAN, INF = float("nan"), float("inf")
LINEAR = "linear-mipmap-linear"


def recorded(case: Case) -> Call:
    """The call of a recorded case."""
    meta, kwargs, uv = case.meta, case.meta["kwargs"], case["in_uv"]
    uv_da, bias = (torch.from_numpy(case.arrays[key]) if key in case else None for key in ("in_uv_da", "in_bias"))
    mode = kwargs.get("filter_mode", "auto")
    if mode == "auto":
        mode = "linear" if uv_da is None and bias is None else LINEAR
    shape, most = meta["tex_shape"], kwargs.get("max_mip_level", 99)
    mode = "linear" if most == 0 else mode
    smaller = sizes(*shape[-3:-1], most) if "mipmap" in mode else []
    levels = [normal(meta["tex_seed"], *shape)]
    custom = meta["custom_mips"]
    for number, (height, width) in enumerate(smaller[:custom]):
        levels.append(normal(meta["mip_seed0"] + number, *shape[:-3], height, width, shape[-1]))
    depth = 0 if custom else len(smaller)
    return Call(levels, uv, mode, kwargs.get("boundary_mode", "wrap"), uv_da, bias, depth)


def upstream(case: Case) -> Tensor:
    """The gradient of the output that a recorded case's gradients are of."""
    d_out = normal(case.meta["dy_seed"], *case["out"].shape)
    d_out.view(-1, d_out.shape[-1])[:: case.meta["dy_zero_every"]] = 0
    return d_out


@pytest.mark.parametrize("name", names("tex_"))
def test_recorded_cases(way: Way, name: str) -> None:
    case = load(name)
    call = recorded(case)
    torch.testing.assert_close(call.run(way, way.device), case["out"], rtol=0, atol=2e-6)
    found = call.gradients(way, way.device, upstream(case))
    wanted = {key.removeprefix("g_").replace("mip_", "mip") for key in case.arrays if key.startswith("g_")}
    assert set(found) == wanted
    for key, value in found.items():
        want = case[f"g_{key}"]
        largest = float(want.abs().max())
        assert float((value - want).abs().max()) <= 2e-6 * largest, key


@pytest.mark.parametrize("name", names("tex_"))
def test_the_statement_in_float64_gives_the_recorded_cases(name: str) -> None:
    """What the gradients are compared with elsewhere is itself held to recordings."""
    case = load(name)
    call = recorded(case)
    levels = [level.double() for level in call.levels]
    for height, width in sizes(*levels[0].shape[-3:-1], call.depth):
        finer = levels[-1]
        steps = finer.shape[-3] // height, finer.shape[-2] // width
        levels.append(finer.unflatten(-3, (height, steps[0])).unflatten(-2, (width, steps[1])).mean((-4, -2)))
    places = (None if value is None else value.double() for value in (call.uv, call.uv_da, call.bias))
    found = texture_reference.sample(levels, *places, call.mode, call.boundary)
    sure = found.distance > 1e-5 if call.mode == "nearest" else torch.ones_like(found.distance, dtype=torch.bool)
    assert float(sure.float().mean()) > 0.5
    torch.testing.assert_close(found.out[sure].float(), case["out"][sure], rtol=0, atol=1e-5)


CUBE_POINTS = [
    # direction, face, s and t of the centre of the texel that it hits, of 64 x 64
    ((1, 0, 0.25), 0, 0.3828, 0.5078),
    ((1, 0.5, 0), 0, 0.5078, 0.2578),
    ((-1, 0, 0.25), 1, 0.6328, 0.5078),
    ((-1, 0.5, 0), 1, 0.5078, 0.2578),
    ((0.25, 1, 0), 2, 0.6328, 0.5078),
    ((0, 1, 0.5), 2, 0.5078, 0.7578),
    ((0.25, -1, 0), 3, 0.6328, 0.5078),
    ((0, -1, 0.5), 3, 0.5078, 0.2578),
    ((0.5, 0, 1), 4, 0.7578, 0.5078),
    ((0, 0.25, 1), 4, 0.5078, 0.3828),
    ((0.5, 0, -1), 5, 0.2578, 0.5078),
    ((0, 0.25, -1), 5, 0.5078, 0.3828),
    ((1, 1, 0), 0, 0.5078, 0.0078),
    ((1, 0, 1), 0, 0.0078, 0.5078),
    ((0, 1, 1), 2, 0.5078, 0.9922),
    ((1, 1, 1), 0, 0.0078, 0.0078),
    ((-1, 1, 1), 1, 0.9922, 0.0078),
    ((1, -1, 1), 0, 0.0078, 0.9922),
    ((1, 1, -1), 0, 0.9922, 0.0078),
    ((-1, -1, -1), 1, 0.0078, 0.9922),
]


@pytest.mark.parametrize("length", [1.0, 3e-30, 1e30])
def test_directions_meet_the_faces_of_a_cube(way: Way, length: float) -> None:
    steps = (torch.arange(64) + 0.5) / 64
    face = torch.arange(6.0).view(6, 1, 1).expand(6, 64, 64)
    tex = torch.stack((face, steps.expand(6, 64, 64), steps[:, None].expand(6, 64, 64)), -1)[None].contiguous()
    uv = torch.tensor([point for point, *_ in CUBE_POINTS])[None, None] * length
    want = torch.tensor([place for _, *place in CUBE_POINTS])
    out = Call([tex], uv, "nearest", "cube").run(way, way.device)
    torch.testing.assert_close(out[0, 0], want, rtol=0, atol=1e-4)


def _by_number(count: int, side: int = 8) -> list[Tensor]:
    """Levels whose texels hold the level's number."""
    shapes = [(side, side), *sizes(side, side)][:count]
    return [torch.full((1, *shape, 1), float(number)) for number, shape in enumerate(shapes)]


def test_levels_that_a_bias_chooses(way: Way) -> None:
    bias = torch.tensor([[[NAN, INF, -INF, 1.25, -3.0, 7.0, 0.99, 1.0, 2.0]]])
    uv = torch.full((1, 1, 9, 2), 0.3)
    call = Call(_by_number(4), uv, LINEAR, "wrap", bias=bias)
    want = torch.tensor([0, 3, 0, 1.25, 0, 3, 0.99, 1, 2])
    torch.testing.assert_close(call.run(way, way.device).view(-1), want)
    call = replace(call, mode="linear-mipmap-nearest")
    want = torch.tensor([0.0, 3, 0, 1, 0, 3, 0, 1, 2])
    torch.testing.assert_close(call.run(way, way.device).view(-1), want)


def test_levels_that_derivatives_choose(way: Way) -> None:
    reach = torch.linspace(0.01, 2.0, 50)
    uv_da = torch.zeros(1, 1, 50, 4)
    uv_da[..., 0] = reach
    uv = torch.full((1, 1, 50, 2), 0.3)
    out = Call(_by_number(4), uv, LINEAR, "wrap", uv_da).run(way, way.device)
    torch.testing.assert_close(out.view(-1), torch.log2(8 * reach).clamp(0, 3), rtol=0, atol=2e-6)


NO_FOOTPRINT = [[value] * 4 for value in (NAN, INF, 0.0, 1e-30, 1e30)] + [[NAN, 0.0, 0.0, 0.0]]


def test_derivatives_without_a_level_read_level_0_and_have_no_gradient(way: Way) -> None:
    uv_da = torch.tensor(NO_FOOTPRINT)[None, None]
    uv = torch.full((1, 1, len(NO_FOOTPRINT), 2), 0.3)
    levels = _by_number(4)
    for level in levels[1:]:
        level.fill_(NAN)  # what is not read does not matter
    call = Call(levels, uv, LINEAR, "clamp", uv_da)
    out = call.run(way, way.device)
    assert torch.equal(out, torch.zeros_like(out))
    found = call.gradients(way, way.device, torch.ones_like(out))
    assert float(found["uv_da"].abs().max()) == 0.0
    assert float(found["tex"].sum()) == pytest.approx(len(NO_FOOTPRINT))


def test_a_circular_footprint_has_a_level_and_no_gradient(way: Way) -> None:
    uv_da = torch.tensor([0.3, 0.0, 0.0, 0.3]).expand(1, 1, 3, 4).contiguous()
    call = Call(_by_number(4), torch.full((1, 1, 3, 2), 0.3), LINEAR, "wrap", uv_da)
    out = call.run(way, way.device)
    torch.testing.assert_close(out, torch.full_like(out, 2.4).log2())
    assert float(call.gradients(way, way.device, torch.ones_like(out))["uv_da"].abs().max()) == 0.0


def test_whole_levels_have_no_slope(way: Way) -> None:
    bias = torch.tensor([[[-1.0, 0.0, 1.0, 1.5, 2.0, 3.0, 4.0]]])
    call = Call(_by_number(4), torch.full((1, 1, 7, 2), 0.3), LINEAR, "wrap", bias=bias)
    slope = call.gradients(way, way.device, torch.ones(1, 1, 7, 1))["bias"]
    torch.testing.assert_close(slope.view(-1), torch.tensor([0, 0, 0, 1.0, 0, 0, 0]))


def test_first_and_last_centres_have_no_slope_when_clamped(way: Way) -> None:
    """Also where a side is no power of two, and the centre's coordinate times the side is off by a rounding."""
    for side in (5, 7, 8, 13, 160):
        tex = normal(1, 1, 1, side, 1)
        s = torch.tensor([-3.0, 0.0, 0.5 / side, (side - 0.5) / side, 1.0, INF])
        where = s.double() * side - 0.5
        want = ((where > 0) & (where.float() < side - 1)).float()
        uv = torch.stack((s, torch.full_like(s, 0.5)), -1)[None, None]
        slope = Call([tex], uv, "linear", "clamp").gradients(way, way.device, torch.ones(1, 1, 6, 1))["uv"]
        assert torch.equal((slope[0, 0, :, 0] != 0).float(), want), side


STRAY = [NAN, INF, -INF, 1e20, -1e20, 3e9, -3e9, 3.4e38, -3.4e38, 1e-40, -1e-40, -1e-9, 1.0, 0.5]


def _stray() -> Tensor:
    values = torch.tensor(STRAY)
    return torch.stack(torch.meshgrid(values, values, indexing="ij"), -1)[None].contiguous()


@pytest.mark.parametrize("shape", [(8, 8), (7, 13), (1, 16), (16, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero"])
@pytest.mark.parametrize("mode", MODES)
def test_wild_coordinates_stay_inside(way: Way, mode: str, boundary: str, shape: tuple[int, int]) -> None:
    """Every value comes from the texture, and so does the whole gradient."""
    tex = 1.0 + torch.rand(2, *shape, 3)
    uv = _stray().repeat(2, 1, 1, 1)
    bias = None if "mipmap" not in mode else torch.full(uv.shape[:-1], 0.7)
    call = Call([tex], uv, mode, boundary, bias=bias, depth=len(sizes(*shape)) if "mipmap" in mode else 0)
    out = call.run(way, way.device)
    found = call.gradients(way, way.device, torch.ones_like(out))
    assert found["tex"].isfinite().all()
    assert float(found["tex"].min()) >= 0 and (found["tex"].sum((1, 2)) <= uv.shape[1] * uv.shape[2] + 1e-3).all()
    if boundary == "zero":
        assert (out.isnan() | ((out >= 0) & (out <= 2.00001))).all()
        assert mode == "nearest" or out[:, :3].isnan().all()
    else:
        assert ((out >= 0.99999) & (out <= 2.00001)).all()
        assert all(value.isfinite().all() for value in found.values())


def test_coordinates_that_are_no_numbers(way: Way) -> None:
    tex = normal(3, 1, 8, 8, 1)
    uv = torch.tensor([[NAN, 0.55], [0.55, NAN], [INF, 0.55], [-INF, 0.55], [0.55, INF], [1e10, 0.55], [-1e10, 0.55]])
    texels = {"clamp": [(4, 0), (0, 4), (4, 7), (4, 0), (7, 4), (4, 7), (4, 0)], "zero": [(4, 0), (0, 4)]}
    for boundary, places in texels.items():
        out = Call([tex], uv[None, None], "nearest", boundary).run(way, way.device).view(-1)
        want = [float(tex[0, j, i, 0]) for j, i in places] + [0.0] * (7 - len(places))
        assert out.tolist() == want
    clamped = Call([tex], uv[None, None], "linear", "clamp").run(way, way.device)
    edges = torch.tensor([[0, 0.55], [0.55, 0], [1, 0.55], [0, 0.55], [0.55, 1], [1, 0.55], [0, 0.55]])
    assert torch.equal(clamped, Call([tex], edges[None, None], "linear", "clamp").run(way, way.device))
    out = Call([tex], uv[None, None], "linear", "zero").run(way, way.device).view(-1)
    assert out[:5].isnan().all() and out[5:].tolist() == [0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_directions_that_are_none_give_nothing(way: Way, mode: str) -> None:
    bad = torch.tensor([[0.0, 0, 0], [NAN, 1, 0], [0, 0, NAN], [INF, 1, 1], [0, -INF, 0], [1, 2, -INF]])[None, None]
    tex = torch.full((1, 6, 4, 4, 2), INF)
    shape, mipmapped = bad.shape[:-1], "mipmap" in mode
    uv_da, bias = (torch.rand(*shape, 6), torch.rand(shape)) if mipmapped else (None, None)
    call = Call([tex], bad, mode, "cube", uv_da, bias, depth=2 if mipmapped else 0)
    out = call.run(way, way.device)
    assert torch.equal(out, torch.zeros_like(out))
    call.levels = [torch.rand_like(tex)]
    for name, gradient in call.gradients(way, way.device, torch.ones_like(out)).items():
        assert torch.equal(gradient, torch.zeros_like(gradient)), name


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero", "cube"])
@pytest.mark.parametrize("mode", MODES)
def test_pixels_without_an_upstream_gradient_have_none(way: Way, mode: str, boundary: str) -> None:
    cube = boundary == "cube"
    uv = torch.tensor(STRAY)[None, None, :, None].repeat(1, 1, 1, 3 if cube else 2)
    mipmapped = "mipmap" in mode
    uv_da = torch.tensor((NO_FOOTPRINT * 3)[: len(STRAY)])[None, None].repeat(1, 1, 1, 2)[..., : 6 if cube else 4]
    bias = torch.linspace(-1, 4, len(STRAY))[None, None]
    tex = torch.rand(1, *([6] if cube else []), 8, 8, 3)
    more = (uv_da.contiguous(), bias) if mipmapped else (None, None)
    call = Call([tex], uv, mode, boundary, *more, depth=3 if mipmapped else 0)
    for name, gradient in call.gradients(way, way.device, torch.zeros(1, 1, len(STRAY), 3)).items():
        assert torch.equal(gradient, torch.zeros_like(gradient)), name


def test_texels_outside_are_not_read(way: Way) -> None:
    tex = torch.full((1, 4, 4, 1), NAN)
    tex[0, 1:3, 1:3] = 1.0
    uv = torch.tensor([[-0.5, 0.5], [0.5, 1.5], [-9.0, 9.0]])[None, None]
    for mode in ("nearest", "linear"):
        out = Call([tex], uv, mode, "zero").run(way, way.device)
        assert torch.equal(out, torch.zeros_like(out)), mode


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero"])
def test_the_longest_sides(way: Way, boundary: str) -> None:
    tex = torch.arange(65536.0)[None, None, :, None].contiguous()
    column = torch.tensor([0, 1, 4095, 40000, 65534, 65535])
    s = (column + 0.5) / 65536
    for tall in (False, True):
        level = tex.transpose(1, 2).contiguous() if tall else tex
        uv = torch.stack((torch.full_like(s, 0.5), s) if tall else (s, torch.full_like(s, 0.5)), -1)[None, None]
        for mode in ("nearest", "linear"):
            call = Call([level], uv, mode, boundary)
            assert torch.equal(call.run(way, way.device).view(-1), column.float())
            places = call.gradients(way, way.device, torch.ones(1, 1, 6, 1))["tex"].view(-1).nonzero().view(-1)
            assert torch.equal(places, column)


@pytest.mark.parametrize(
    "shape", [(1, 12, 20, 3), (2, 1, 32, 2), (1, 32, 1, 5), (2, 6, 8, 8, 3), (1, 4, 4, 1)], ids=str
)
def test_pyramids_average_and_their_gradients_spread(way: Way, shape: tuple[int, ...]) -> None:
    tex = normal(5, *shape)
    smaller = sizes(*shape[-3:-1])
    levels = [level.cpu() for level in way("mipmaps")(tex.to(way.device), len(smaller))]
    assert [level.shape for level in levels] == [(*shape[:-3], *size, shape[-1]) for size in smaller]
    for level, (height, width) in zip(levels, smaller, strict=True):
        steps = shape[-3] // height, shape[-2] // width
        want = tex.double().unflatten(-3, (height, steps[0])).unflatten(-2, (width, steps[1])).mean((-4, -2))
        torch.testing.assert_close(level.double(), want, rtol=0, atol=1e-6)
    gradients = [normal(6 + number, *level.shape) for number, level in enumerate([tex, *levels])]
    want = sum(
        float((gradient.double() * level.double()).sum())
        for gradient, level in zip(gradients, [tex, *levels], strict=True)
    )
    found = way("mipmaps_backward")([gradient.to(way.device) for gradient in gradients]).cpu()
    assert found.shape == tex.shape
    assert float((found.double() * tex.double()).sum()) == pytest.approx(want, rel=1e-5, abs=1e-4)


def test_all_boundaries_are_covered() -> None:
    assert {recorded(load(name)).boundary for name in names("tex_")} == set(BOUNDARIES)


@pytest.mark.parametrize("name", [name for name in names("tex_") if recorded(load(name)).depth])
def test_levels_in_one_with_the_look_up(way: Way, name: str) -> None:
    """``mipmapped`` is ``mipmaps`` and ``texture``, and its gradient theirs; with any work, or that of nobody."""
    call = recorded(load(name))
    device = way.device
    places = [None if value is None else value.to(device) for value in (call.uv, call.uv_da, call.bias)]
    tex, modes = call.levels[0].to(device), (call.mode, call.boundary)
    out, work = way("mipmapped")(tex, call.depth, *places, *modes)
    assert torch.equal(out.cpu(), call.run(way, device))
    d_out = upstream(load(name))
    wanted = call.gradients(way, device, d_out)
    for found in (work, None):
        given = tex, call.depth, *places, *modes, found, d_out.to(device), call.wants
        for key, value in zip(("tex", "uv", "uv_da", "bias"), way("mipmapped_backward")(*given), strict=True):
            assert (value is None) == (key not in wanted)
            if value is not None:
                torch.testing.assert_close(
                    value.cpu(), wanted[key], rtol=1e-6, atol=1e-6 * float(wanted[key].abs().max())
                )
