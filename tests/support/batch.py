"""An engine in this process, and a recipe for tests, which workers and readers know that are started by this file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch

from rasterizer.batch import output, recipes
from rasterizer.batch.engine import Event
from rasterizer.batch.jobs import Job
from rasterizer.batch.reading import answer
from rasterizer.batch.recipes import Recipe, render
from rasterizer.batch.recipes.parameters import Parameter, choice, whole
from rasterizer.batch.serve import serve
from rasterizer.batch.work import do_job

DEATHS = ("made", "hashed", "flushed", "described", "renamed")
"""Steps of writing a job's folder, after which a worker can be made to die once."""


def _trial(job: Job, folder: Path, devices: Sequence[torch.device]) -> Mapping[str, Any]:
    """Write a small file, after what the job's parameters say."""
    do = job.parameters["do"]
    time.sleep(job.parameters["milliseconds"] / 1000)
    if do == "talk":
        print("to nobody", flush=True)
        subprocess.run([sys.executable, "-c", "print('nor this')"], check=True)
        return {"read": sys.stdin.read() + os.read(0, 1).decode()}
    if do == "die":
        os._exit(9)
    if do == "fail":
        raise ValueError("mesh: is broken")
    if do == "full":
        raise OSError(28, "No space left on device")
    if do == "render":
        given = {name: parameter.default for name, parameter in render.PARAMETERS.items()} | {"samples": 1}
        given["size"] = job.parameters["size"]
        made = render.run(Job(job.id, "render", job.mesh, (), given), folder, devices)
        return {**made, **_clocks()}
    (folder / "sub").mkdir()
    (folder / "sub" / "made.txt").write_text(f"{job.id}\n" * 100)
    if do in DEATHS:
        _die_once(folder, do)
    return {"faces": 1}


def _clocks() -> dict[str, Any]:
    """What this process has had until now, in seconds; ``waited`` for a core that others had, where Linux says that."""
    waited = Path("/proc/self/schedstat")
    return {
        "process": os.getpid(),
        "at": time.monotonic(),
        "processor": time.process_time(),
        "waited": int(waited.read_text().split()[1]) / 1e9 if waited.exists() else 0.0,
    }


def _die_once(folder: Path, step: str) -> None:
    mark = folder.parents[2] / f".died-{step}"
    if not mark.exists():
        mark.touch()
        if step == "made":
            os._exit(9)
        place, name = {
            "hashed": (output, "sha256_of"),
            "flushed": (output, "flush"),
            "described": (output, "flush_folder"),
            "renamed": (output.os, "rename"),
        }[step]
        before = getattr(place, name)
        setattr(place, name, lambda *arguments: (before(*arguments), os._exit(9)))


def add_recipe() -> None:
    """Have a recipe ``trial``."""
    parameters = {
        "do": Parameter("write", choice("write", "render", "talk", "fail", "full", "die", *DEATHS)),
        "size": Parameter(48, whole(1, 1024)),
        "milliseconds": Parameter(0, whole(0, 600_000)),
    }
    recipes.RECIPES["trial"] = Recipe(parameters, _trial)


class InlineEngine:
    """Workers that are none: a job is done where it is given, in this process.

    Attributes:
        on_give: called with each job; what it returns becomes of the job, unless it is None.
        started: how many workers were.
        unready: so many die before they are ready.
    """

    def __init__(
        self,
        where: output.Output,
        places: int = 1,
        on_give: Callable[[Job], list[Event] | None] = lambda job: None,
        unready: int = 0,
        force: bool = False,
    ) -> None:
        self.places = tuple(f"place {number}" for number in range(places))
        self.on_give, self.unready, self.started = on_give, unready, 0
        self.given: list[str] = []
        self.ended: list[str] = []
        self._where, self._force = where, force
        self._events: list[Event] = []

    def start(self, place: str) -> str:
        self.started += 1
        name = f"worker {self.started}"
        ready = self.started > self.unready
        self._events.append(Event("ready", name) if ready else Event("died", name, {"reason": "no driver"}))
        return name

    def give(self, worker: str, job: Job) -> None:
        self.given.append(job.id)
        events = self.on_give(job)
        if events is None:
            values = do_job(job, self._where, [torch.device("cpu")], self._force)
            events = [Event("started", ""), Event(values.pop("what"), "", values)]
        self._events += [Event(each.what, worker, each.values) for each in events]

    def end(self, worker: str, kill: bool) -> None:
        self.ended.append(f"{'kill' if kill else 'end'} {worker}")

    def wait(self, seconds: float) -> list[Event]:
        events, self._events = self._events, []
        if not events:
            time.sleep(0.01)
        return events

    def close(self) -> None:
        pass


def manifest_of(folder: Path, *rows: Mapping[str, Any]) -> Path:
    """A manifest with these rows."""
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


if __name__ == "__main__":
    add_recipe()
    words = json.loads(sys.argv[1])
    if "path" in words:
        answer(words)
    else:
        serve(**words)
