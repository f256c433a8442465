"""The table of what textures take."""

from __future__ import annotations

import torch

from rasterizer.diagnostics import memory


def test_a_bake_is_measured_in_a_process_of_its_own() -> None:
    row = memory._in_process("bake of uint8 pictures", torch.device("cpu"), 96, 64)
    assert (row.size, row.views) == (96, 64) and 0 < row.before <= row.peak
    table = memory.markdown([row])
    assert "| bake of uint8 pictures, 64² | 96² |" in table
