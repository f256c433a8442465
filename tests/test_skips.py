"""The account of skipped tests, and how tests are collected."""

from __future__ import annotations

import pytest

from tests.support import javascript, skips
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("reason", "need"),
    [
        ("Skipped: no CUDA or ROCm device", "a GPU"),
        ("Skipped: no hipRTC here: OSError", "a GPU"),
        ("Skipped: native module not installed", "a native module"),
        (f"Skipped: {javascript.ABSENT}", "Node.js"),
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


def test_a_folder_of_any_name_holds_the_tests(request: pytest.FixtureRequest) -> None:
    """pytest imports what it takes for a package, and the pack is none where its folder has a hyphen in its name."""
    folders = [node for node in request.node.listchain() if getattr(node, "path", None) == ROOT]
    assert folders and not any(isinstance(node, pytest.Package) for node in folders)
