"""Manifests: JSONL, a job a line, or Parquet, a job a row.

``{"id": "chair", "mesh": "chair.glb", "views": "chair_views", "size": 1024}``

``id`` is unique, also where upper and lower case are the same, and safe as a name of a folder. ``mesh`` is a file or a
built-in sample. ``views`` is a list of pictures, a folder of them (sorted by name), or null. Every other key is a
parameter of the recipe. Paths are relative to the manifest's folder, or to one that is named beside it, and lead
nowhere else, also not by a link.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..meshes.formats import SUPPORTED_SUFFIXES, unreadable
from ..meshes.sample_meshes import SAMPLES
from ..runtime.safe_names import check_new, relative_parts, shortened
from .jobs import Fault, Job, Manifest, input_of, job_key
from .parquet import is_parquet, rows_of
from .recipes import RECIPES, complete
from .recipes.parameters import views_of

PICTURES = (".png", ".jpg", ".jpeg", ".webp")

_KEYS = ("id", "mesh", "views")
_NO_NAME = '<>:"|?*/\\'  # what Windows has in no name of a file
_LONGEST = 150  # bytes of an id, which names of files begin with


def read_manifest(
    path: Path,
    recipe: str,
    given: Mapping[str, Any] | None = None,
    root: Path | None = None,
    by_content: bool = False,
) -> Manifest:
    """Read a manifest; what is wrong with a line keeps nothing from the others.

    Args:
        path: the file: JSONL in UTF-8, whose empty lines are passed over, or Parquet.
        recipe: one of :data:`~rasterizer.batch.recipes.RECIPES`.
        given: parameters for all jobs; those in a line are stronger.
        root: the folder that paths are relative to and lie in; None is the manifest's.
        by_content: whether keys follow from what is in the inputs, instead of size and time of the last change.

    Raises:
        ValueError: ``given`` is not what the recipe takes, or the file is Parquet that cannot be read here.
        OSError: the file cannot be read.
    """
    base = complete(recipe, given or {})
    folder = _Folder(root or path.parent)
    made, lines_of = Manifest(), dict[str, list[int]]()
    read: list[tuple[int, str, dict[str, Any]]] = []
    for number, line in enumerate(rows_of(path), 1) if is_parquet(path) else _lines(path):
        row, name = None, ""
        try:
            row = line if isinstance(line, dict) else _row(line)
            name = _id(row)
        except ValueError as error:
            made.faults.append(Fault(number, _shown_id(row), str(error)))
            continue
        read.append((number, name, row))
        lines_of.setdefault(_same(name), []).append(number)
    for number, name, row in read:
        others = [line for line in lines_of[_same(name)] if line != number]
        try:
            if others:
                raise ValueError(f"id: is {name!r}, as in line {others[0]}; expected another for each job")
            made.jobs.append(_job(name, recipe, row, base, folder, by_content))
        except (ValueError, OSError) as error:
            made.faults.append(Fault(number, name, str(error)))
    made.faults.sort(key=lambda fault: fault.line)
    return made


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line  # Windows' editors put it there
            if text.strip():
                yield number, text


def _row(text: bytes) -> dict[str, Any]:
    try:
        row = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'is no JSON ({error}), expected an object such as {{"id": "a", "mesh": "a.glb"}}') from None
    if not isinstance(row, dict):
        raise ValueError(f"is {type(row).__name__}, expected an object with id and mesh")
    return row


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has {next(name for name in names if names.count(name) > 1)!r} twice, expected each key once")
    return row


def _shown_id(row: dict[str, Any] | None) -> str:
    return shortened(str(row["id"])) if row and "id" in row else ""


def _same(name: str) -> str:
    """What ids have in common that some file system takes for one name."""
    return unicodedata.normalize("NFC", name).casefold()


def _id(row: dict[str, Any]) -> str:
    name = row.get("id")
    if not isinstance(name, str) or not name:
        raise ValueError(f"id: is {name!r}, expected a text that names the job's folder")
    try:
        check_safe_id(name)
    except ValueError as error:
        raise ValueError(
            f"id: {shortened(name)!r} {error}, expected a name that every system can give a folder"
        ) from None
    return name


def check_safe_id(name: str) -> None:
    """Check that every system can have a folder of this name, in plain sight.

    Raises:
        ValueError: it cannot; the text says why, to follow the name in a sentence.
    """
    check_new(relative_parts(name))
    if bad := [letter for letter in name if letter in _NO_NAME]:
        raise ValueError(f"has {bad[0]!r} in it")
    if name.startswith((".", " ")) or name.endswith((".", " ")):
        raise ValueError("begins or ends with a dot or a blank")
    if len(name.encode()) > _LONGEST:
        raise ValueError(f"has {len(name.encode())} bytes, more than {_LONGEST}")


def _job(
    name: str, recipe: str, row: dict[str, Any], base: Mapping[str, Any], folder: _Folder, by_content: bool
) -> Job:
    own = {key: value for key, value in row.items() if key not in _KEYS}
    parameters = complete(recipe, own, base)
    mesh, inputs, size = row.get("mesh"), [], 0
    if not isinstance(mesh, str) or not mesh:
        raise ValueError(f"mesh: is {mesh!r}, expected the name of a mesh file")
    if mesh in SAMPLES:
        inputs.append({"sample": mesh})
        found = mesh
    else:
        path = folder.inside(mesh, "mesh")
        if path.suffix.lower() not in SUPPORTED_SUFFIXES:
            raise ValueError(f"mesh: {shortened(mesh)}: {unreadable(path.suffix)}")
        inputs.append(folder.input(path, "mesh", by_content))
        found, size = str(path), path.stat().st_size
    views = _views(row.get("views"), folder)
    if RECIPES[recipe].views and not views:
        raise ValueError(f"views: are none, expected pictures of the mesh, which recipe {recipe} bakes")
    if views and not RECIPES[recipe].views:
        raise ValueError(f"views: are {len(views)} pictures, expected none, because recipe {recipe} takes a mesh alone")
    inputs += [folder.input(path, "views", by_content) for path in views]
    if RECIPES[recipe].views:
        views_of(parameters, len(views))
    key = job_key(name, recipe, parameters, inputs)
    return Job(name, recipe, found, tuple(map(str, views)), parameters, key, size)


def _views(value: Any, folder: _Folder) -> list[Path]:
    if value is None:
        return []
    if isinstance(value, str) and value:
        place = folder.inside(value, "views")
        if not place.is_dir():
            raise ValueError(
                f"views: {shortened(value)} is no folder, expected one with pictures in it, or a list of files"
            )
        found = sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURES)
        return [folder.inside(str(path), "views") for path in found]
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise ValueError(f"views: is {shortened(repr(value))}, expected a folder, a list of picture files, or null")
    return [folder.inside(each, "views") for each in value]


class _Folder:
    """The folder that all inputs lie in."""

    def __init__(self, folder: Path) -> None:
        self._plain = Path(os.path.abspath(folder))
        self._real = self._plain.resolve()

    def inside(self, name: str, what: str) -> Path:
        """The path of a file or folder in it, by its relative or full name.

        Raises:
            ValueError: it lies elsewhere. What the name says is looked at before anything is opened: names may be those
                of servers.
        """
        outside = (
            f"{what}: {shortened(name)} lies outside {self._plain}, expected a path in it; --root names another folder"
        )
        if "\0" in name:
            raise ValueError(f"{what}: {shortened(name)!r} has a zero in it, which no path can have")
        path = Path(os.path.abspath(self._plain / name))
        if not (path.is_relative_to(self._plain) or path.is_relative_to(self._real)):
            raise ValueError(outside)
        if not path.resolve().is_relative_to(self._real):
            raise ValueError(f"{outside} (a link leads there)")
        return path

    def input(self, path: Path, what: str, by_content: bool) -> dict[str, Any]:
        """Of :func:`input_of`, by the name within this folder."""
        if not path.is_file():
            raise ValueError(f"{what}: {path} is no file, expected one that is there")
        base = self._plain if path.is_relative_to(self._plain) else self._real
        return input_of(path, path.relative_to(base).as_posix(), by_content)
