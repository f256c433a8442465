"""Interpolation and its gradients, every implementation: recordings, the formulas in float64, and inputs gone wrong."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.diff.conftest import OPERATORS, Way
from tests.support import nvdiffrast_golden as golden

NAN = float("nan")


class Scene(NamedTuple):
    """What interpolation takes, and gradients of what it gives."""

    attr: Tensor
    rast: Tensor
    tri: Tensor
    rast_db: Tensor
    d_out: Tensor
    d_da: Tensor


def scene(
    shape: tuple[int, ...], size: tuple[int, int, int] = (2, 21, 17), triangles: int = 30, chosen: int = 0, drawn=0.7
) -> Scene:
    """Random; ``shape`` is that of the attributes. A share of ``drawn`` pixels shows a triangle."""
    generator = torch.Generator().manual_seed(5)

    def normal(*of: int) -> Tensor:
        return torch.randn(of, generator=generator)

    weights = torch.rand((*size, 3), generator=generator)
    weights /= weights.sum(-1, keepdim=True)
    ids = torch.randint(1, triangles + 1, size, generator=generator).float()
    here = torch.rand(size, generator=generator) < drawn
    rast = torch.cat((weights[..., :2], normal(*size, 1), ids[..., None]), -1) * here[..., None]
    tri = torch.randint(shape[-2], (triangles, 3), generator=generator, dtype=torch.int32)
    rast_db = normal(*size, 4) * here[..., None]
    return Scene(normal(*shape), rast, tri, rast_db, normal(*size, shape[-1]), normal(*size, 2 * chosen))


def formulas(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor, chosen: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """The contract's formulas, plainly; differentiable."""
    ids = rast[..., 3].detach().long()
    shown = ((ids > 0) & (ids <= len(tri)))[..., None]
    corners = tri.long()[(ids - 1).clamp(0, len(tri) - 1)]
    if attr.ndim == 2 or len(attr) == 1:
        rows = attr.reshape(-1, attr.shape[-1])[corners]
    else:
        rows = torch.stack([table[index] for table, index in zip(attr, corners, strict=True)])
    a, b, c = rows.unbind(-2)
    u, v = rast[..., 0:1], rast[..., 1:2]
    out = u * a + v * b + (1 - u - v) * c
    slopes = [
        rast_db[..., axis, None] * (a - c) + rast_db[..., 2 + axis, None] * (b - c) for axis in (0, 1)
    ]  # by x and by y
    columns = [slope[..., which] if which >= 0 else 0 * slope[..., 0] for which in chosen for slope in slopes]
    da = torch.stack(columns, -1) if columns else out[..., :0]
    return torch.where(shown, out, 0), torch.where(shown, da, 0)


def run(way: Way, given: Scene, every: bool, chosen: tuple[int, ...]) -> tuple[Tensor, ...]:
    """All that an implementation gives: values, derivatives, gradients of attr, rast and rast_db."""
    attr, rast, tri, rast_db, d_out, d_da = (each.to(way.device) for each in given)
    db = rast_db if every or chosen else None
    results = way("interpolate")(attr, rast, tri, db, every, chosen)
    wanted = (True, True, db is not None)
    gradients = way("interpolate_backward")(
        attr, rast, tri, db, every, chosen, d_out, d_da if db is not None else None, wanted
    )
    return tuple(each.cpu() for each in (*results, *gradients) if each is not None)


def wanted_of(given: Scene, chosen: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The same in float64, by autograd."""
    attr, rast, rast_db = (each.double().requires_grad_() for each in (given.attr, given.rast, given.rast_db))
    out, da = formulas(attr, rast, given.tri, rast_db, chosen)
    loss = (out * given.d_out).sum() + ((da * given.d_da).sum() if chosen else 0)
    gradients = torch.autograd.grad(loss, (attr, rast, rast_db)[: 3 if chosen else 2])
    return (out.detach(), da.detach(), *gradients)


def assert_close(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...], tolerance: float = 2e-6) -> None:
    assert len(found) == len(wanted)
    for some, right in zip(found, wanted, strict=True):
        assert some.shape == right.shape and some.dtype == torch.float32 and some.is_contiguous()
        if some.numel():
            error, scale = (some - right).abs().max().item(), right.abs().max().item()
            assert error <= tolerance * max(1.0, scale)


@pytest.mark.parametrize("name", golden.names("interp_"))
def test_recordings(way: Way, name: str) -> None:
    case = golden.load(name)
    raster = golden.load(case.meta["uses_rast_case"])
    attributes = case.meta["attr_shape"][-1]
    every, listed = case.meta["diff_attrs"] == "all", case.meta["diff_attrs"] or []
    chosen = () if every else tuple(each % attributes if -attributes <= each < attributes else -1 for each in listed)
    seeds = case.meta["dy_seeds"]
    d_da = golden.normal(seeds[1], *case.meta["out_da_shape"])
    given = Scene(
        golden.normal(case.meta["attr_seed"], *case.meta["attr_shape"]),
        raster["out_rast"],
        case["in_tri"],
        raster["out_db"],
        golden.normal(seeds[0], *case["out"].shape),
        d_da,
    )
    names = ["out", "out_da", "g_attr", "g_rast", "g_db"] if every or chosen else ["out", None, "g_attr", "g_rast"]
    assert_close(run(way, given, every, chosen), tuple(case[each] if each else d_da for each in names))


@pytest.mark.parametrize("drawn", [0.9, 0.1, 0.0])
@pytest.mark.parametrize(
    ("shape", "every", "chosen"),
    [
        ((50, 3), False, ()),
        ((1, 50, 2), True, ()),
        ((2, 50, 2), True, ()),
        ((2, 50, 4), False, (3, -1, 0, 3)),
        ((50, 19), False, (8, -1, 2, 2)),
        ((2, 50, 22), True, ()),
        ((1, 50, 40), False, ()),
    ],
)
def test_formulas_in_float64(
    way: Way, shape: tuple[int, ...], every: bool, chosen: tuple[int, ...], drawn: float
) -> None:
    named = tuple(range(shape[-1])) if every else chosen
    given = scene(shape, chosen=len(named), drawn=drawn)
    assert_close(run(way, given, every, chosen), wanted_of(given, named))


@OPERATORS
@pytest.mark.parametrize("attributes", [2, 21])
def test_images_of_many_chunks(way: Way, attributes: int) -> None:
    given = scene((1, 90, attributes), (3, 300, 301), triangles=200, chosen=attributes)
    assert_close(run(way, given, True, ()), wanted_of(given, tuple(range(attributes))), tolerance=2e-5)


@pytest.mark.parametrize("attributes", [3, 20])
def test_one_gradient_without_the_other(way: Way, attributes: int) -> None:
    given = scene((50, attributes), chosen=attributes)
    chosen = tuple(range(attributes))
    attr, rast, tri, rast_db, d_out, d_da = (each.to(way.device) for each in given)
    backward = way("interpolate_backward")
    everything = (True, True, True)

    found = backward(attr, rast, tri, rast_db, True, (), d_out, None, everything)
    assert_close(tuple(each.cpu() for each in found), wanted_of(given._replace(d_da=0 * given.d_da), chosen)[2:])
    found = backward(attr, rast, tri, rast_db, True, (), None, d_da, everything)
    assert_close(tuple(each.cpu() for each in found), wanted_of(given._replace(d_out=0 * given.d_out), chosen)[2:])

    right = wanted_of(given, chosen)[2:]
    for place in range(3):
        wanted = tuple(each == place for each in range(3))
        found = backward(attr, rast, tri, rast_db, True, (), d_out, d_da, wanted)
        assert [each is not None for each in found] == list(wanted)
        assert_close((found[place].cpu(),), (right[place],))


@pytest.mark.parametrize("attributes", [2, 20])
def test_triangles_of_other_meshes_are_background(way: Way, attributes: int) -> None:
    given = scene((50, attributes), triangles=30, chosen=attributes)
    fewer = given._replace(tri=given.tri[:11].contiguous())
    found = run(way, fewer, True, ())
    assert_close(found, wanted_of(fewer, tuple(range(attributes))))
    beyond = given.rast[..., 3] > 11
    assert beyond.any()
    assert all(not each[beyond].any() for each in (found[0], found[1], found[3], found[4]))


@pytest.mark.parametrize("attributes", [2, 20])
def test_vertices_out_of_range_give_nothing(way: Way, attributes: int) -> None:
    given = scene((50, attributes), triangles=30, chosen=attributes)
    wrong = given.tri.clone()
    wrong[3, 0], wrong[7, 1], wrong[11, 2], wrong[13] = -1, 50, 2**31 - 1, -(2**31)
    hidden = sum((given.rast[..., 3] == row + 1).int() for row in (3, 7, 11, 13)).bool()
    right = given._replace(rast=given.rast.masked_fill(hidden[..., None], 0.0))
    rast = given.rast.clone()
    rast[..., :2] = torch.where(hidden[..., None], NAN, rast[..., :2])
    found = run(way, given._replace(tri=wrong, rast=rast), True, ())
    assert_close(found, wanted_of(right, tuple(range(attributes))))


@pytest.mark.parametrize("attributes", [2, 20])
@pytest.mark.parametrize("drawn", [0.8, 0.2])
def test_background_is_zero_whatever_stands_there(way: Way, attributes: int, drawn: float) -> None:
    given = scene((50, attributes), chosen=attributes, drawn=drawn)
    right = wanted_of(given, tuple(range(attributes)))
    empty = given.rast[..., 3] == 0
    rast, rast_db, d_out, d_da = (each.clone() for each in (given.rast, given.rast_db, given.d_out, given.d_da))
    for each in (rast, rast_db, d_out, d_da):
        each[empty] = NAN
    ids = torch.tensor([NAN, -1.0, 0.0, -0.0, 0.5, 31.0, 1e30, -1e30, float("inf"), -float("inf"), 2.0**24, 2.0**31])
    rast[..., 3][empty] = ids.repeat(100)[: int(empty.sum())]
    found = run(way, given._replace(rast=rast, rast_db=rast_db, d_out=d_out, d_da=d_da), True, ())
    assert_close(found, right)
    assert all(not each[empty].any() for each in (found[0], found[1], found[3], found[4]))


def test_only_pixels_of_a_bad_vertex_are_bad(way: Way) -> None:
    given = scene((50, 3), chosen=3)
    attr = given.attr.clone()
    attr[7], attr[0] = NAN, float("inf")
    ids = given.rast[..., 3].long()
    bad = ((given.tri == 7) | (given.tri == 0)).any(1)[(ids - 1).clamp(min=0)] & (ids > 0)
    out, da, *_ = run(way, given._replace(attr=attr), True, ())
    right = wanted_of(given, (0, 1, 2))
    assert_close((out[~bad], da[~bad]), (right[0][~bad], right[1][~bad]))
    assert bad.any() and not out[bad].isfinite().any()


@OPERATORS
@pytest.mark.parametrize("attributes", [2, 20])
def test_gradients_repeat_bit_by_bit(way: Way, attributes: int) -> None:
    given = scene((1, 60, attributes), (2, 400, 401), chosen=attributes)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(way.device.type != "cpu")
        first, second = run(way, given, True, ()), run(way, given, True, ())
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
