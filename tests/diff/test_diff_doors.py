"""What the public primitives take, refuse and return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rasterizer import diff
from rasterizer.ops import diff as ops
from tests.support.nvdiffrast_golden import load

CASE = load("rast_sphere")
POS, TRI = CASE["in_pos"], CASE["in_tri"]
SIZE = (16, 16)
RAST, DB = diff.rasterize(POS, TRI, SIZE)
COLOR = torch.rand(1, *SIZE, 3)
TEX, UV, DA = torch.rand(1, 8, 8, 3), torch.rand(1, 4, 4, 2), torch.rand(1, 4, 4, 4)
LEVEL = "linear-mipmap-linear"


@pytest.mark.parametrize(
    "resolution", [[16, 8], (16, 8), torch.Size([16, 8]), np.array([16, 8]), torch.tensor([16, 8])]
)
def test_any_two_whole_numbers_are_a_resolution(resolution: Any) -> None:
    assert diff.rasterize(POS, TRI, resolution)[0].shape == (1, 16, 8, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken_and_get_gradients_of_their_kind(dtype: torch.dtype) -> None:
    pos, color = POS.to(dtype).requires_grad_(), COLOR.to(dtype).requires_grad_()
    rast, rast_db = diff.rasterize(pos, TRI, SIZE)
    diff.antialias(color, rast, pos, TRI).sum().backward()
    want, _ = diff.rasterize(POS.to(dtype).float(), TRI, SIZE)
    assert rast.dtype == rast_db.dtype == torch.float32 and torch.equal(rast, want)
    assert pos.grad is not None and pos.grad.dtype == dtype and color.grad is not None and color.grad.dtype == dtype


def test_other_strides_and_integers_are_taken() -> None:
    pos = torch.stack((POS, POS), dim=-1)[..., 0]
    assert not pos.is_contiguous()
    for tri in (TRI.long(), TRI.to(torch.int16), TRI.t().contiguous().t()):
        assert torch.equal(diff.rasterize(pos, tri, SIZE)[0], RAST)


def test_indices_beyond_32_bits_draw_nothing() -> None:
    tri = TRI.long()
    tri[5:] += 2**32
    alone, _ = diff.rasterize(POS, TRI[:5], SIZE)
    assert torch.equal(diff.rasterize(POS, tri, SIZE)[0], alone)


def test_results_may_be_changed_in_place() -> None:
    rast, _ = diff.rasterize(POS.clone().requires_grad_(), TRI, SIZE)
    rast[..., 3:] += 100
    assert float(rast.max()) > 100


def test_both_results_need_a_gradient_whatever_grad_db() -> None:
    pos = POS.clone().requires_grad_()
    assert all(value.requires_grad for value in diff.rasterize(pos, TRI, SIZE, grad_db=False))
    rast, rast_db = diff.rasterize(pos, TRI, SIZE, grad_db=False)
    rast_db.sum().backward(retain_graph=True)
    assert float(pos.grad.abs().max()) == 0


def test_peeling_shows_front_and_back() -> None:
    peeling = diff.Peeling(POS, TRI, SIZE)
    layers = [peeling.next_layer()[0] for _ in range(3)]
    front, back, nothing = (layer[..., 3] > 0 for layer in layers)
    assert torch.equal(layers[0], RAST) and torch.equal(front, back) and not nothing.any()
    assert (layers[1][..., 2] > layers[0][..., 2])[front].all()


def test_levels_made_beforehand_are_those_of_that_moment() -> None:
    tex = TEX.clone().requires_grad_()
    mip = diff.texture_construct_mip(tex)
    want = diff.texture(TEX, UV, DA, filter_mode=LEVEL)
    out = diff.texture(tex, UV, DA, mip=mip, filter_mode=LEVEL, max_mip_level=1)
    assert torch.equal(out, want)
    out.sum().backward()
    fresh = TEX.clone().requires_grad_()
    diff.texture(fresh, UV, DA, filter_mode=LEVEL).sum().backward()
    assert torch.equal(tex.grad, fresh.grad)


def test_what_gets_no_gradient() -> None:
    leaves: dict[str, Tensor] = {"tex": TEX, "uv": UV, "uv_da": DA, "mip_level_bias": torch.rand(1, 4, 4)}
    for mode, without in {
        "nearest": {"uv", "uv_da", "mip_level_bias"},
        "linear": {"uv_da", "mip_level_bias"},
        "linear-mipmap-nearest": {"uv_da", "mip_level_bias"},
        LEVEL: set(),
    }.items():
        given = {name: value.clone().requires_grad_() for name, value in leaves.items()}
        diff.texture(**given, filter_mode=mode).sum().backward()
        assert {name for name, value in given.items() if value.grad is None} == without


def test_topology_is_found_once_for_a_list_that_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    antialias = ops.topology.__globals__
    tri, calls = TRI.clone(), []
    real = antialias["_find_topology"]
    monkeypatch.setitem(antialias, "_find_topology", lambda value: calls.append(1) or real(value))
    for _ in range(3):
        diff.antialias(COLOR, RAST, POS, tri)
    assert len(calls) == 1
    tri[0] = tri[1].clone()
    diff.antialias(COLOR, RAST, POS, tri)
    assert len(calls) == 2


_BAD = {
    "pos is an array": (TypeError, AssertionError, lambda: diff.rasterize(POS.numpy(), TRI, SIZE), "pos"),
    "pos has three columns": (ValueError, RuntimeError, lambda: diff.rasterize(POS[..., :3], TRI, SIZE), "pos"),
    "pos is empty": (ValueError, RuntimeError, lambda: diff.rasterize(POS[:, :0], TRI, SIZE), "pos"),
    "pos is whole numbers": (ValueError, RuntimeError, lambda: diff.rasterize(POS.int(), TRI, SIZE), "pos"),
    "tri is empty": (ValueError, RuntimeError, lambda: diff.rasterize(POS, TRI[:0], SIZE), "tri"),
    "tri is floats": (ValueError, RuntimeError, lambda: diff.rasterize(POS, TRI.float(), SIZE), "tri"),
    "no ranges": (ValueError, RuntimeError, lambda: diff.rasterize(POS[0], TRI, SIZE), "ranges"),
    "no pixels": (ValueError, RuntimeError, lambda: diff.rasterize(POS, TRI, (0, 4)), "resolution"),
    "half a pixel": (TypeError, TypeError, lambda: diff.rasterize(POS, TRI, (4.5, 4)), "resolution"),
    "one number": (TypeError, TypeError, lambda: diff.rasterize(POS, TRI, 16), "resolution"),
    "grad_db is 1": (TypeError, AssertionError, lambda: diff.rasterize(POS, TRI, SIZE, grad_db=1), "grad_db"),
    "no rast_db": (TypeError, AssertionError, lambda: diff.interpolate(POS, RAST, TRI, None, "all"), "rast_db"),
    "one attribute": (TypeError, AssertionError, lambda: diff.interpolate(POS, RAST, TRI, DB, 1), "diff_attrs"),
    "33 attributes": (ValueError, RuntimeError, lambda: diff.interpolate(POS, RAST, TRI, DB, [0] * 33), "diff_attrs"),
    "array of attributes": (ValueError, ValueError, lambda: diff.interpolate(POS, RAST, TRI, DB, np.ones(2)), "diff_"),
    "batch of three": (ValueError, RuntimeError, lambda: diff.interpolate(POS.expand(3, -1, -1), RAST, TRI), "attr"),
    "no such filter": (ValueError, KeyError, lambda: diff.texture(TEX, UV, filter_mode="cubic"), "filter_mode"),
    "no such boundary": (ValueError, KeyError, lambda: diff.texture(TEX, UV, boundary_mode="mirror"), "boundary_mode"),
    "no level": (TypeError, AssertionError, lambda: diff.texture(TEX, UV, filter_mode=LEVEL), "uv_da"),
    "odd side": (ValueError, RuntimeError, lambda: diff.texture(TEX[:, :6], UV, DA), "max_mip_level=1"),
    "negative limit": (TypeError, AssertionError, lambda: diff.texture(TEX, UV, DA, max_mip_level=-1), "max_mip_level"),
    "tuple of levels": (TypeError, AssertionError, lambda: diff.texture(TEX, UV, DA, mip=(TEX[:, ::2, ::2],)), "mip"),
    "no levels": (ValueError, RuntimeError, lambda: diff.texture(TEX, UV, DA, mip=[]), "mip"),
    "wrong level": (ValueError, RuntimeError, lambda: diff.texture(TEX, UV, DA, mip=[TEX]), r"mip\[0\]"),
    "other levels": (
        ValueError,
        RuntimeError,
        lambda: diff.texture(TEX, UV, DA, mip=diff.texture_construct_mip(TEX[:, :4])),
        "mip",
    ),
    "flat cube": (ValueError, RuntimeError, lambda: diff.texture(TEX, UV, boundary_mode="cube"), "tex"),
    "no hash": (TypeError, AssertionError, lambda: diff.antialias(COLOR, RAST, POS, TRI, 5), "topology_hash"),
    "other hash": (
        ValueError,
        RuntimeError,
        lambda: diff.antialias(COLOR, RAST, POS, TRI, diff.antialias_construct_topology_hash(TRI[1:])),
        "topology_hash",
    ),
    "other size": (ValueError, RuntimeError, lambda: diff.antialias(COLOR[:, 1:], RAST, POS, TRI), "rast"),
}


@pytest.mark.parametrize("what", _BAD)
def test_bad_arguments_are_named(what: str) -> None:
    by_custom, at_other_doors, call, text = _BAD[what]
    with pytest.raises((by_custom, at_other_doors), match=text) as caught:
        call()
    assert isinstance(caught.value, at_other_doors)


class _Counting(TorchFunctionMode):
    """Counts calls of PyTorch's functions."""

    calls = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        return function(*args, **(kwargs or {}))


class _Own(torch.Tensor):
    """A subclass."""


def test_modes_do_not_see_what_a_primitive_does() -> None:
    attr = torch.rand(POS.shape[-2], 2)
    with _Counting() as mode:
        rast, db = diff.rasterize(POS, TRI, SIZE)
        place, da = diff.interpolate(attr, rast, TRI, db, "all")
        diff.antialias(diff.texture(TEX, place, da), rast, POS, TRI)
        diff.Peeling(POS, TRI, SIZE).next_layer()
        assert mode.calls == 0


def test_subclasses_are_the_same_in_modes_and_outside() -> None:
    outside = diff.rasterize(POS.as_subclass(_Own), TRI, SIZE)[0]
    with _Counting():
        inside = diff.rasterize(POS.as_subclass(_Own), TRI, SIZE)[0]
    assert type(inside) is type(outside) and torch.equal(inside, outside)
