"""Mesh files made of text."""

from __future__ import annotations

import codecs
import locale

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


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
