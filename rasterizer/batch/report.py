"""What has become of a batch: counts, tables, and a picture of the results."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..pictures.contact_sheet import contact_sheet
from ..pictures.files import load_images
from ..runtime.files import write_atomically
from .ledger import BLAMES, History
from .manifest import PICTURES
from .output import Output

COLUMNS = ("id", "state", "seconds", "device", "finished", "recipe", "files", "bytes", "error")

_CELL = 128  # pixels
_IN_ROW = 6
_ON_SHEET = 50


def rows(output: Output) -> list[dict[str, Any]]:
    """What is known of each job, by ids: those of the last run, and others that are done.

    ``state`` is ``done``, ``stale`` (done, but by now the manifest, an input or the package is another), ``failed``,
    ``quarantine`` (it has taken down workers), ``refused`` (its line in the manifest cannot be used) or ``left``.
    """
    history = History.read(output.ledger)
    found = {name: _done_row(name, done, history) for name, done in output.all_done()}
    for name, key in history.last.items():
        if name in found and found[name]["state"] == "done":
            continue
        failure = history.failed.get(key, {})
        state = "quarantine" if failure.get("quarantine") or history.blames.get(key, 0) >= BLAMES else "failed"
        if failure:
            told = {"error": failure.get("error", ""), "traceback": failure.get("traceback", "")}
            found[name] = {"id": name, "state": state, **told}
        elif name not in found:
            found[name] = {"id": name, "state": "left"}
    refused = [
        {"id": str(each.get("id")), "state": "refused", "error": f"line {each.get('line')}: {each.get('error')}"}
        for each in history.faults
    ]
    return [*(found[name] for name in sorted(found)), *refused]


def counts(listed: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many rows there are of each state."""
    states = [row["state"] for row in listed]
    return {state: states.count(state) for state in dict.fromkeys(("done", "failed", "left", *states))}


def write_report(output: Output, folder: Path) -> list[Path]:
    """Write ``report.json``, ``report.csv`` and ``contact_sheet_01.png``, 50 jobs a sheet.

    Returns:
        The files.

    Raises:
        OSError: they cannot be written.
    """
    listed = rows(output)
    document = json.dumps({"counts": counts(listed), "jobs": listed}, indent=1, ensure_ascii=False)
    texts = {"report.json": document, "report.csv": _csv(listed)}
    for name, text in texts.items():
        data = text.encode("utf-8", "replace")
        write_atomically(folder / name, lambda path, data=data: path.write_bytes(data))  # type: ignore[misc]
    return [*(folder / name for name in texts), *_sheets(output, listed, folder)]


def _done_row(name: str, done: dict[str, Any], history: History) -> dict[str, Any]:
    files = done.get("files", {})
    return {
        "id": name,
        "state": "done" if history.last.get(name, done["key"]) == done["key"] else "stale",
        **{key: done.get(key) for key in ("seconds", "device", "finished", "recipe", "result")},
        "files": list(files),
        "bytes": sum(each.get("bytes", 0) for each in files.values()),
    }


def _csv(listed: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for row in listed:
        table.writerow([_cell(row.get(name, "")) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value as a spreadsheet takes it: no text of a stranger's is to be a formula there."""
    if isinstance(value, list):
        value = " ".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _sheets(output: Output, listed: Sequence[dict[str, Any]], folder: Path) -> Iterator[Path]:
    shown = [(row["id"], pictures) for row in listed if (pictures := _pictures(output, row))]
    for start in range(0, len(shown), _ON_SHEET):
        part = shown[start : start + _ON_SHEET]
        columns = [""] * max(len(pictures) for _, pictures in part)
        sheet = contact_sheet([(name[:12], _thumbnails(pictures)) for name, pictures in part], columns)
        path = folder / f"contact_sheet_{start // _ON_SHEET + 1:02}.png"
        write_atomically(path, sheet.save)
        yield path


def _pictures(output: Output, row: dict[str, Any]) -> list[Path]:
    names = [name for name in row.get("files", ()) if name.lower().endswith(PICTURES)]
    return [path for name in names[:_IN_ROW] if (path := output.folder / row["id"] / name).is_file()]


def _thumbnails(pictures: Sequence[Path]) -> Tensor:
    """``[B, 128, 128, 3]``: pictures made small, whole, on white."""
    made = torch.ones(len(pictures), _CELL, _CELL, 3)
    for target, path in zip(made, pictures, strict=True):
        try:
            image = load_images([path]).permute(0, 3, 1, 2)
        except (ValueError, OSError):  # somebody has changed it since; the others are still to be shown
            continue
        longest = max(image.shape[2:])
        size = [max(1, round(side * _CELL / longest)) for side in image.shape[2:]]
        small = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        target[: size[0], : size[1]] = small
    return made
