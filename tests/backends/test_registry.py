"""Registry, environment variable, report, facades, self-test."""

from __future__ import annotations

import logging
import sys
import types

import pytest
import torch

import rasterizer
from rasterizer.backends import registry
from rasterizer.backends.others import custom_rasterizer as native
from rasterizer.contract import scenes
from rasterizer.runtime import wishes

CPU = torch.device("cpu")
POS, TRI = scenes.sphere(200)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch):
    """Set the variable that forces or forbids backends."""
    return lambda value: monkeypatch.setenv(registry.ENVIRONMENT, value)


def test_auto_is_torch_and_others_say_why_not() -> None:
    rows = {row.name: row for row in registry.backend_statuses(CPU)}
    assert rows["torch"].active and rows["torch"].available
    assert not rows["nvdiffrast"].active and rows["nvdiffrast"].reason
    assert all(row.active or row.reason for row in rows.values())


def test_environment_forbids(environment) -> None:
    environment("-torch")
    with pytest.raises(ValueError, match="forbidden by TORCH_RASTERIZER_BACKEND=-torch"):
        rasterizer.rasterize(POS, TRI, (8, 8), backend="torch")
    rows = {row.name: row for row in registry.backend_statuses(CPU)}
    assert not rows["torch"].available and "forbidden" in rows["torch"].reason


def test_environment_forces_and_says_why_it_cannot(environment, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(types.ModuleType):
        @property
        def rasterize_image(self) -> None:
            raise ImportError("undefined symbol: c10")

    monkeypatch.setitem(sys.modules, native.MODULE, Broken(native.MODULE))
    environment("custom_rasterizer")
    with pytest.raises(ValueError, match="asked for by TORCH_RASTERIZER_BACKEND.*undefined symbol"):
        rasterizer.rasterize(POS, TRI, (8, 8))
    assert rasterizer.rasterize(POS, TRI, (8, 8), backend="torch").info.backend == "torch"


def test_environment_with_an_unknown_name(environment) -> None:
    environment("cuda")
    with pytest.raises(
        ValueError, match="TORCH_RASTERIZER_BACKEND: 'cuda' is no backend, expected one of auto, kernels, vulkan, torch"
    ):
        rasterizer.rasterize(POS, TRI, (8, 8))


def test_backends_are_those_that_may_be_named() -> None:
    assert registry.backend_names() == wishes.BACKEND_NAMES
    for known in registry.IMPLEMENTATIONS.values():
        assert "torch" in known and set(known) <= set(wishes.BACKEND_NAMES)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", "kernels"), ("kernels", "kernels"), ("-torch", "kernels")]
    + [(value, "torch") for value in ("torch", "-kernels", "-kernels, -torch", "custom_rasterizer", "nvdiffrast")],
)
def test_interpolation_follows_what_auto_means(
    value: str, expected: str, environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(value)
    reasons, known = [""], {name: registry.Implementation(name, lambda device: "") for name in ("kernels", "torch")}
    known["kernels"] = registry.Implementation("kernels", lambda device: reasons[0])
    monkeypatch.setitem(registry.IMPLEMENTATIONS, "interpolate", known)
    monkeypatch.setattr(registry, "_selected", {})
    assert [registry.usual("interpolate", CPU) for _ in range(2)] == [expected] * 2
    assert wishes.kernels_allowed() == (expected == "kernels")
    reasons[0] = "broken"
    assert [registry.usual("interpolate", CPU) for _ in range(2)] == ["torch"] * 2


def test_a_backend_that_breaks_is_asked_once_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons, asked = [""], []
    monkeypatch.setattr(registry, "_selected", {})
    there = registry.Implementation("kernels", lambda device: asked.append(device) or reasons[0])
    monkeypatch.setitem(registry.IMPLEMENTATIONS["rasterize"], "kernels", there)
    assert registry.select("rasterize", "auto", CPU) == registry.select("rasterize", "kernels", CPU) == "kernels"
    asked.clear()
    assert registry.select("rasterize", "auto", CPU) == "kernels" and asked == [CPU]
    reasons[0] = "broken"
    assert registry.select("rasterize", "auto", CPU) is registry.select("rasterize", "torch", CPU) != "kernels"
    with pytest.raises(ValueError, match="'kernels' cannot be used on cpu: broken; what works here: .*torch"):
        registry.select("rasterize", "kernels", CPU)


def test_a_backend_that_lacks_an_operation_says_so() -> None:
    with pytest.raises(ValueError, match="'nvdiffrast' cannot be used on cpu: has no interpolate; what works"):
        registry.select("interpolate", "nvdiffrast", CPU)


def test_native_module_is_used_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def rasterize_image(pos, tri, prior, width, height, truncation, used):
        calls.append((tuple(pos.shape), tri.dtype, tuple(prior.shape), width, height, used))
        return [torch.ones(height, width, dtype=torch.int32), torch.zeros(height, width, 3)]

    module = types.SimpleNamespace(rasterize_image=rasterize_image, __file__="compiled.so")
    monkeypatch.setitem(sys.modules, native.MODULE, module)
    views = torch.stack((POS, POS))
    got = rasterizer.rasterize(views, TRI.long(), (4, 6), depth_prior=torch.zeros(4, 6), backend="custom_rasterizer")
    assert calls == [((len(POS), 4), torch.int32, (4, 6), 6, 4, 1)] * 2
    assert got.findices.shape == (2, 4, 6) and got.info.backend == "custom_rasterizer"


def test_a_module_that_is_not_compiled_is_not_taken_for_the_native_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, native.MODULE, types.ModuleType(native.MODULE))
    assert "has no rasterize_image" in native.reason_against(CPU)
    assert "no mps version" in native.reason_against(torch.device("mps"))


def test_one_log_line_per_device(caplog: pytest.LogCaptureFixture) -> None:
    registry._announced.clear()
    registry._selected.clear()
    with caplog.at_level(logging.INFO, logger="torch_rasterizer"):
        for _ in range(3):
            rasterizer.rasterize(POS, TRI, (8, 8), backend="torch")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "backend 'torch' on cpu" in lines[0] and "nvdiffrast: " in lines[0]


def test_choosing_a_backend_imports_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    registry._announced.clear()
    registry._selected.clear()
    monkeypatch.setattr(native, "_load", lambda: pytest.fail("imported for a log line"))
    assert rasterizer.rasterize(POS, TRI, (8, 8)).info.backend == "torch"


def test_memory_shared_with_numpy_cannot_crash() -> None:
    array = TRI.numpy().copy()
    tri = torch.from_numpy(array)
    rasterizer.rasterize(POS, tri, (8, 8))
    array[0, 0] = 10**6  # behind the back of PyTorch, which counts changes
    assert rasterizer.rasterize(POS, tri, (8, 8)).findices.shape == (8, 8)
