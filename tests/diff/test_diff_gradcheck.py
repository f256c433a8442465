"""PyTorch's own ``gradcheck``: gradients of the primitives beside differences of their formulas in float64.

The primitives compute in float32, of which no differences can be taken, so each is put behind a function whose values
are those of the plain formulas and whose gradients are the primitive's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rasterizer import diff
from rasterizer.contract import scenes
from rasterizer.diagnostics import diff_plain as plain
from rasterizer.runtime.policy import PORTABLE, force_policy

Array = np.ndarray
_SIZE = 9, 11


@pytest.fixture(params=["native", "portable"], autouse=True)
def policy(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a CPU has, and what any device has."""
    with force_policy(PORTABLE) if request.param == "portable" else nullcontext():
        yield


class _Held(torch.autograd.Function):
    """Values of a formula, gradients of a primitive."""

    @staticmethod
    def forward(ctx: Any, formula: Callable[..., Any], primitive: Callable[..., Any], *inputs: Tensor) -> Any:
        ctx.save_for_backward(*inputs)
        ctx.primitive = primitive
        found = formula(*(value.numpy() for value in inputs))
        return tuple(map(torch.from_numpy, found)) if isinstance(found, tuple) else torch.from_numpy(found)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            leaves = [value.detach().float().requires_grad_() for value in ctx.saved_tensors]
            outputs = ctx.primitive(*leaves)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        gradients = torch.autograd.grad(outputs, leaves, [value.float() for value in upstream])
        return None, None, *(gradient.double() for gradient in gradients)


def _check(formula: Callable[..., Any], primitive: Callable[..., Any], *inputs: Array, near: float = 1e-4) -> None:
    leaves = [torch.from_numpy(value).requires_grad_() for value in inputs]
    largest = max(1.0, *(float(np.abs(value).max()) for value in inputs))
    assert torch.autograd.gradcheck(
        lambda *values: _Held.apply(formula, primitive, *values), leaves, eps=1e-6, atol=near * largest, rtol=1e-3
    )


class _View:
    """A rough sphere in perspective and what is rasterized of it."""

    def __init__(self) -> None:
        self.random = np.random.RandomState(0)
        points, tri = (value.numpy() for value in scenes.sphere(60))
        points = points[:, :3] + 0.05 * self.random.standard_normal((len(points), 3))
        pos = np.concatenate((points, 1.25 + 0.25 * points[:, 2:]), axis=1)
        self.pos, self.tri, self.faces = self.exact(pos), tri, torch.from_numpy(tri)
        rast, db = diff.rasterize(torch.from_numpy(self.pos).float()[None], self.faces, _SIZE)
        self.rast, self.db = (value[0].double().numpy() for value in (rast, db))
        self.ids = self.rast[..., 3].astype(np.int64)
        assert (self.ids > 0).sum() > 30 and len(np.unique(self.ids)) > 8

    @staticmethod
    def exact(values: Array) -> Array:
        """What float32 holds, too."""
        return values.astype(np.float32).astype(np.float64)

    def normal(self, *shape: int) -> Array:
        return self.exact(self.random.standard_normal(shape))


def _with_places(rast: Array, uv: Tensor) -> Tensor:
    """``[1, H, W, 4]``: an image whose first two channels are ``uv``."""
    return torch.cat((uv, torch.from_numpy(rast[..., 2:]).to(uv)), dim=-1)[None]


def test_rasterize() -> None:
    view = _View()

    def formula(pos: Array) -> tuple[Array, ...]:
        uv, db = plain.barycentrics(pos, view.tri, view.ids)
        return uv, db

    def primitive(pos: Tensor) -> tuple[Tensor, ...]:
        rast, db = diff.rasterize(pos[None], view.faces, _SIZE)
        return rast[0, ..., :2], db[0]

    _check(formula, primitive, view.pos, near=1e-3)  # of derivatives of up to a thousand


def test_interpolate() -> None:
    view = _View()
    attr = view.normal(len(view.pos), 2)

    def primitive(attr: Tensor, uv: Tensor, db: Tensor) -> tuple[Tensor, ...]:
        out, da = diff.interpolate(attr[None], _with_places(view.rast, uv), view.faces, db[None], "all")
        return out[0], da[0]

    def formula(attr: Array, uv: Array, db: Array) -> tuple[Array, Array]:
        return plain.interpolate(attr, uv, db, view.ids, view.tri)

    _check(formula, primitive, attr, view.rast[..., :2].copy(), view.db)


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero", "cube"])
@pytest.mark.parametrize("filter_mode", ["nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"])
def test_texture(filter_mode: str, boundary: str) -> None:
    random = np.random.RandomState(1)
    cube = boundary == "cube"
    tex = _View.exact(random.standard_normal((6, 4, 4, 2) if cube else (4, 8, 2)))
    places = random.standard_normal((1, 5, 3)) if cube else random.uniform(-0.3, 1.3, (1, 5, 2))
    uv_da = np.exp2(random.uniform(-3, 0, (1, 5, 1))) * random.standard_normal((1, 5, 6 if cube else 4))
    inputs = [tex, *(_View.exact(value) for value in (places, uv_da, random.standard_normal((1, 5))))]
    used = {"nearest": 1, "linear-mipmap-linear": 4}.get(filter_mode, 2)

    def formula(*values: Array) -> Array:
        tex, uv, uv_da, bias = *values, *inputs[len(values) :]
        flat, slopes = uv.reshape(-1, uv.shape[-1]), uv_da.reshape(-1, uv_da.shape[-1])
        detail = plain.detail(plain.on_faces(flat, slopes) if cube else slopes, *tex.shape[-3:-1]) + bias.reshape(-1)
        return plain.texture(plain.pyramid(tex), flat, detail, filter_mode, boundary)

    def primitive(*values: Tensor) -> Tensor:
        fixed = [torch.from_numpy(value).float() for value in inputs[len(values) :]]
        tex, uv, uv_da, bias = (value[None] for value in (*values, *fixed))
        detail = (uv_da, bias) if "mipmap" in filter_mode else (None, None)
        return diff.texture(tex, uv, *detail, filter_mode=filter_mode, boundary_mode=boundary)[0, 0]

    _check(formula, primitive, *inputs[:used], near=1e-3)


def test_antialias() -> None:
    view = _View()
    color, rast = view.normal(*_SIZE, 2), torch.from_numpy(view.rast).float()[None]

    def formula(color: Array, pos: Array) -> Array:
        return plain.antialias(color, view.rast, pos, view.tri, plain.HEIGHT_OFFSET)

    def primitive(color: Tensor, pos: Tensor) -> Tensor:
        return diff.antialias(color[None], rast, pos[None], view.faces)[0]

    _check(formula, primitive, color, view.pos, near=1e-3)


def test_a_wrong_gradient_is_found() -> None:
    view = _View()
    attr = view.normal(len(view.pos), 2)

    def primitive(attr: Tensor) -> Tensor:
        image = torch.from_numpy(view.rast).float()[None]
        return 1.01 * diff.interpolate(attr[None], image, view.faces)[0][0]

    def formula(attr: Array) -> Array:
        return plain.interpolate(attr, view.rast[..., :2], view.db, view.ids, view.tri)[0]

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        _check(formula, primitive, attr)
