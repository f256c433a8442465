"""Where things lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The pack's folder, whatever it is called."""

EXAMPLES = ROOT / "example_workflows"
