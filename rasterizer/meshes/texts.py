"""What mesh files have as text: themselves, and names."""

from __future__ import annotations

import codecs
import locale
import re
from typing import Any

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


_LONGEST = 200  # letters of a name that anybody reads
_MADE_UP = re.compile(r"world|GLTF|geometry_[0-9]+|material_[0-9]+")  # by trimesh, where there is no name


def clean_name(name: Any) -> str:
    """A name out of a file, which a stranger may have made, as one line that can be shown and written; else empty."""
    if not isinstance(name, str):
        return ""
    plain = one_line(name[: 2 * _LONGEST])[:_LONGEST]
    return "" if _MADE_UP.fullmatch(plain) else plain


def one_line(text: str) -> str:
    """A text that may quote a stranger's file, without what would steer a terminal or look like a further message."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def to_utf8(data: bytes) -> bytes:
    """Text in UTF-8, whatever it was in: what its mark says, else UTF-8, else this system's own encoding.

    trimesh would guess with a package that need not be installed.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors="replace").encode()
    try:
        data.decode()
        return data
    except UnicodeDecodeError:
        pass
    try:
        return data.decode(locale.getpreferredencoding(False)).encode()
    except (UnicodeDecodeError, LookupError):
        return data.decode("latin-1").encode()
