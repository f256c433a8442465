"""The report of this machine, as text and as data."""

from __future__ import annotations

import json
import sys
import types

import pytest
import torch

import rasterizer
from tests.support.paths import ROOT


def test_info_is_complete() -> None:
    info = rasterizer.backend_info("cpu")
    text, values = str(info), json.loads(json.dumps(info.as_dict()))
    assert info.active == values["active"] == "torch"
    assert info.free_memory > 1 << 20 and values["float64"] is True
    for part in (torch.__version__, "torch (", "custom_rasterizer (", "nvdiffrast (", rasterizer.__version__):
        assert part in text


def test_version_is_said_once() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{rasterizer.__version__}"' in text


def test_a_stand_in_without_a_spec_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvdiffrast", types.ModuleType("nvdiffrast"))
    assert "nvdiffrast (other edge rule: not exact): off: not installed" in str(rasterizer.backend_info("cpu"))
