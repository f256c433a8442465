"""The benchmark of the differentiable primitives: what it measures, beside whom, and what it says of it."""

from __future__ import annotations

import logging
import math
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from rasterizer import diff
from rasterizer.backends.others import nvdiffrast
from rasterizer.contract import scenes
from rasterizer.diagnostics import diff_speed, diff_table
from rasterizer.diagnostics.diff_speed import BAKE, CHAIN, OURS, STEPS, THEIRS, Row

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> str:
    """A case of two images that takes no time."""
    monkeypatch.setitem(diff_speed.CASES, "small", (60, 24, 2))
    monkeypatch.setattr(diff_speed, "_TEXTURE", 16)
    return "small"


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Installs another library, whose antialiased colours are a hundredth too large; gives its contexts' devices."""
    contexts: list[str] = []

    class Context:
        def __init__(self, device: Any) -> None:
            contexts.append(str(device))

    def rasterize(context: Context, *args: Any, **named: Any) -> tuple[Tensor, Tensor]:
        assert isinstance(context, Context)
        return diff.rasterize(*args, **named)

    module = SimpleNamespace(
        RasterizeCudaContext=Context,
        rasterize=rasterize,
        interpolate=diff.interpolate,
        texture=diff.texture,
        antialias=lambda *args, **named: diff.antialias(*args, **named) * 1.01,
        antialias_construct_topology_hash=diff.antialias_construct_topology_hash,
    )
    monkeypatch.setitem(sys.modules, "nvdiffrast", SimpleNamespace(torch=module))
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    monkeypatch.setattr(nvdiffrast, "reason_against", lambda device: "")
    return contexts


def test_every_step_is_measured_with_both(small: str, other: list[str]) -> None:
    (rows,) = diff_speed.measure(CPU, (small,), repeats=2)
    assert [(row.step, row.library) for row in rows] == [(step, name) for step in STEPS for name in (OURS, THEIRS)]
    assert all(
        row.case == small and row.milliseconds > 0 and row.busy is row.peak is row.outside is None for row in rows
    )
    assert len(other) == len(STEPS)  # a context of its own for each, which holds nothing of the others
    differences = {row.step: row.difference for row in rows if row.library == THEIRS}
    wrong = {CHAIN, "antialias", "antialias backward"}
    assert all(math.isclose(differences.pop(step), 0.01, rel_tol=0.01) for step in wrong)
    assert set(differences.values()) == {0.0}


def test_a_bake_is_measured(other: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff_speed, "_BAKED_FACES", 50)
    monkeypatch.setattr(diff_speed, "_BAKED_SIZE", 32)
    (rows,) = diff_speed.measure(CPU, (BAKE,), repeats=1)
    assert [(row.step, row.library, row.difference) for row in rows] == [("bake", OURS, None), ("bake", THEIRS, 0.0)]


def test_the_scene_is_what_the_text_says() -> None:
    scene = diff_speed._sphere(CPU, 20_164, 128, 2)
    assert len(scene.tri) == 20_164 and scene.uv.shape == (1, scene.pos.shape[1], 2)
    assert all(abs(float((image[..., 3] > 0).float().mean()) - 0.78) < 0.01 for image in scene.rast)
    assert not torch.equal(scene.rast[0], scene.rast[1])
    assert float(scene.pos.detach().abs().max()) <= 1.0
    points, _ = scenes.sphere(20_164)
    assert torch.allclose(torch.cos(scene.uv[0, :, 1] * math.pi), points[:, 1] / 0.9, atol=1e-5)


def test_cases_are_those_of_the_machine() -> None:
    assert len(diff_speed.CASES) == 18
    assert diff_speed.default_cases(CPU, False) == diff_speed.QUICK
    assert diff_speed.default_cases(torch.device("cuda"), False) == diff_speed.ALL
    assert diff_speed.default_cases(torch.device("cuda"), True) == diff_speed.QUICK
    assert set(diff_speed.QUICK) < set(diff_speed.ALL)


def test_what_does_not_fit_into_memory_is_left_out(
    small: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = diff_speed._timed_step

    def failing(case: str, step: str, *args: Any) -> list[Row]:
        if step == "texture":
            raise torch.OutOfMemoryError("no room")
        return real(case, step, *args)

    monkeypatch.setattr(diff_speed, "_timed_step", failing)
    with caplog.at_level(logging.WARNING):
        (rows,) = diff_speed.measure(CPU, (small,), repeats=1)
    assert [row.step for row in rows] == list(STEPS[: STEPS.index("texture")])
    assert f"{small}: not measured to its end" in caplog.text

    def broken(*args: Any) -> list[Row]:
        raise RuntimeError("something else")

    monkeypatch.setattr(diff_speed, "_timed_step", broken)
    with pytest.raises(RuntimeError, match="something else"):
        list(diff_speed.measure(CPU, (small,), repeats=1))


@pytest.mark.gpu
def test_a_gpu_tells_its_time_and_memory(small: str) -> None:
    timed, profiled = diff_speed.measure(torch.device("cuda", 0), (small,), repeats=2)
    assert all(row.busy is None and row.peak is not None and row.outside is not None for row in timed)
    assert [row.step for row in profiled] == list(STEPS)
    assert all(row.busy is not None and row.busy > 0 for row in profiled)
    chain, alone = (next(row for row in profiled if row.step == step) for step in (CHAIN, "texture"))
    assert chain.busy > alone.busy and chain.peak > alone.peak > 0


def _rows(case: str, step: str, ours: float, theirs: float) -> list[Row]:
    """Ours and theirs: milliseconds on the GPU, 0.1 more by the clock, and as many megabytes."""
    return [
        Row(case, step, OURS, ours + 0.1, ours, int(ours * 1e6), 0, None),
        Row(case, step, THEIRS, theirs + 0.1, theirs, int(theirs * 0.5e6), int(theirs * 0.5e6), 0.002),
    ]


def test_tables_say_ratios() -> None:
    rows = [*_rows("a", CHAIN, 1.0, 4.0), *_rows("b", CHAIN, 2.0, 2.0), *_rows("a", "texture", 0.5, 1.0)]
    rows += [*_rows("a", "texture backward", 0.25, 1.0), *_rows("c", "bake", 1.0, 8.0)]
    means = diff_table.summary(rows)
    assert means["GPU ms"] == means["MB"] == pytest.approx({"least": 1.0, "mean": 2.0})
    assert means["wall ms"] == pytest.approx({"least": 1.0, "mean": math.sqrt(4.1 / 1.1)})
    whole, steps = diff_table.markdown(rows).split("\n\n")
    assert whole.splitlines() == [
        "| chain forward and backward; bake | GPU ms | wall ms | MB | results differ by |",
        "|---|---:|---:|---:|---:|",
        "| a | 1 / 4 (4.00x) | 1.1 / 4.1 (3.73x) | 1 / 4 (4.00x) | 2e-03 |",
        "| b | 2 / 2 (1.00x) | 2.1 / 2.1 (1.00x) | 2 / 2 (1.00x) | 2e-03 |",
        "| c | 1 / 8 (8.00x) | 1.1 / 8.1 (7.36x) | 1 / 8 (8.00x) | 2e-03 |",
        "| chains, least and geometric mean | at least 1.00x, mean 2.00x | at least 1.00x, mean 1.93x | "
        "at least 1.00x, mean 2.00x |  |",
    ]
    assert (
        steps.splitlines()[0]
        == "| GPU ms, forward; backward | rasterize | interpolate | texture | antialias | topology |"
    )
    assert steps.splitlines()[2:] == ["| a |  |  | 0.5 / 1 (2.00x); 0.25 / 1 (4.00x) |  |  |"]


def test_tables_of_ours_alone() -> None:
    rows = [
        Row("a", CHAIN, OURS, 1234.5, None, None, None, None),
        Row("a", "antialias", OURS, 1.5, None, None, None, None),
    ]
    assert diff_table.summary(rows) == {}
    assert diff_table.markdown(rows).splitlines() == [
        "| chain forward and backward; bake | wall ms |",
        "|---|---:|",
        "| a | 1234 |",
        "",
        "| wall ms, forward; backward | rasterize | interpolate | texture | antialias | topology |",
        "|---|---:|---:|---:|---:|---:|",
        "| a |  |  |  | 1.5 |  |",
    ]
