"""Findings that are known and wait to be mended: they end no run. Delete an entry with the fault."""

from __future__ import annotations

KNOWN = (
    # Arguments of a wrong type or shape, answered by an error of PyTorch or Python instead of a ValueError.
    r"\w+ at rasterizer/hierarchy/grid.py:\d+ in (find|_nearest_in|pull|push|count|_check_features)",
    r"\w+ at rasterizer/hierarchy/fill.py:\d+ in fill_surface",
    r"\w+ at rasterizer/texturing/views.py:\d+ in (_numbers|with_lens)",
    r"\w+ at rasterizer/facade.py:\d+ in (__init__|rasterize|interpolate|<genexpr>)",
    r"AttributeError at rasterizer/device.py:\d+ in device_policy",
)
"""Patterns of the keys of findings."""
