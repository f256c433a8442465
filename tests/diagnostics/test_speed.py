"""The benchmark's rows that the command line's own tests do not reach."""

from __future__ import annotations

import pytest
import torch

from rasterizer.diagnostics import chain, speed


def test_a_bake_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(speed.BAKE_CASES, "small", (48, 32))
    ((row,),) = speed.measure(torch.device("cpu"), ("small",), repeats=1)
    assert row.backend == "torch" and row.milliseconds > 0 and row.differing == 0
    assert "small" in speed.markdown([row])


def test_the_chain_is_measured_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in chain.CASES:
        monkeypatch.setitem(chain.CASES, case, (48, 32))
    monkeypatch.setattr(chain, "_SIZE", (60, 12))
    monkeypatch.setattr(chain, "unwrapping", lambda: 1234.5)
    rows = [row for (row,) in speed.measure(torch.device("cpu"), (*chain.CASES, chain.UNWRAPPING), repeats=1)]
    assert [row.case for row in rows] == [*chain.CASES, chain.UNWRAPPING] and not any(row.differing for row in rows)
    assert rows[-1].milliseconds == 1234.5 and "| the whole chain to 2048²" in speed.markdown(rows)


def test_unwrapping_is_left_out_without_xatlas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "unwrapping", lambda: None)
    assert not list(speed.measure(torch.device("cpu"), (chain.UNWRAPPING,)))
