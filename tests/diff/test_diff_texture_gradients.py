"""Gradients of texture sampling: the transpose of the forward step, and the formulas in float64 by autograd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from rasterizer.backends.diff_interface import TextureWants
from tests.diff.conftest import Way
from tests.support import texture_reference
from tests.support.nvdiffrast_golden import normal
from tests.support.texture_calls import BOUNDARIES, MODES, Call, sizes

BY = ("uv_da", "bias", "both")


def scene(
    mode: str,
    boundary: str,
    *,
    by: str = "both",
    texture: tuple[int, ...] = (8, 16, 3),
    batch: tuple[int, int] = (1, 2),
    image: tuple[int, int] = (24, 20),
    custom: bool = False,
    seed: int = 0,
) -> Call:
    """A call with all levels in use, and with points beyond the texture, around its edges and over a cube's corners.

    Args:
        texture: height, width and channels; of cube maps the height is the side.
        batch: textures and images.
        custom: levels that are no averages of each other.
    """
    cube, mipmapped = boundary == "cube", "mipmap" in mode
    height, width, channels = texture
    shape = (batch[0], 6, height, height) if cube else (batch[0], height, width)
    tex = normal(seed, *shape, channels)
    place = normal(seed + 1, batch[1], *image, 3 if cube else 2)
    uv = place.sign() + 0.2 * place if cube else 0.5 + 0.6 * place
    if cube:
        uv[:, ::2] = place[:, ::2]
    reach = torch.rand(batch[1], *image, 1, generator=torch.Generator().manual_seed(seed)) * 6 - 5
    uv_da = normal(seed + 2, batch[1], *image, 6 if cube else 4) * reach.exp2() * (2 if cube else 1)
    bias = normal(seed + 3, batch[1], *image) + (1.0 if by == "bias" else 0.0)
    smaller = sizes(*shape[-2:]) if mipmapped else []
    levels = [tex] + [normal(seed + 9 + n, *shape[:-2], *size, channels) for n, size in enumerate(smaller) if custom]
    return Call(
        levels,
        uv,
        mode,
        boundary,
        uv_da if mipmapped and by != "bias" else None,
        bias if mipmapped and by != "uv_da" else None,
        0 if custom else len(smaller),
    )


def product(first: Tensor, second: Tensor) -> float:
    return float((first.double() * second.double()).sum())


@pytest.mark.parametrize("textures", [1, 3])
@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_the_texture_gradient_is_the_transpose(way: Way, mode: str, boundary: str, custom: bool, textures: int) -> None:
    """``<d_out, f(tex)> = <g_tex, tex>``, f being linear; with custom levels the sum over all levels."""
    call = scene(mode, boundary, batch=(textures, 3), custom=custom and "mipmap" in mode)
    out = call.run(way, way.device)
    d_out = out + normal(77, *out.shape)  # of a product far from 0
    wants = TextureWants(True, False, False, False)
    found = call.gradients(way, way.device, d_out, wants)
    levels = {"tex": call.levels[0]} | {f"mip{n}": level for n, level in enumerate(call.levels) if n}
    assert set(found) == set(levels)
    got = sum(product(found[name], level) for name, level in levels.items())
    assert got == pytest.approx(product(d_out, out), rel=1e-5)
    # Not only the sum: the response to one texel is the gradient of that texel.
    place = int(found["tex"].abs().argmax())
    call.levels[0].view(-1)[place] += 1.0
    moved = product(d_out, call.run(way, way.device)) - product(d_out, out)
    assert float(found["tex"].view(-1)[place]) == pytest.approx(moved, rel=1e-3)


def test_items_of_a_batch_keep_to_themselves(way: Way) -> None:
    """Filtered cube maps too, whose texels over edges belong to the same item."""
    for boundary in BOUNDARIES:
        call = scene("linear-mipmap-linear", boundary, batch=(3, 3))
        out = call.run(way, way.device)
        found = call.gradients(way, way.device, torch.ones_like(out))
        for item in range(3):
            only = slice(item, item + 1)
            assert call.uv_da is not None and call.bias is not None
            alone = Call(
                [call.levels[0][only]],
                call.uv[only],
                call.mode,
                boundary,
                call.uv_da[only],
                call.bias[only],
                call.depth,
            )
            assert torch.equal(alone.run(way, way.device), out[only]), boundary
            for name, value in alone.gradients(way, way.device, torch.ones_like(out[only])).items():
                torch.testing.assert_close(value, found[name][only], msg=f"{boundary} {name}")


def exact(call: Call, d_out: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Value, certainty and gradients in float64; ``d_out`` counts as 0 where a gradient may jump."""

    def leaf(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.double().requires_grad_()

    given = [level.double().requires_grad_() for level in call.levels]
    levels = list(given)
    for height, width in sizes(*given[0].shape[-3:-1], call.depth):
        finer = levels[-1]
        steps = finer.shape[-3] // height, finer.shape[-2] // width
        levels.append(finer.unflatten(-3, (height, steps[0])).unflatten(-2, (width, steps[1])).mean((-4, -2)))
    uv, uv_da, bias = leaf(call.uv), leaf(call.uv_da), leaf(call.bias)
    assert uv is not None
    found = texture_reference.sample(levels, uv, uv_da, bias, call.mode, call.boundary)
    sure = found.distance > 2e-4
    found.out.backward(d_out.double() * sure[..., None])
    wants = call.wants
    named = {f"mip{n}" if n else "tex": level for n, level in enumerate(given)}
    named |= {"uv": uv} if wants.uv else {}
    named |= {"uv_da": uv_da} if wants.uv_da and uv_da is not None else {}
    named |= {"bias": bias} if wants.bias and bias is not None else {}
    gradients = {name: torch.zeros_like(each) if each.grad is None else each.grad for name, each in named.items()}
    return found.out.detach(), sure, gradients


def check_against_float64(way: Way, call: Call) -> None:
    out = call.run(way, way.device)
    d_out = normal(99, *out.shape)
    want, sure, gradients = exact(call, d_out)
    assert float(sure.float().mean()) > 0.8
    torch.testing.assert_close(out[sure], want[sure].float(), rtol=0, atol=2e-5)
    found = call.gradients(way, way.device, d_out * sure[..., None])
    assert set(found) == set(gradients)
    for name, value in found.items():
        largest = float(gradients[name].abs().max())
        assert largest > 0 or (name != "tex" and 1 in call.levels[0].shape[-3:-1]), name
        torch.testing.assert_close(
            value.double(),
            gradients[name],
            rtol=1e-4,
            atol=2e-5 * largest,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES[2:])
def test_mipmapped_values_and_gradients_are_those_of_the_formulas(way: Way, mode: str, boundary: str, by: str) -> None:
    check_against_float64(way, scene(mode, boundary, by=by, seed=20))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradients_of_levels_that_were_given(way: Way, boundary: str) -> None:
    check_against_float64(way, scene("linear-mipmap-linear", boundary, custom=True, batch=(2, 2), seed=40))


@pytest.mark.parametrize(
    "texture", [(8, 16, 3), (7, 13, 1), (5, 5, 2), (1, 9, 4), (9, 1, 12), (1, 1, 3), (2, 2, 33)], ids=str
)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES[:2])
def test_values_and_gradients_of_any_size(way: Way, mode: str, boundary: str, texture: tuple[int, ...]) -> None:
    check_against_float64(way, scene(mode, boundary, texture=texture, batch=(2, 2), seed=60))


@pytest.mark.parametrize("texture", [(1, 32, 3), (32, 1, 2), (6, 20, 3), (4, 4, 9)], ids=str)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_pyramids_of_any_shape(way: Way, boundary: str, texture: tuple[int, ...]) -> None:
    check_against_float64(way, scene("linear-mipmap-linear", boundary, texture=texture, seed=80))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_only_what_is_wanted_is_given(way: Way, boundary: str) -> None:
    call = scene("linear-mipmap-linear", boundary)
    d_out = torch.ones(2, 24, 20, 3)
    everything = call.gradients(way, way.device, d_out)
    for name, wants in {
        "tex": TextureWants(True, False, False, False),
        "uv": TextureWants(False, True, False, False),
        "uv_da": TextureWants(False, False, True, False),
        "bias": TextureWants(False, False, False, True),
    }.items():
        found = call.gradients(way, way.device, d_out, wants)
        assert set(found) == {name}
        torch.testing.assert_close(found[name], everything[name])


@pytest.mark.parametrize("channels", [3, 64])
@pytest.mark.parametrize("boundary", ["wrap", "cube"])
def test_many_pixels_are_as_few(way: Way, boundary: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With little memory, in which many channels do not fit at once."""
    monkeypatch.setattr("rasterizer.runtime.memory.free_memory", lambda device: 0)
    call = scene("linear-mipmap-linear", boundary, texture=(8, 8, channels), batch=(2, 2), image=(150, 140))
    assert call.uv_da is not None and call.bias is not None
    out = call.run(way, way.device)
    d_out = normal(5, *out.shape)
    whole = call.gradients(way, way.device, d_out)
    total = torch.zeros_like(whole["tex"])
    for rows in range(0, 150, 50):
        part = (slice(None), slice(rows, rows + 50))
        few = Call(
            call.levels,
            call.uv[part].contiguous(),
            call.mode,
            boundary,
            call.uv_da[part].contiguous(),
            call.bias[part].contiguous(),
            call.depth,
        )
        torch.testing.assert_close(few.run(way, way.device), out[part], rtol=0, atol=2e-6)
        found = few.gradients(way, way.device, d_out[part].contiguous())
        for name in ("uv", "uv_da", "bias"):
            largest = float(whole[name].abs().max())
            torch.testing.assert_close(found[name], whole[name][part], rtol=0, atol=2e-6 * largest)
        total += found["tex"]
    torch.testing.assert_close(total, whole["tex"], rtol=0, atol=1e-5 * float(total.abs().max()))


@contextmanager
def deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradients_repeat_where_that_is_asked_for(way: Way, boundary: str) -> None:
    """Bit for bit by operators, which are then taken instead of kernels; by kernels but for the order of sums."""
    call = scene("linear-mipmap-linear", boundary, image=(200, 200), texture=(4, 4, 3))
    d_out = normal(6, 2, 200, 200, 3)
    with deterministic():
        first = call.gradients(way, way.device, d_out)
        for _ in range(3):
            for name, value in call.gradients(way, way.device, d_out).items():
                slack = 0.0 if way.family == "eager" else 2e-5 * float(first[name].abs().max())
                torch.testing.assert_close(value, first[name], rtol=0, atol=slack, msg=name)
