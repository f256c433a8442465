"""The benchmark's rows that the command line's own tests do not reach."""

from __future__ import annotations

import pytest
import torch

from rasterizer.diagnostics import speed


def test_a_bake_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(speed.BAKE_CASES, "small", (48, 32))
    ((row,),) = speed.measure(torch.device("cpu"), ("small",), repeats=1)
    assert row.backend == "torch" and row.milliseconds > 0 and row.differing == 0
    assert "small" in speed.markdown([row])
