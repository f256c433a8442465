"""The recorded probes of nvdiffrast's interface, asked of our ``nvdiffrast.torch``: what it refuses and how, and what
kinds of results it gives.
"""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rasterizer.dropin.modules.nvdiffrast import torch as dr
from tests.support.nvdiffrast_golden import behaviour, load, normal

_CASE = load("rast_sphere")
POS, TRI, SIZE = _CASE["in_pos"], _CASE["in_tri"], (16, 16)
FLAT, POS3 = POS[0], POS.repeat(3, 1, 1)
CTX = dr.RasterizeCudaContext()
RAST, DB = dr.rasterize(CTX, POS, TRI, SIZE)
RAST3, _ = dr.rasterize(CTX, POS3, TRI, SIZE)
ATTR = normal(1, 1, POS.shape[1], 3)
COLOR = normal(2, 1, *SIZE, 3)
TEX, UV, DA = normal(3, 1, 8, 8, 3), normal(4, 1, 4, 4, 2), normal(5, 1, 4, 4, 4)
BIAS = torch.zeros(1, 4, 4)
LINEAR = "linear-mipmap-linear"
NAN = float("nan")


def _rasterize(pos: Any = POS, tri: Any = TRI, resolution: Any = SIZE, **options: Any) -> tuple[Tensor, Tensor]:
    return dr.rasterize(CTX, pos, tri, resolution, **options)


def _ranges(*rows: list[int], **options: Any) -> Tensor:
    return torch.tensor(rows, **{"dtype": torch.int32, **options})


def _drawn(first: int, count: int) -> float:
    return float((_rasterize(FLAT, ranges=_ranges([first, count]))[0][..., 3] > 0).sum())


def _elsewhere(value: Tensor) -> Tensor:
    return value.to("meta")


def _peel(body: Callable[[dr.DepthPeeler], Any]) -> Any:
    with dr.DepthPeeler(dr.RasterizeCudaContext(), POS, TRI, SIZE) as peeler:
        return body(peeler)


def _rasterize_inside() -> Any:
    context = dr.RasterizeCudaContext()
    with dr.DepthPeeler(context, POS, TRI, SIZE):
        return dr.rasterize(context, POS, TRI, SIZE)


def _peel_twice_at_once() -> None:
    context = dr.RasterizeCudaContext()
    with dr.DepthPeeler(context, POS, TRI, SIZE), dr.DepthPeeler(context, POS, TRI, SIZE):
        pass


def _active_after_exception() -> str:
    context = dr.RasterizeCudaContext()
    with pytest.raises(ZeroDivisionError), dr.DepthPeeler(context, POS, TRI, SIZE):
        assert context.active_depth_peeler is not None
        raise ZeroDivisionError
    return str(context.active_depth_peeler)


def _enter_again() -> None:
    peeler = dr.DepthPeeler(CTX, POS, TRI, SIZE)
    with peeler:
        pass
    with peeler:
        pass


def _layers() -> list[float]:
    return _peel(lambda peeler: [float((peeler.rasterize_next_layer()[0][..., 3] > 0).sum()) for _ in range(3)])


def _gl(**options: Any) -> list[Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        context = dr.RasterizeGLContext(**options)
    _, derivatives = dr.rasterize(context, POS, TRI, SIZE)
    kinds = [warning.category.__name__ for warning in caught]
    return [isinstance(context, dr.RasterizeCudaContext), kinds, list(derivatives.shape), bool(derivatives.any())]


def _need_gradients(**options: Any) -> list[bool]:
    return [value.requires_grad for value in _rasterize(POS.clone().requires_grad_(), **options)]


def _interpolate(attr: Any = ATTR, rast: Any = RAST, tri: Any = TRI, *rest: Any) -> tuple[Tensor, Tensor]:
    return dr.interpolate(attr, rast, tri, *rest)


def _few_vertices() -> bool:
    """Indices beyond the attributes are no reason to fail."""
    return bool(torch.isfinite(_interpolate(ATTR[:, :5].contiguous())[0]).all())


def _gradient_of_other_strides() -> bool:
    attr = ATTR.clone().requires_grad_()
    _interpolate(attr)[0].permute(0, 3, 2, 1).square().sum().backward()
    return bool(attr.grad.any())


def _texture(tex: Any = TEX, uv: Any = UV, *rest: Any, **options: Any) -> Tensor:
    return dr.texture(tex, uv, *rest, **options)


def _numbered_levels(bias: list[float] | None, da: list[list[float]] | None, mode: str = LINEAR) -> list[float]:
    """Levels that are looked up, of a texture whose every level holds its number."""
    count = len(bias or da or ())
    levels = [torch.full((1, 8 >> level, 8 >> level, 1), float(level)) for level in range(4)]
    uv = torch.full((1, 1, count, 2), 0.3)
    found = dr.texture(
        levels[0],
        uv,
        None if da is None else torch.tensor(da)[None, None],
        None if bias is None else torch.tensor(bias)[None, None],
        mip=levels[1:],
        filter_mode=mode,
    )
    return found.flatten().tolist()


def _at_every_odd_place(mode: str, boundary: str) -> Tensor:
    places = [NAN, float("inf"), -float("inf"), 2.0**31, -1e30]
    uv = torch.tensor([[value, 0.3] for value in places] + [[0.3, value] for value in places])[None, None]
    return dr.texture(TEX, uv, filter_mode=mode, boundary_mode=boundary)


def _made_before_a_change() -> bool:
    """Levels that were made beforehand stay as they were."""
    tex = TEX.clone()
    mip, bias = dr.texture_construct_mip(tex), torch.full((1, 4, 4), 9.0)
    tex.zero_()
    found = dr.texture(tex, UV, None, bias, mip=mip, filter_mode=LINEAR)
    return bool(torch.allclose(found, TEX.mean((1, 2)).expand_as(found), atol=1e-6))


def _cube_faces(recorded: list[list[Any]]) -> list[list[Any]]:
    """The face that a direction hits, and where, of a cube whose texels hold that."""
    side = 64
    place = (torch.arange(side) + 0.5) / side
    t, s = torch.meshgrid(place, place, indexing="ij")
    cube = torch.stack([torch.stack([torch.full_like(s, face), s, t], -1) for face in range(6)])[None]
    directions = torch.tensor([direction for direction, *_ in recorded], dtype=torch.float32)[None, None]
    found = dr.texture(cube, directions, filter_mode="nearest", boundary_mode="cube")
    rows = [[round(value, 4) for value in row] for row in found[0, 0].tolist()]
    return [[direction, *row] for (direction, *_), row in zip(recorded, rows, strict=True)]


def _antialias(color: Any = COLOR, rast: Any = RAST, pos: Any = POS, tri: Any = TRI, *rest: Any) -> Tensor:
    return dr.antialias(color, rast, pos, tri, *rest)


def _inputs_unchanged() -> list[bool]:
    color, rast = COLOR.clone(), RAST.clone()
    _antialias(color, rast)
    return [torch.equal(color, COLOR), torch.equal(rast, RAST)]


def _slices(value: Tensor) -> Tensor:
    """The same values with strides of another kind."""
    return torch.stack((value, value), -1)[..., 0]


REFUSED: dict[str, Callable[[], Any]] = {
    "rast.cpu_pos": lambda: _rasterize(_elsewhere(POS)),
    "rast.cpu_tri": lambda: _rasterize(tri=_elsewhere(TRI)),
    "rast.xyz": lambda: _rasterize(POS[..., :3]),
    "rast.range_without_ranges": lambda: _rasterize(FLAT),
    "rast.ranges_cuda": lambda: _rasterize(FLAT, ranges=_elsewhere(_ranges([0, 9]))),
    "rast.empty_tri": lambda: _rasterize(tri=TRI[:0]),
    "rast.empty_pos": lambda: _rasterize(POS[:, :0]),
    "rast.batch0": lambda: _rasterize(POS[:0]),
    "rast.res0": lambda: _rasterize(resolution=(0, 16)),
    "rast.res_float": lambda: _rasterize(resolution=(16.0, 8.0)),
    "rast.res_int": lambda: _rasterize(resolution=16),
    "rast.grad_db_1": lambda: _rasterize(grad_db=1),
    "rast.ctx_none": lambda: dr.rasterize(None, POS, TRI, SIZE),
    "peel.nested": _peel_twice_at_once,
    "peel.reenter": _enter_again,
    "peel.outside_with": lambda: dr.DepthPeeler(CTX, POS, TRI, SIZE).rasterize_next_layer(),
    "interp.da_without_db": lambda: _interpolate(ATTR, RAST, TRI, None, "all"),
    "interp.da_np": lambda: _interpolate(ATTR, RAST, TRI, DB, np.array([0, 1])),
    "interp.da_int": lambda: _interpolate(ATTR, RAST, TRI, DB, 1),
    "interp.da_33": lambda: _interpolate(ATTR, RAST, TRI, DB, [0] * 33),
    "interp.int_attr": lambda: _interpolate(ATTR.int()),
    "interp.attr3_rast1": lambda: _interpolate(ATTR.repeat(3, 1, 1)),
    "interp.attr2_rast3": lambda: _interpolate(ATTR.repeat(2, 1, 1), RAST3),
    "interp.C0": lambda: _interpolate(ATTR[..., :0]),
    "interp.cpu_tri": lambda: _interpolate(tri=_elsewhere(TRI)),
    "interp.rast_permuted": lambda: _interpolate(rast=RAST.permute(0, 3, 1, 2)),
    "tex.lml_without_da": lambda: _texture(filter_mode=LINEAR),
    "tex.bad_filter": lambda: _texture(filter_mode="cubic"),
    "tex.bad_boundary": lambda: _texture(boundary_mode="mirror"),
    "tex.odd_mip": lambda: _texture(normal(3, 1, 12, 8, 3), UV, DA),
    "tex.cube_on_4d": lambda: _texture(boundary_mode="cube"),
    "tex.5d_wrap": lambda: _texture(normal(3, 1, 6, 4, 4, 3)),
    "tex.cube_nonsquare": lambda: _texture(normal(3, 1, 6, 4, 8, 3), normal(4, 1, 4, 4, 3), boundary_mode="cube"),
    "tex.batch_mismatch": lambda: _texture(TEX.repeat(2, 1, 1, 1), UV.repeat(3, 1, 1, 1)),
    "tex.uv_bcast": lambda: _texture(TEX.repeat(3, 1, 1, 1)),
    "tex.cpu": lambda: _texture(uv=_elsewhere(UV)),
    "tex.3d": lambda: _texture(TEX[0]),
    "tex.uv3d": lambda: _texture(uv=UV[0]),
    "tex.bias4d": lambda: _texture(TEX, UV, None, BIAS[..., None]),
    "tex.da_bad": lambda: _texture(TEX, UV, DA[..., :2]),
    "tex.mip_tuple": lambda: _texture(TEX, UV, DA, mip=(TEX[:, ::2, ::2],)),
    "tex.mip_empty_list": lambda: _texture(TEX, UV, DA, mip=[]),
    "tex.mip_wrong_size": lambda: _texture(TEX, UV, DA, mip=[TEX]),
    "tex.mip_wrapper_other_size": lambda: _texture(TEX, UV, DA, mip=dr.texture_construct_mip(TEX[:, :4])),
    "tex.mip_wrapper_other_batch": lambda: _texture(TEX, UV, DA, mip=dr.texture_construct_mip(TEX.repeat(2, 1, 1, 1))),
    "tex.max_neg": lambda: _texture(TEX, UV, DA, max_mip_level=-1),
    "tex.huge": lambda: _texture(torch.zeros(1, 1, 65537, 1)),
    "aa.pos_bcast": lambda: _antialias(COLOR.repeat(3, 1, 1, 1), RAST3, POS),
    "aa.res_mismatch": lambda: _antialias(COLOR[:, :8]),
    "aa.bad_hash": lambda: _antialias(COLOR, RAST, POS, TRI, "hash"),
    "aa.hash_empty": lambda: dr.antialias_construct_topology_hash(TRI[:0]),
}
"""What is refused by exceptions of the recorded kinds."""

GIVEN: dict[str, Callable[[], Any]] = {
    "rast.ok": _rasterize,
    "rast.ranges_in_instanced": lambda: _rasterize(ranges=_ranges([0, 5])),
    "rast.ranges_all_empty": lambda: _drawn(5, 0),
    "rast.res_list": lambda: _rasterize(resolution=[16, 8]),
    "rast.res_np": lambda: _rasterize(resolution=np.array([16, 8])),
    "rast.res_tensor": lambda: _rasterize(resolution=torch.tensor([16, 8])),
    "rast.res_1x1": lambda: _rasterize(resolution=(1, 1)),
    "rast.nan_pos": lambda: float((_rasterize(torch.full_like(POS, NAN))[0] != 0).sum()),
    "rast.inf_pos": lambda: float((_rasterize(torch.full_like(POS, float("inf")))[0] != 0).sum()),
    "rast.requires_grad_flags": _need_gradients,
    "rast.requires_grad_flags_nodb": lambda: _need_gradients(grad_db=False),
    "rast.output_layout": lambda: [value.is_contiguous() for value in _rasterize()],
    "peel.active_after_exc": _active_after_exception,
    "gl.context": lambda: _gl(output_db=False),
    "gl.mode_kw": lambda: _gl(mode="manual")[0],
    "ctx.device_forms": lambda: [
        isinstance(dr.RasterizeCudaContext(device=device), dr.RasterizeCudaContext)
        for device in ("cuda", "cuda:0", torch.device("cuda:0"), 0)
    ],
    "log_level.default": dr.get_log_level,
    "log_level.set": lambda: [dr.set_log_level(0), dr.get_log_level(), dr.set_log_level(1), dr.get_log_level()],
    "interp.no_da_second": lambda: [
        list(_interpolate(ATTR, RAST, TRI, *rest)[1].shape) for rest in ((), (DB,), (DB, []))
    ],
    "interp.da_tuple": lambda: list(_interpolate(ATTR, RAST, TRI, DB, (0, 1))[1].shape),
    "interp.da_tensor": lambda: list(_interpolate(ATTR, RAST, TRI, DB, torch.tensor([0, 1]))[1].shape),
    "interp.da_32": lambda: _interpolate(ATTR, RAST, TRI, DB, [0] * 32),
    "interp.bcast": lambda: _interpolate(ATTR, RAST3),
    "interp.flat_attr_instanced": lambda: _interpolate(ATTR[0], RAST3),
    "interp.few_verts": _few_vertices,
    "interp.rast_noncontig": lambda: _interpolate(rast=_slices(RAST))[0],
    "interp.noncontig_upstream": _gradient_of_other_strides,
    "tex.da_with_linear": lambda: _texture(TEX, UV, DA, filter_mode="linear"),
    "tex.odd_mip_nearest": lambda: _texture(normal(3, 1, 12, 8, 3), UV, DA, filter_mode="nearest"),
    "tex.mip_wrapper_ignores_max": lambda: torch.equal(
        _texture(TEX, UV, DA, mip=dr.texture_construct_mip(TEX), max_mip_level=1), _texture(TEX, UV, DA)
    ),
    "tex.mip_with_linear": lambda: _texture(TEX, UV, mip=[TEX[:, ::2, ::2]], filter_mode="linear"),
    "tex.max65536": lambda: _texture(torch.zeros(1, 1, 65536, 1)),
    "tex.special_bias_level": lambda: _numbered_levels([NAN, float("inf"), -float("inf"), 1.25, -3, 7], None),
    "tex.special_da_level": lambda: _numbered_levels(
        None, [*([value] * 4 for value in (NAN, float("inf"), 0.0, 1e-30, 1e30)), [NAN, 0.0, 0.0, 0.0]]
    ),
    "aa.ok": _antialias,
    "aa.pos_flat": lambda: _antialias(COLOR.repeat(3, 1, 1, 1), RAST3, FLAT),
    "aa.inplace_input_unchanged": _inputs_unchanged,
}
"""What is given in the recorded kind: the shapes, dtypes and flags of tensors, and other values as they are."""

LENIENT: dict[str, Callable[[], Any]] = {
    "rast.noncontig": lambda: _rasterize(_slices(POS)),
    "rast.half": lambda: _rasterize(POS.half()),
    "rast.double": lambda: _rasterize(POS.double()),
    "rast.int64tri": lambda: _rasterize(tri=TRI.long()),
    "rast.ranges_i64": lambda: _rasterize(FLAT, ranges=_ranges([0, 320], dtype=torch.int64)),
    "ctx.device_cpu": lambda: dr.RasterizeCudaContext(device="cpu"),
    "interp.noncontig_attr": lambda: _interpolate(_slices(ATTR)),
    "interp.expand_attr": lambda: _interpolate(ATTR.expand(3, -1, -1), RAST3),
    "interp.half_attr": lambda: _interpolate(ATTR.half()),
    "interp.i64_tri": lambda: _interpolate(tri=TRI.long()),
    "tex.half": lambda: _texture(TEX.half()),
    "tex.noncontig": lambda: _texture(_slices(TEX)),
    "tex.noncontig_uv": lambda: _texture(uv=_slices(UV)),
    "aa.noncontig": lambda: _antialias(_slices(COLOR)),
    "aa.half": lambda: _antialias(COLOR.half()),
    "aa.hash_i64": lambda: dr.antialias_construct_topology_hash(TRI.long()),
}
"""What the original refuses, and we take."""

OTHERWISE = {
    "rast.ranges_too_big",
    "rast.ranges_neg",
    "peel.rasterize_inside",
    "peel.layers_sphere",
    "tex.mip_stale",
    "tex.special_nearest_wrap",
    "tex.special_nearest_clamp",
    "tex.special_nearest_zero",
    "tex.special_linear_wrap",
    "tex.special_linear_clamp",
    "tex.special_linear_zero",
    "tex.lmn_level_from_bias",
    "tex.lml_level_from_bias",
    "tex.lml_level_from_da",
    "tex.cube_orientation",
}
"""Tested below: the recorded values are of inputs that were not recorded, or need more than a comparison."""

NOT_OURS = {
    "rast.id_above_2_24": "needs 17 million triangles",
    "rast.too_many_instanced": "there is no such limit",
    "determinism": "that the original repeats itself, or not",
    "ties_distinct_results_in_20": "that the original repeats itself",
    **{name: "the original's own gradients" for name in behaviour() if name.startswith("tex.adjoint_")},
}
"""What is not asked."""


def _fits(found: Any, recorded: Any) -> bool:
    if isinstance(found, Tensor):
        same = list(found.shape) == recorded["shape"] and str(found.dtype) == recorded["dtype"]
        return same and found.requires_grad == recorded.get("requires_grad", False)
    if isinstance(found, tuple):
        return len(found) == len(recorded) and all(map(_fits, found, recorded))
    return found == recorded


def test_every_probe_is_accounted_for() -> None:
    groups = [set(group) for group in (REFUSED, GIVEN, LENIENT, OTHERWISE, NOT_OURS)]
    assert set.union(*groups) == set(behaviour())
    assert sum(map(len, groups)) == len(behaviour())


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_the_same_kind_of_exception(name: str) -> None:
    recorded = behaviour()[name]
    assert not recorded["ok"]
    with pytest.raises(getattr(builtins, recorded["exc"])) as caught:
        REFUSED[name]()
    assert str(caught.value), "it says nothing"


@pytest.mark.parametrize("name", GIVEN)
def test_given_in_the_same_form(name: str) -> None:
    recorded = behaviour()[name]
    assert recorded["ok"]
    found = GIVEN[name]()
    assert _fits(found, recorded["value"]), found


@pytest.mark.parametrize("name", LENIENT)
def test_taken_though_the_original_refuses_it(name: str) -> None:
    assert not behaviour()[name]["ok"]
    LENIENT[name]()


def test_ranges_that_reach_beyond_the_triangles() -> None:
    last = len(TRI) - 10
    assert _drawn(last, 40) == _drawn(last, 10) > 0
    assert _drawn(-3, 40) == _drawn(0, 37) > 0


def test_rasterizing_beside_an_active_peeler_raises() -> None:
    assert behaviour()["peel.rasterize_inside"]["value"] == "RuntimeError"  # which the original returns
    with pytest.raises(RuntimeError, match="with block"):
        _rasterize_inside()


def test_layers_of_a_sphere() -> None:
    front, back, rest = _layers()
    assert front == back > 0 == rest
    first = _peel(lambda peeler: peeler.rasterize_next_layer())
    assert all(torch.equal(found, want) for found, want in zip(first, (RAST, DB), strict=True))


def test_another_context_may_be_used_between_layers() -> None:
    def body(peeler: dr.DepthPeeler) -> None:
        peeler.rasterize_next_layer()
        assert torch.equal(_rasterize()[0], RAST)
        assert not torch.equal(peeler.rasterize_next_layer()[0], RAST)

    _peel(body)


def test_a_peeler_lets_go_of_its_tensors_and_its_context() -> None:
    context = dr.RasterizeCudaContext()
    with dr.DepthPeeler(context, POS, TRI, SIZE) as peeler:
        peeler.rasterize_next_layer()
        assert context.active_depth_peeler is peeler
    assert context.active_depth_peeler is None and not any(vars(peeler).values())
    with pytest.raises(AssertionError, match="outside"):
        peeler.rasterize_next_layer()


def test_leaving_a_peeler_that_was_not_entered_leaves_others_alone() -> None:
    context = dr.RasterizeCudaContext()
    with dr.DepthPeeler(context, POS, TRI, SIZE) as peeler:
        dr.DepthPeeler(context, POS, TRI, SIZE).__exit__(None, None, None)
        assert context.active_depth_peeler is peeler


def test_levels_made_beforehand_are_those_of_that_moment() -> None:
    assert _made_before_a_change()


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_places_that_are_none(mode: str, boundary: str) -> None:
    found = _at_every_odd_place(mode, boundary)
    inside = (found.abs() <= TEX.abs().max() + 1e-6) | found.isnan()
    assert bool(inside.all())
    if mode == "nearest":
        assert not found.isnan().any()
    if boundary == "clamp" and mode == "linear":
        at_edge = dr.texture(TEX, torch.tensor([[[[0.0, 0.3], [1.0, 0.3]]]]), filter_mode=mode, boundary_mode=boundary)
        assert torch.equal(found[0, 0, 0], at_edge[0, 0, 0]) and torch.equal(found[0, 0, 1], at_edge[0, 0, 1])


def test_levels_by_bias_and_by_derivatives() -> None:
    recorded = behaviour()
    # 101 steps from -1 to 4 are what the recorded levels tell of the bias, which was not recorded.
    bias = [-1 + 0.05 * step for step in range(101)]
    linear = _numbered_levels(bias, None)
    np.testing.assert_allclose(linear, recorded["tex.lml_level_from_bias"]["value"], atol=1e-5)
    middle = [value + 0.025 for value in bias]
    nearest = _numbered_levels(middle, None, "linear-mipmap-nearest")
    assert nearest == [float(int(min(max(value, 0), 3))) for value in middle]
    sizes = [[2.0**step / 8, 0.0, 0.0, 0.0] for step in (-1.0, 0.0, 0.5, 1.0, 2.25, 3.0, 5.0)]
    np.testing.assert_allclose(_numbered_levels(None, sizes), [0, 0, 0.5, 1, 2.25, 3, 3], atol=1e-5)


def test_faces_of_a_cube() -> None:
    recorded = behaviour()["tex.cube_orientation"]["value"]
    assert _cube_faces(recorded) == recorded
