"""What ``importlib.metadata`` says of ``custom_rasterizer`` while it is ours.

Some packs check the version of what they can import; without an answer they fail, or start to compile.
"""

from __future__ import annotations

from importlib.metadata import Distribution
from os import PathLike
from pathlib import Path


class CustomRasterizer(Distribution):
    """A distribution without files on record, of the only version that the compiled one has ever had."""

    def read_text(self, filename: str) -> str | None:
        """Part of the protocol; None for the files that there are not."""
        if filename != "METADATA":
            return None
        return "Metadata-Version: 2.1\nName: custom_rasterizer\nVersion: 0.1\nSummary: served by Torch Rasterizer\n"

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Part of the protocol."""
        return Path(__file__).with_name("modules") / "custom_rasterizer" / path
