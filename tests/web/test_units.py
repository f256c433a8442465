"""The unit tests of ``web/``, in Node.js. With files that the nodes write: tests/nodes/test_inspector_reader.py."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support import javascript, skips

UNITS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_unit(unit: Path) -> None:
    printed = javascript.run_node("--test", "--test-reporter=tap", unit)
    counts = {name: int(number) for name, number in re.findall(r"^# (\w+) (\d+)$", printed, re.MULTILINE)}
    # A file without tests counts as one that passes.
    assert counts["pass"] > 5 and counts["skipped"] == counts["todo"] == counts["fail"] == 0, printed


def test_what_runs_without_a_browser_is_tested() -> None:
    assert [path.name for path in UNITS] == ["applies.test.mjs", "fragments.test.mjs", "png.test.mjs", "sides.test.mjs"]


def test_without_node_they_are_skipped_for_want_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(pytest.skip.Exception) as skipped:
        javascript.run_node("--version")
    assert skips.need_of(f"Skipped: {skipped.value}") == "Node.js"
