"""The policies under which the eager path must give the same bits."""

from __future__ import annotations

from dataclasses import replace

from rasterizer.runtime.policy import CPU, GPU, PORTABLE

POLICIES = {
    "cpu": None,
    "gpu": GPU,
    "portable": PORTABLE,
    "tiles": replace(CPU, spans=False, box_sizes=(2, 4)),  # small boxes count as large and are cut
}
"""None is what this machine's CPU gets by itself."""
