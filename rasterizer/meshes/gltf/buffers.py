"""The bytes of a glTF file: its buffers, and their views, decompressed where they are compressed by meshopt."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes

from ..folder import MeshFolder
from .meshopt import decompress

MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
"""The two names of one extension of buffer views, and of the buffers that stand in for what is compressed."""


def whole(value: Any, name: str) -> int:
    """A number of a header that is a whole one, and not negative.

    Raises:
        ValueError: it is something else; ``name`` is what the message calls it.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"its {name} is {str(value)[:40]!r}, expected a whole number, 0 or more")
    return value


def packed(view: dict[str, Any]) -> dict[str, Any] | None:
    """How a buffer view is compressed by meshopt, if it is."""
    extensions = view.get("extensions", {})
    return next((extensions[name] for name in MESHOPT if name in extensions), None)


class Buffers:
    """The bytes that a file's numbers and pictures are in."""

    def __init__(self, header: dict[str, Any], chunk: memoryview, folder: MeshFolder) -> None:
        self._buffers, self._views = header.get("buffers", ()), header.get("bufferViews", ())
        self._chunk, self._folder = chunk, folder
        self._decoded: dict[int, bytes] = {}  # as many views may lie in one
        for buffer in self._buffers:
            if "uri" in buffer and not is_data(buffer["uri"]) and not self._stands_in(buffer):
                folder.read(buffer["uri"])  # now: its size counts

    def picture(self, image: dict[str, Any]) -> bytes:
        """The file of one of the header's images."""
        if "bufferView" in image:
            return self.view(whole(image["bufferView"], "bufferView"))
        found = self._resolve(image["uri"])
        return bytes(found)

    def view(self, number: int) -> bytes:
        """What is in a buffer view.

        Raises:
            ValueError: its compressed bytes are damaged.
        """
        view = self._views[number]
        how = packed(view)
        if how is None:
            return self._part(view)
        count, stride = whole(how["count"], "count"), whole(how["byteStride"], "byteStride")
        return decompress(self._part(how), count, stride, how["mode"], how.get("filter", "NONE"))

    def _part(self, place: dict[str, Any]) -> bytes:
        start, length = whole(place.get("byteOffset", 0), "byteOffset"), whole(place["byteLength"], "byteLength")
        number = whole(place["buffer"], "buffer")
        data: bytes | memoryview = self._chunk
        if "uri" in self._buffers[number]:
            if number not in self._decoded:
                self._decoded[number] = self._resolve(self._buffers[number]["uri"])
            data = self._decoded[number]
        return bytes(data[start : start + length])

    def _resolve(self, uri: str) -> bytes:
        if not is_data(uri):
            return self._folder.read(uri)
        head, _, body = uri.partition(",")
        try:
            return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
        except binascii.Error as error:
            raise ValueError(f"is not base64 ({error})") from None

    @staticmethod
    def _stands_in(buffer: dict[str, Any]) -> bool:
        """Whether a buffer is there for programs that cannot decompress, and is not read."""
        return any(buffer.get("extensions", {}).get(name, {}).get("fallback") is True for name in MESHOPT)


def is_data(uri: Any) -> bool:
    """Whether an address is the content itself."""
    return isinstance(uri, str) and uri.startswith("data:")
