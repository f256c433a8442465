"""Files beside an OBJ file: names that it shares with no other, and whose they are."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import quote

KINDS = ("", "_roughness", "_metallic", "_normal")
"""What follows the stem in the names of the pictures."""

_ESCAPED = frozenset('="#%\\')
_LONGEST = 200  # bytes of a stem, leaving room for the rest of a name
_HEAD = 4096  # bytes of a file in which its mark, or the name of its material, is looked for
_MATERIAL = re.compile(rb"^mtllib (\S+)\.mtl\r?$", re.MULTILINE)


def stems(path: Path) -> Iterator[str]:
    """What the names of the files beside an OBJ file may begin with, the best first; other OBJ files have others.

    The best is the OBJ file's own stem, but for letters at which programs split or cut the names in OBJ and MTL files,
    and for what would make it another stem's: these are written ``=`` and two hexadecimal digits for each byte.
    """
    text = path.stem
    kind = next((kind for kind in KINDS[1:] if text.endswith(kind)), "")
    first = "".join(_escape(letter, letter in _ESCAPED) for letter in text[: len(text) - len(kind)])
    first = _escape(first[0], True) + first[1:] if first[:1] == "-" else first  # a name, no option of map_Kd
    stem = first + (_escape(kind[0], True) + kind[1:] if kind else "")  # its picture would be the other stem's kind
    if len(os.fsencode(stem)) > _LONGEST:
        short = os.fsencode(stem)[: _LONGEST - 40].decode(errors="ignore")
        stem = f"{short}=h{hashlib.sha256(os.fsencode(text)).hexdigest()[:32]}"
    yield stem
    yield from (f"{stem}=v{number}" for number in count(2))


def _escape(letter: str, always: bool) -> str:
    if not always and letter.isprintable() and not letter.isspace():
        return letter
    return "".join(f"={byte:02X}" for byte in os.fsencode(letter))


def mark(path: Path) -> str:
    """A line that says of a file, near its beginning, that it belongs to an OBJ file."""
    return f'Torch Rasterizer: part of "{quote(os.fsencode(path.name), safe=" ")}"'


def is_part(file: Path, path: Path) -> bool:
    """Whether :func:`save_obj` has written ``file`` for the OBJ file ``path``."""
    return mark(path).encode() in _head(file)


def named_by(path: Path) -> str | None:
    """The stem of the material file that an OBJ file names near its beginning, if it lies beside it."""
    match = _MATERIAL.search(_head(path))
    stem = os.fsdecode(match[1]) if match else ""
    return stem if stem and not set(stem) & set("/\\:\0") else None


def _head(file: Path) -> bytes:
    try:
        if not stat.S_ISREG(file.lstat().st_mode):  # neither a link to somebody else's, nor what waits for a reader
            return b""
        with open(file, "rb") as opened:
            return opened.read(_HEAD)
    except OSError:
        return b""
