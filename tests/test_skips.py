"""The account of skipped tests."""

from __future__ import annotations

import pytest

from tests import skips


@pytest.mark.parametrize(
    ("reason", "need"),
    [
        ("Skipped: no CUDA or ROCm device", "a GPU"),
        ("Skipped: no hipRTC here: OSError", "a GPU"),
        ("Skipped: native module not installed", "a native module"),
        ("Skipped: no Playwright: pip install playwright", "a browser"),
        ("Skipped: no ComfyUI found: set COMFYUI_PATH to its folder", "a ComfyUI server"),
        ("Skipped: xatlas is not installed", skips.OTHER),
    ],
)
def test_what_a_skip_needs(reason: str, need: str) -> None:
    assert skips.need_of(reason) == need
    line, others = skips.account([reason] * 3)
    assert f"{need}: 3" in line
    assert others == ([reason] if need == skips.OTHER else [])
