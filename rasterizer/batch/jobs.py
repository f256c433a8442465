"""What a job is, and the key by which a finished one is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..version import __version__

RECIPE_NAMES = ("render", "maps", "texture", "bake")
"""Of :data:`rasterizer.batch.recipes.RECIPES`, for those who do without PyTorch, which recipes need."""


@dataclass(frozen=True)
class Job:
    """One line of a manifest, with all that follows from it and the command.

    Attributes:
        id: names the folder of its output, and is safe for that.
        recipe: which of :data:`rasterizer.batch.recipes.RECIPES`.
        mesh: a mesh file, or a built-in sample.
        views: picture files.
        parameters: all of the recipe's.
        key: of :func:`job_key`.
        bytes: of the mesh file, by which large ones go first.
    """

    id: str
    recipe: str
    mesh: str
    views: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As values of JSON, for :meth:`from_dict` in another process."""
        return {**asdict(self), "views": list(self.views)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Job:
        """What :meth:`as_dict` gave."""
        return Job(**{**values, "views": tuple(values["views"])})


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line of a manifest."""

    line: int
    id: str
    text: str


@dataclass
class Manifest:
    """The jobs of a manifest in its order, and what is wrong with its other lines."""

    jobs: list[Job] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def job_key(
    job_id: str, recipe: str, parameters: Mapping[str, Any], inputs: list[dict[str, Any]], version: str = __version__
) -> str:
    """SHA-256, in hexadecimal, of what a job's output follows from.

    Args:
        job_id, recipe, parameters: as of :class:`Job`.
        inputs: of :func:`input_of`, in the order in which the recipe takes them.
        version: of this package.
    """
    parts = {"id": job_id, "recipe": recipe, "parameters": dict(parameters), "inputs": inputs, "version": version}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def input_of(path: Path, name: str, by_content: bool) -> dict[str, Any]:
    """What a key says of an input file: its name, and size and time of its last change, or its content.

    Raises:
        OSError: the file is not there, or cannot be read.
    """
    if by_content:
        return {"name": name, "sha256": sha256_of(path)}
    found = path.stat()
    return {"name": name, "bytes": found.st_size, "changed_ns": found.st_mtime_ns}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
