"""A manifest read by a process of its own, which ends when it has: what gives jobs needs no PyTorch, all its life.

Recipes know what their parameters may be, and need PyTorch for what they do with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .jobs import Fault, Job, Manifest

_READER = Path(__file__).with_name("reader.py")
_ERRORS: dict[str, type[Exception]] = {"ValueError": ValueError, "OSError": OSError, "MemoryError": MemoryError}


def read_apart(
    path: Path,
    recipe: str,
    given: Mapping[str, Any],
    root: Path | None = None,
    by_content: bool = False,
    device: str | None = None,
    together: int = 1,
) -> tuple[Manifest, list[str]]:
    """What :func:`~rasterizer.batch.manifest.read_manifest` and :func:`~rasterizer.batch.hardware.devices` give.

    Raises:
        ValueError, OSError, MemoryError: as they do.
        RuntimeError: the process has failed; it has said why on standard error.
    """
    arguments = {
        "path": str(path),
        "recipe": recipe,
        "given": dict(given),
        "root": None if root is None else str(root),
        "by_content": by_content,
        "device": device,
        "together": together,
    }
    made, on = Manifest(), list[str]()
    alike: dict[str, Mapping[str, Any]] = {}  # most jobs have the same parameters
    for what, value in _answers(arguments):
        if what == "devices":
            on = value
        elif what == "job":
            parameters = value["parameters"]
            value["parameters"] = alike.setdefault(json.dumps(parameters), parameters)
            made.jobs.append(Job.from_dict(value))
        elif what == "fault":
            made.faults.append(Fault(**value))
        else:
            raise _ERRORS[what](value)
    return made, on


def _answers(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, str(_READER), json.dumps({"parent": os.getpid(), **arguments})],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            yield tuple(json.loads(line))
    if process.returncode:
        raise RuntimeError(f"the manifest could not be read: that process ended with code {process.returncode}")


def answer(arguments: Mapping[str, Any]) -> None:
    """In that process: write what :func:`answers` gives to standard output, each as a line of JSON."""
    from ..runtime.process.child import end_with

    given = dict(arguments)
    parent = given.pop("parent")
    if sys.platform.startswith("linux"):  # elsewhere nobody listens, and it ends when it has read all
        end_with(parent)
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print
    for each in answers(given):
        out.write(f"{json.dumps(each)}\n")


def answers(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The devices, faults and jobs, or an error by its name."""
    from .hardware import devices
    from .manifest import read_manifest

    given = dict(arguments)
    path, root = Path(given.pop("path")), given.pop("root")
    try:
        yield "devices", devices(given.pop("device"), given.pop("together"))
        made = read_manifest(path, root=None if root is None else Path(root), **given)
    except tuple(_ERRORS.values()) as error:
        yield next(name for name, kind in _ERRORS.items() if isinstance(error, kind)), str(error)
        return
    yield from (("fault", asdict(fault)) for fault in made.faults)
    yield from (("job", job.as_dict()) for job in made.jobs)
