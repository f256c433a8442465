"""Kernels of texture sampling held against operators; what both must do is tested elsewhere."""

from __future__ import annotations

import mmap
from typing import Any

import pytest
import torch
from torch import Tensor

from rasterizer.backends.diff_interface import TextureWants
from rasterizer.backends.eager.diff import texture as eager
from rasterizer.backends.kernels.diff import mipmaps, texture, texture_check, texture_programs
from rasterizer.gpu.platforms import LaunchError
from tests.diff.conftest import KERNELS, Way
from tests.support.emulator import emulated, programs_of
from tests.support.guards import Guards
from tests.support.texture_calls import BOUNDARIES, MODES, Call, sizes

BEFORE = pytest.mark.parametrize("before", [False, True])
EACH_BOUNDARY = pytest.mark.parametrize("boundary", BOUNDARIES)
NAN, INF = float("nan"), float("inf")


def _operators(step: str) -> Any:
    return getattr(eager, step)


def _numbers(seed: int) -> Any:
    random = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=random, dtype=torch.float32)


def call(
    mode: str,
    boundary: str,
    *,
    side: int = 16,
    channels: int = 3,
    textures: int = 1,
    images: int = 2,
    size: tuple[int, int] = (37, 41),
    zoom: float = 1.0,
    seed: int = 0,
) -> Call:
    """A smooth piece of a texture, turned, over an edge; ``zoom`` is how much of it."""
    numbers, cube, (height, width) = _numbers(seed), boundary == "cube", size
    x = torch.arange(width) / max(height, width) - 0.5
    y = (torch.arange(height) / max(height, width))[:, None] - 0.5
    centre = torch.tensor([0.1, -0.05])[:images, None, None]
    s, t = ((0.8 * x + 0.6 * y) * zoom + centre, (0.8 * y - 0.6 * x) * zoom + 1 - centre)
    uv = torch.stack((s, t, torch.ones_like(s)) if cube else (s, t), -1).float().contiguous()
    mipmapped = "mipmap" in mode
    reach = (numbers(images, height, width, 1) - 3).exp2()
    return Call(
        [numbers(textures, *([6, side, side] if cube else [side, 2 * side]), channels)],
        uv,
        mode,
        boundary,
        numbers(images, height, width, 6 if cube else 4) * reach if mipmapped else None,
        numbers(images, height, width) if mipmapped and seed % 2 else None,
        len(sizes(side, side if cube else 2 * side)) if mipmapped else 0,
    )


def check(way: Way, one: Call, tolerance: float = 2e-5) -> None:
    """Values and gradients are those of operators, within a share of the largest."""
    out = one.run(_operators, torch.device("cpu"))
    torch.testing.assert_close(one.run(way, way.device), out, rtol=0, atol=tolerance, equal_nan=True)
    d_out = _numbers(9)(*out.shape).masked_fill_(_numbers(8)(*out.shape[:3], 1) > 0.8, 0.0)
    want = one.gradients(_operators, torch.device("cpu"), d_out)
    found = one.gradients(way, way.device, d_out)
    assert set(found) == set(want)
    for name, value in found.items():
        bound = tolerance * (1 + float(want[name].abs().max()))
        torch.testing.assert_close(value, want[name], rtol=0, atol=bound, msg=lambda text, name=name: f"{name}: {text}")


@KERNELS
@pytest.mark.parametrize("zoom", [0.02, 1.0, 30.0], ids=["close", "matched", "far"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 12])
@EACH_BOUNDARY
@pytest.mark.parametrize("mode", MODES)
def test_pictures_at_any_distance(way: Way, mode: str, boundary: str, channels: int, zoom: float) -> None:
    check(way, call(mode, boundary, side=32, channels=channels, textures=1 + channels % 2, zoom=zoom, seed=channels))


@KERNELS
@pytest.mark.parametrize(
    "size",
    [(1, 700), (700, 1), (3, 300), (300, 3), (16, 16), (17, 33), (1, 1)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
@pytest.mark.parametrize("textures", [1, 2])
@EACH_BOUNDARY
def test_images_of_any_shape(way: Way, boundary: str, textures: int, size: tuple[int, int]) -> None:
    check(way, call("linear-mipmap-linear", boundary, textures=textures, size=size))


@KERNELS
def test_more_images_than_a_grid_is_deep(way: Way) -> None:
    numbers, images = _numbers(1), mipmaps.MOST_DEEP + 9
    uv, tex = numbers(images, 1, 2, 2), numbers(1, 8, 8, 3)
    check(way, Call([tex], uv, "linear", "wrap"), 1e-3)
    many = Call([tex[..., :1].expand(images, 8, 8, 1).contiguous()], uv, "nearest", "wrap")  # which operators do
    assert torch.equal(many.run(way, way.device), many.run(_operators, torch.device("cpu")))


@KERNELS
@pytest.mark.parametrize("shape", [(1, 65536), (65536, 1), (2, 65536)], ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_as_many_levels_as_there_can_be(way: Way, shape: tuple[int, int]) -> None:
    numbers = _numbers(2)
    tex, uv, bias = numbers(1, *shape, 1), numbers(1, 9, 70, 2), 8.5 + 6 * numbers(1, 9, 70)
    one = Call([tex], uv, "linear-mipmap-linear", "wrap", bias=bias, depth=len(sizes(*shape)))
    assert one.depth + 1 == mipmaps.MOST_LEVELS
    check(way, one, 1e-4)


@KERNELS
@pytest.mark.parametrize(
    ("shape", "levels"),
    [
        ((1, 1024, 64, 1), 10),
        ((3, 512, 128, 2), 9),
        ((2, 96, 160, 3), 5),
        ((1, 640, 192, 4), 6),
        ((1, 6, 128, 128, 5), 7),
        ((1, 6, 256, 256, 8), 7),
        ((1, 4, 2048, 6), 11),
        ((2, 1, 256, 9), 8),
        ((1, 2, 1, 3), 1),
        ((1, 66, 70, 3), 1),
    ],
    ids=str,
)
@BEFORE
def test_pyramids_are_those_of_operators_bit_for_bit(
    way: Way, shape: tuple[int, ...], levels: int, before: bool
) -> None:
    numbers = _numbers(3)
    tex = numbers(*shape)
    want = eager.mipmaps(tex, levels)
    guards = Guards(before)
    with guards:
        found = way("mipmaps")(guards.guard(tex.to(way.device)), levels)
        assert all(torch.equal(one.cpu(), other) for one, other in zip(found, want, strict=True))
        gradients = [numbers(*each.shape) for each in (tex, *want)]
        pulled = eager.mipmaps_backward([each.clone() for each in gradients])
        assert torch.equal(way("mipmaps_backward")([each.to(way.device) for each in gradients]).cpu(), pulled)


STRAY = [NAN, INF, -INF, 1e20, -1e20, 3e9, -3e9, 3.4e38, 2.0**31, 1e-40, -1e-9, -0.0, 1.0, 0.5, 65536.5]


@KERNELS
@BEFORE
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@EACH_BOUNDARY
@pytest.mark.parametrize("mode", MODES)
def test_no_coordinate_leads_out_of_memory(way: Way, mode: str, boundary: str, channels: int, before: bool) -> None:
    cube, mipmapped = boundary == "cube", "mipmap" in mode
    values = torch.tensor(STRAY, dtype=torch.float32)
    grids = torch.meshgrid(*[values] * (3 if cube else 2), indexing="ij")
    uv = torch.stack(grids, -1).view(1, -1, len(STRAY), len(grids)).repeat(2, 1, 1, 1)
    shape = uv.shape[:3]
    uv_da = values.repeat(uv[..., 0].numel())[: uv[..., 0].numel(), None].view(*shape, 1) * torch.ones(6 if cube else 4)
    bias = values.flip(0).repeat(uv[..., 0].numel())[: uv[..., 0].numel()].view(shape)
    for side, textures in ((8, 1), (1, 2), (5, 1)):
        smaller = sizes(side, side) if mipmapped else []
        tex = _numbers(4)(textures, *([6] if cube else []), side, side, channels)
        places = (uv, uv_da if mipmapped else None, bias if mipmapped and side == 8 else None)
        guards = Guards(before)
        with guards:
            levels = [tex, *eager.mipmaps(tex, len(smaller))]
            arguments = (
                [each.to(way.device) for each in levels],
                *(None if each is None else each.to(way.device) for each in places),
            )
            guarded = *guards.guard(arguments), mode, boundary
            out = way("texture")(*guarded)
            wants = TextureWants(True, mode != "nearest", False, False)
            d_levels, *_ = way("texture_backward")(*guarded, torch.ones_like(out), wants)
        total = sum(float(each.sum()) for each in d_levels) / channels
        assert total <= uv[..., 0].numel() * 1.0001
        assert boundary in ("zero", "cube") or total == pytest.approx(uv[..., 0].numel())


@KERNELS
@pytest.mark.parametrize("channels", [2, 3, 4, 8])
def test_tensors_that_begin_anywhere(way: Way, channels: int) -> None:
    """Views, which need not lie on the multiples of 16 bytes that kernels read at once."""
    one = call("linear-mipmap-linear", "wrap", channels=channels, seed=1)

    def shifted(value: Tensor) -> Tensor:
        return torch.cat((value.new_zeros(1), value.flatten()))[1:].view(value.shape)

    levels = one.pyramid(way, way.device)
    assert one.uv_da is not None and one.bias is not None
    places = [value.to(way.device) for value in (one.uv, one.uv_da, one.bias)]
    out = way("texture")(levels, *places, one.mode, one.boundary)
    moved = [shifted(level) for level in levels], *map(shifted, places), one.mode, one.boundary
    assert moved[1].data_ptr() % 8 and torch.equal(way("texture")(*moved), out)
    found = way("texture_backward")(*moved, shifted(torch.ones_like(out)), one.wants)
    want = way("texture_backward")(levels, *places, one.mode, one.boundary, torch.ones_like(out), one.wants)
    for some, other in zip((*found[0], *found[1:]), (*want[0], *want[1:]), strict=True):
        torch.testing.assert_close(some, other)


@KERNELS
def test_gradients_of_levels_have_memory_of_their_own(way: Way) -> None:
    one = call("linear-mipmap-linear", "wrap")
    levels = one.pyramid(way, way.device)
    uv, uv_da = one.uv.to(way.device), None if one.uv_da is None else one.uv_da.to(way.device)
    d_out = torch.ones(*one.uv.shape[:3], 3, device=way.device)
    found, *_ = way("texture_backward")(levels, uv, uv_da, None, one.mode, one.boundary, d_out, one.wants)
    assert len({level.untyped_storage().data_ptr() for level in found}) == len(levels)


def test_texels_beyond_32_bits() -> None:
    """The last texels of a texture of more than 2**31 floats, of which memory holds only what is touched."""
    shape, floats = (1, 40000, 20000, 3), 40000 * 20000 * 3
    assert floats > 2**31
    memory = mmap.mmap(-1, 4 * floats, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
    tex = torch.frombuffer(memory, dtype=torch.float32).view(shape)
    tex[0, -2:, -2:] = torch.arange(12.0).view(2, 2, 3)
    uv = torch.tensor([[1 - 1 / 20000, 1 - 1 / 40000]])[None, None]
    with emulated(*programs_of(texture)):
        for boundary in ("wrap", "clamp", "zero"):
            found = texture.texture([tex], uv, None, None, "linear", boundary)
            torch.testing.assert_close(found.view(3), torch.tensor([4.5, 5.5, 6.5]), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("boundary", "changed"), [("wrap", {"POOL": 384, "APART": 0}), ("cube", {"FEW_CELLS": 1 << 20})], ids=str
)
def test_however_gradients_are_added_up_they_are_the_same(
    boundary: Any, changed: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With constants that another GPU may want."""
    for name, value in changed.items():
        monkeypatch.setitem(texture_programs.SUMS, name, value)
    program = texture_programs.backward_program(boundary, lambda device: None)
    monkeypatch.setitem(texture.BACKWARD, boundary, program)
    with emulated(program, mipmaps.PROGRAM):
        texture_check.compare_gradients(texture._run_backward, boundary, torch.device("cpu"))


@pytest.mark.parametrize("backwards", [False, True])
@EACH_BOUNDARY
def test_programs_pass_their_tests(boundary: Any, backwards: bool) -> None:
    with emulated(*programs_of(mipmaps, texture), backwards=backwards):
        texture_check.compare(texture._run, boundary, torch.device("cpu"))
        texture_check.compare_gradients(texture._run_backward, boundary, torch.device("cpu"))


def test_their_tests_find_what_is_wrong() -> None:
    device = torch.device("cpu")
    with pytest.raises(RuntimeError, match="values of 1 channels by nearest"):
        texture_check.compare(lambda *arguments: eager.texture(*arguments) + 0.01, "wrap", device)

    def doubled(*arguments: Any) -> Any:
        levels, *rest = eager.texture_backward(*arguments)
        return [levels[0] * 1.01, *levels[1:]], *rest

    with pytest.raises(RuntimeError, match="gradients of 1 channels by nearest"):
        texture_check.compare_gradients(doubled, "cube", device)


@EACH_BOUNDARY
@pytest.mark.parametrize("error", [-1e-5, 1e-5])
def test_their_tests_do_not_hang_on_rounding(error: float, boundary: Any) -> None:
    def nearly(levels: Any, uv: Tensor, uv_da: Tensor | None, *rest: Any) -> Tensor:
        # A GPU's logarithm, from which levels follow, is another than a CPU's by a tenth of this.
        return eager.texture(levels, uv, None if uv_da is None else uv_da * (1 + error), *rest)

    texture_check.compare(nearly, boundary, torch.device("cpu"))


@pytest.mark.gpu
@EACH_BOUNDARY
def test_programs_work_here(boundary: Any) -> None:
    device = torch.device("cuda", 0)
    assert not texture.FORWARD[boundary].reason_against(device)
    assert not texture.BACKWARD[boundary].reason_against(device)


def refused(*arguments: Any) -> Any:
    raise LaunchError("no")


@EACH_BOUNDARY
def test_operators_take_over_when_a_launch_fails(boundary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(*programs_of(mipmaps, texture)):
        for module, name in ((mipmaps, "_make"), (mipmaps, "_gather"), (texture, "_run"), (texture, "_run_backward")):
            monkeypatch.setattr(module, name, refused)
        check(Way("refused", "kernels", torch.device("cpu")), call("linear-mipmap-linear", boundary))


@pytest.mark.parametrize("which", ["_run_mipmapped", "_run_mipmapped_backward"])
def test_a_step_takes_what_the_other_implementation_left(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = call("linear-mipmap-linear", "wrap")
    given = one.levels[0], one.depth, one.uv, one.uv_da, one.bias, one.mode, one.boundary
    d_out = torch.ones(*one.uv.shape[:3], 3)
    out, work = eager.mipmapped(*given)
    d_tex, *_ = eager.mipmapped_backward(*given, work, d_out, one.wants)
    with emulated(*programs_of(mipmaps, texture)):
        monkeypatch.setattr(texture, which, refused)
        found, left = texture.mipmapped(*given)
        pulled, *_ = texture.mipmapped_backward(*given, left, d_out, one.wants)
    torch.testing.assert_close(found, out)
    torch.testing.assert_close(pulled, d_tex, rtol=1e-4, atol=1e-4)
