"""The self-test passes, and notices what is wrong."""

from __future__ import annotations

import pytest
import torch

import rasterizer
from rasterizer.backends import registry
from rasterizer.diagnostics import selftest

CPU = torch.device("cpu")


def test_selftest_passes_here(policy: str) -> None:
    checks = list(selftest.run(CPU))
    assert len(checks) == selftest.CHECKS and all(check.passed for check in checks)


def _rasterize_by(function, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``torch`` be something else."""
    monkeypatch.setattr(registry, "_selected", {})
    there = registry.Implementation(function, lambda device: "")
    monkeypatch.setitem(registry.IMPLEMENTATIONS["rasterize"], "torch", there)


def test_selftest_notices_a_wrong_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(pos, tri, options):
        findices, weights, info = rasterizer.backends.eager.rasterize.rasterize(pos, tri, options)
        findices[..., 20, 20] += 1
        return findices, weights, info

    _rasterize_by(wrong, monkeypatch)
    failed = [check for check in selftest.run(CPU) if not check.passed]
    assert failed and "show another face" in failed[0].detail


def test_selftest_notices_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(pos, tri, options):
        findices, weights, info = rasterizer.backends.eager.rasterize.rasterize(pos, tri, options)
        return findices, weights * float("nan"), info

    _rasterize_by(wrong, monkeypatch)
    others = ("grid hierarchy", "diff ")
    of_rasterizing = (check for check in selftest.run(CPU) if not check.name.startswith(others))
    assert not any(check.passed for check in of_rasterizing if "drawn" not in check.detail)
