"""Whatever PyTorch's default device is, which some programs set for the whole process, results keep their bits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import rasterizer
from rasterizer import diff
from rasterizer.backends.kernels.diff import interpolate
from rasterizer.contract import scenes
from tests.support.nvdiffrast_golden import normal

POS, TRI = scenes.sphere(300)
COLOR, UV, TEX = normal(1, len(POS), 3), normal(2, 1, len(POS), 2), normal(3, 1, 32, 32, 3)


@pytest.fixture
def other_default() -> Iterator[None]:
    """Makes a device the default on which nothing can be computed, for what is called in between."""
    yield
    torch.set_default_device(None)


def _rendered() -> list[Tensor]:
    fragments = rasterizer.rasterize(POS, TRI, (64, 64))
    return [*fragments, rasterizer.interpolate(COLOR, *fragments, TRI)]


def _differentiated() -> list[Tensor]:
    pos, uv, tex = (value.clone().requires_grad_() for value in (POS[None], UV, TEX))
    rast, rast_db = diff.rasterize(pos, TRI, (64, 64))
    place, place_da = diff.interpolate(uv, rast, TRI, rast_db, "all")
    color = diff.texture(tex, place, place_da)
    out = diff.antialias(torch.where(rast[..., 3:] > 0, color, torch.zeros_like(color)), rast, pos, TRI)
    return [out.detach(), *torch.autograd.grad(out.square().sum(), (pos, uv, tex))]


@pytest.mark.parametrize("call", [_rendered, _differentiated])
def test_results_are_the_same(call: object, policy: str, other_default: None) -> None:
    want = call()  # type: ignore[operator]
    torch.set_default_device("meta")
    assert all(torch.equal(*pair) for pair in zip(call(), want, strict=True))  # type: ignore[operator]


@pytest.mark.gpu
def test_programs_pass_their_test(other_default: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpolate.PROGRAM, "_reasons", {})
    monkeypatch.setattr(interpolate.PROGRAM, "_loaded", {})
    torch.set_default_device("cuda")
    assert interpolate.PROGRAM.reason_against(torch.device("cuda", 0)) == ""
