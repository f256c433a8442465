"""A manifest of what lies in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..meshes.formats import SUPPORTED_SUFFIXES
from .manifest import PICTURES, check_safe_id


def scan(folder: Path) -> Iterator[dict[str, Any]]:
    """One row of a manifest for each mesh file in a folder or below, by name.

    A folder beside a mesh that is called as it is, or as it is with ``_views`` behind, and has pictures in it gives its
    views. Ids are names without suffixes; where these are in folders, the folders' names go before; where an id is
    taken, the suffix is added. Results that a batch has written into the folder are no input.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: is no folder, expected one with mesh files in it")
    taken: set[str] = set()
    results = [path.parent for path in folder.rglob(".batch")]
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.suffix.lower() not in SUPPORTED_SUFFIXES or not path.is_file():
            continue
        if any(result in path.parents for result in results):
            continue
        row: dict[str, Any] = {"id": _free(inside, taken), "mesh": inside.as_posix()}
        for name in (path.stem, f"{path.stem}_views"):
            beside = path.with_name(name)
            if beside.is_dir() and any(each.suffix.lower() in PICTURES for each in beside.iterdir()):
                row["views"] = beside.relative_to(folder).as_posix()
        yield row


def manifest_text(rows: Iterator[dict[str, Any]]) -> str:
    """Rows as the text of a manifest."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _free(inside: Path, taken: set[str]) -> str:
    """An id that is safe and that no other has."""
    stem = "_".join(inside.with_suffix("").parts)
    number = 0
    while True:
        name = stem if not number else f"{stem}_{inside.suffix[1:]}" if number == 1 else f"{stem}_{number}"
        try:
            check_safe_id(name)
        except ValueError:
            stem = "mesh_" + "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stem)[:100]
            stem = stem.encode()[:120].decode(errors="ignore")
            continue
        if name.casefold() not in taken:
            taken.add(name.casefold())
            return name
        number += 1
