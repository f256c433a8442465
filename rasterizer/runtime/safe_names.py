"""Names of files that come from elsewhere: from a mesh file, from a client of the server, from a person."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_MOST_FOLDERS = 100
_MOST_BYTES = 255  # of a part, on almost every file system

_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])", re.IGNORECASE)


def is_reserved(name: str) -> bool:
    """Whether Windows takes a file name, with any suffix, for one of its devices (``NUL.png``, ``com1``)."""
    return _DEVICE.fullmatch(name.partition(".")[0].strip(" ")) is not None


def shortened(name: str) -> str:
    """A name for a message, of which nobody reads thousands of letters."""
    return name if len(name) <= 200 else f"{name[:200]}..."


def relative_parts(name: str) -> tuple[str, ...]:
    """The folders and the file that a relative name consists of, the same on every system.

    Looks at the text alone: nothing is opened, and no server contacted, before it has passed.

    Args:
        name: with ``/`` or ``\\`` between the parts.

    Raises:
        ValueError: the name leads out of the folder that it is relative to (``..``, an absolute path, a drive, a
            server, a URL), names a device of Windows, has control characters, or is empty. The text says which, to
            follow the name in a sentence.
    """
    plain = name.replace("\\", "/")
    if any(ord(letter) < 32 for letter in plain):
        raise ValueError("has control characters")
    if plain.startswith("/"):
        raise ValueError("is an absolute path")
    if ":" in plain:  # a drive, a stream of NTFS, file: or http:
        raise ValueError("has a colon, which only drives and URLs have")
    parts = tuple(part for part in plain.split("/") if part not in ("", "."))
    if not parts:
        raise ValueError("names no file")
    for part in parts:
        if not part.rstrip(". "):  # Windows drops dots and blanks at the end, so that ".. " is ".."
            raise ValueError("leads out of its folder")
        if is_reserved(part):
            raise ValueError(f"has the part '{part}', a device of Windows")
    return parts


def check_new(parts: Sequence[str]) -> None:
    """Check the folders and the name of a file that is about to be made.

    Raises:
        ValueError: there are too many, one is too long, or one cannot be written down; the text says which, as for
            :func:`relative_parts`.
    """
    if len(parts) - 1 > _MOST_FOLDERS:
        raise ValueError(f"has {len(parts) - 1} folders, expected at most {_MOST_FOLDERS}")
    for part in parts:
        try:
            size = len(os.fsencode(part))
        except UnicodeEncodeError:
            raise ValueError("has half of a letter, which no file name can have") from None
        if size > _MOST_BYTES:
            raise ValueError(f"has the part '{part[:20]}...' of {size} bytes, expected at most {_MOST_BYTES}")
