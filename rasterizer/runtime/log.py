"""The logger of the whole library.

The logger is called ``torch_rasterizer`` wherever the library is imported from: under ComfyUI module names carry the
path of the pack, by which nobody could filter.
"""

from __future__ import annotations

import logging

log = logging.getLogger("torch_rasterizer")
