"""The pack's JavaScript without a browser, in Node.js."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

OLDEST = 18  # the first with a test runner of its own
ABSENT = f"no Node.js of version {OLDEST} or later on the PATH"


def run_node(*arguments: str | Path) -> str:
    """What ``node`` with these arguments prints. Skips where there is none, fails where it does."""
    node = shutil.which("node")
    if node is None or _version(node) < OLDEST:
        pytest.skip(ABSENT)
    done = subprocess.run([node, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _version(node: str) -> int:
    printed = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60).stdout
    return int(printed.strip().removeprefix("v").partition(".")[0] or 0)
