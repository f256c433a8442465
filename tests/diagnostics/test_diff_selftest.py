"""The self-test of the differentiable primitives passes, and notices each result that is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rasterizer.backends import diff_operations, registry
from rasterizer.backends.interface import Implementation
from rasterizer.diagnostics import diff_plain as plain
from rasterizer.diagnostics import diff_selftest
from rasterizer.ops.diff import steps
from tests.support.nvdiffrast_golden import load, normal

CPU = torch.device("cpu")

_RESULTS = {
    "rasterize": 3,
    "rasterize_backward": 1,
    "interpolate": 2,
    "interpolate_backward": 3,
    "mipmaps": 1,
    "mipmaps_backward": 1,
    "texture": 1,
    "texture_backward": 2,
    "mipmapped": 1,
    "mipmapped_backward": 4,
    "topology": 1,
    "antialias": 1,
    "antialias_backward": 2,
}
"""How many results each step gives that matter."""


def test_passes_here(policy: str) -> None:
    checks = list(diff_selftest.run(CPU))
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == diff_selftest.CHECKS


def test_the_mode_of_the_caller_does_not_matter() -> None:
    with torch.inference_mode():
        for check in diff_selftest.run(CPU):
            assert check.passed and torch.is_inference_mode_enabled()
    with torch.no_grad():
        assert all(check.passed and not torch.is_grad_enabled() for check in diff_selftest.run(CPU))


def _worse(value: Any) -> Any:
    """A hundredth too large, or of whole numbers nothing but 0."""
    if isinstance(value, list):
        return [_worse(each) for each in value]
    if not isinstance(value, Tensor):
        return value
    return value * 1.01 if value.is_floating_point() else torch.zeros_like(value)


@pytest.mark.parametrize(("step", "place"), [(step, place) for step, many in _RESULTS.items() for place in range(many)])
def test_notices_a_wrong_result(step: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = diff_operations.ROWS[f"diff.{step}"]["torch"].function

    def wrong(*args: Any) -> Any:
        found = real(*args)
        if not isinstance(found, tuple):
            return _worse(found)
        return tuple(_worse(value) if index == place else value for index, value in enumerate(found))

    monkeypatch.setattr(registry, "_selected", {})
    monkeypatch.setattr(steps, "_chosen", {})
    monkeypatch.setitem(registry.IMPLEMENTATIONS[f"diff.{step}"], "torch", Implementation(wrong, lambda device: ""))
    failed = (check for check in diff_selftest.run(CPU) if not check.passed)
    assert next(failed, None) is not None


@pytest.mark.parametrize(
    ("step", "failing"), [("texture_backward", (3, 2, 0, 0)), ("mipmapped_backward", (1, 1, 1, 1))]
)
@pytest.mark.parametrize("place", range(4))
def test_notices_nan(place: int, step: str, failing: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    real = diff_operations.ROWS[f"diff.{step}"]["torch"].function

    def wrong(*args: Any) -> Any:
        found = [*real(*args)]
        value = found[place]
        if isinstance(value, list):
            found[place] = [value[0] * float("nan"), *value[1:]]
        elif value is not None:
            found[place] = value * float("nan")
        return tuple(found)

    monkeypatch.setattr(registry, "_selected", {})
    monkeypatch.setattr(steps, "_chosen", {})
    monkeypatch.setitem(registry.IMPLEMENTATIONS[f"diff.{step}"], "torch", Implementation(wrong, lambda device: ""))
    failed = [check.name for check in diff_selftest.run(CPU) if not check.passed]
    assert len(failed) == failing[place] and all("texture backward" in name for name in failed)


@pytest.mark.parametrize("name", ["aa_batch", "aa_boxes", "aa_nonmanifold"])
def test_plain_silhouettes_are_those_recorded(name: str) -> None:
    case = load(name)
    color, tri = normal(case.meta["color_seed"], *case.meta["color_shape"]).numpy(), case["in_tri"].numpy()
    pos, rast, want = (case[key].numpy().astype(float) for key in ("in_pos", "in_rast", "out"))
    for image in range(len(rast)):
        out = plain.antialias(color[image].astype(float), rast[image], pos[image], tri)
        assert np.abs(out - want[image]).max() < 3e-5


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero", "cube"])
def test_plain_colours_are_those_recorded(boundary: str) -> None:
    case = load(f"tex_lml_{boundary}_da")
    tex = normal(case.meta["tex_seed"], *case.meta["tex_shape"]).numpy()[0].astype(float)
    uv, uv_da, want = (case[key].numpy()[0].astype(float) for key in ("in_uv", "in_uv_da", "out"))
    there = (np.isfinite(uv) & (uv != 0)).all(axis=-1) & (np.abs(uv_da).max(axis=-1) > 0)
    derivatives = plain.on_faces(uv[there], uv_da[there]) if boundary == "cube" else uv_da[there]
    detail = plain.detail(derivatives, *tex.shape[-3:-1])
    out = plain.texture(plain.pyramid(tex), uv[there], detail, "linear-mipmap-linear", boundary)
    assert there.mean() > 0.9 and np.abs(out - want[there]).max() < 1e-5


@pytest.mark.parametrize("name", ["rast_ties", "rast_sharededge", "rast_snap"])
def test_plain_barycentrics_are_those_recorded(name: str) -> None:
    case = load(name)
    ids = case["out_rast"].numpy()[0, ..., 3].astype(int)
    uv, db = plain.barycentrics(case["in_pos"].numpy()[0].astype(float), case["in_tri"].numpy(), ids)
    # Apart by the offset that gradients are divided with.
    assert np.abs(uv - case["out_rast"].numpy()[0, ..., :2]).max() < 1e-4
    assert np.abs(db - case["out_db"].numpy()[0]).max() < 2e-4
