"""What ``importlib.metadata`` says of packages while they are ours.

Some programs check the version of what they can import; without an answer they fail, or start to compile.
"""

from __future__ import annotations

from importlib.metadata import Distribution
from os import PathLike
from pathlib import Path

VERSIONS = {"custom_rasterizer": "0.1", "nvdiffrast": "0.4.0"}
"""Of which each is a stand-in: the only one there has ever been, and the one whose interface it has."""


class StandIn(Distribution):
    """A distribution without files on record.

    Args:
        package: a name of :data:`VERSIONS`.
    """

    def __init__(self, package: str) -> None:
        self._package = package

    def read_text(self, filename: str) -> str | None:
        """Part of the protocol; None for the files that there are not."""
        if filename != "METADATA":
            return None
        return (
            f"Metadata-Version: 2.1\nName: {self._package}\nVersion: {VERSIONS[self._package]}\n"
            "Summary: served by Torch Rasterizer\n"
        )

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Part of the protocol."""
        return Path(__file__).with_name("modules") / self._package / path
