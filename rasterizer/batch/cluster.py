"""The engine of many machines: each worker an actor of Ray, on one node, and never started again by Ray itself."""

from __future__ import annotations

import importlib
import io
import os
import runpy
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.leftovers import temporary_name
from ..runtime.log import log
from ..runtime.presence import absent, broken
from ..version import __version__
from .engine import Event
from .jobs import Job
from .output import Output

_ACTOR = Path(__file__).with_name("actor.py")
_LOOK = 2.0  # seconds between two looks at the nodes
_STORE = 100 << 20  # bytes for objects of a Ray of our own: only jobs and their results travel
_CORES = 2  # of a CPU for a worker


@dataclass(frozen=True)
class _Place:
    """A share of a node: of its GPUs, or of its CPU."""

    node: str
    gpus: float
    cpus: int
    threads: int


@dataclass
class _Actor:
    handle: Any
    refs: dict[Any, str]  # what is awaited, by what it says when it comes
    job: Job | None = None


def import_ray() -> Any:
    """Ray.

    Raises:
        ValueError: it is not there; the text names the extra that brings it.
    """
    cure = "pip install '.[ray]' in the folder of this pack brings it, and --engine local does without"
    if reason := absent("ray"):
        raise ValueError(f"--engine: ray needs the package ray, which is {reason}; {cure}")
    try:
        return importlib.import_module("ray")
    except Exception as error:
        raise ValueError(f"--engine: ray needs the package ray, which is {broken(error)}; {cure}") from None


class RayEngine:
    """Workers on the nodes of a Ray cluster, or of a Ray that is started here and ends with this process.

    Nodes may come and go while it runs. A worker stays on the node it was started on, so that a place is always the
    same share of the same machine.
    """

    def __init__(
        self,
        output: Output,
        device: str | None = None,
        workers: int | None = None,
        per_gpu: int = 1,
        force: bool = False,
        address: str | None = None,
        program: Path = _ACTOR,
        gpus_per_worker: int = 1,
    ) -> None:
        """Connect to Ray.

        Args:
            output: where workers write; a folder that all nodes share, by the same path.
            device: the kind, such as ``cuda`` or ``cpu``; None is GPUs where any node has one.
            workers: how many there are at most; None is ``per_gpu`` a GPU, and on CPUs one for two cores.
            per_gpu: how many share a GPU.
            force: whether they do again what is done.
            address: of the cluster; ``auto`` finds the one of this machine. None is what RAY_ADDRESS says, else a Ray
                of our own.
            program: the file with the class of the worker.
            gpus_per_worker: how many a worker has, of one node; with more than 1, ``per_gpu`` is 1.

        Raises:
            ValueError: Ray is not installed, or no node has such a device, or as many.
            OSError: there is no cluster at the address.
            RuntimeError: Ray cannot be used, as when the cluster's version is another.
        """
        self._ray = import_ray()
        self._device = _kind(device)
        self._workers, self._per_gpu, self._gpus_each = workers, per_gpu, gpus_per_worker
        self._actors: dict[str, _Actor] = {}
        self._events: list[Event] = []
        self._started, self._looked = 0, -_LOOK
        self._found: dict[str, _Place] = {}
        self._mark = output.logs / temporary_name()
        self._mark.touch()
        self._settings = {
            "output": os.path.abspath(output.folder),
            "force": force,
            "mark": self._mark.name,
            "version": __version__,
        }
        self._stdout = sys.stdout
        self._connected = not self._ray.is_initialized()
        try:
            if self._connected:
                sys.stdout = _ToLog()  # Ray prints there what happens to workers
                _connect(self._ray, address)
            self._class = self._ray.remote(runpy.run_path(str(program), run_name="rasterizer_actor")["Actor"])
            any_gpu = any(node.get("GPU") for _, _, node in self._nodes())
            self._gpu = self._device in ("cuda", "xpu") or (self._device is None and any_gpu)
            if not self._gpu and gpus_per_worker > 1:
                raise ValueError(f"--gpus-per-worker: is {gpus_per_worker}, expected 1 where workers have no GPU")
            if not self.places:
                wanted = f"{gpus_per_worker} GPUs" if gpus_per_worker > 1 else "a GPU" if self._gpu else "a CPU"
                what = (
                    f"--gpus-per-worker: {gpus_per_worker}" if gpus_per_worker > 1 else f"--device: {device or 'cpu'!r}"
                )
                raise ValueError(f"{what} cannot be used: no node of this Ray has {wanted}")
        except BaseException:
            self.close()
            raise

    @property
    def places(self) -> tuple[str, ...]:
        """See :class:`~rasterizer.batch.engine.Engine`: those of the nodes that are there now."""
        if time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            self._found = self._look()
        return tuple(self._found)

    def start(self, place: str) -> str:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        where = self._found.get(place)
        if where is None:
            raise OSError(f"{place} is no more")
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._started += 1
        self._mark.touch()  # what nobody has touched for a day is removed by other machines
        name = f"{os.getpid()}-{self._started}"
        settings = {
            **self._settings,
            "device": ",".join(["gpu"] * self._gpus_each) if self._gpu else self._device or "cpu",
        }
        try:
            handle = self._class.options(
                num_cpus=where.cpus,
                num_gpus=where.gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(where.node, soft=False),
            ).remote(str(Path(__file__).resolve().parents[2]), {**settings, "threads": where.threads})
            self._actors[name] = _Actor(handle, {handle.ready.remote(): "ready"})
        except self._ray.exceptions.RayError as error:
            raise OSError(_said(error)) from None
        return name

    def give(self, worker: str, job: Job) -> None:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        actor = self._actors[worker]
        actor.job = job
        self._ask(worker, actor, "begin")

    def end(self, worker: str, kill: bool) -> None:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        actor = self._actors.pop(worker, None)
        if actor is None:
            return
        if kill:
            self._ray.kill(actor.handle)
        self._events.append(Event("died", worker, {"reason": "it was ended"}))  # without its handle, Ray ends an actor

    def wait(self, seconds: float) -> list[Event]:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        awaited = {ref: name for name, actor in self._actors.items() for ref in actor.refs}
        if not awaited:
            time.sleep(0 if self._events else seconds)
        else:
            some, rest = self._ray.wait(list(awaited), timeout=0 if self._events else seconds)
            if some and rest:
                some += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
            for ref in some:
                self._hear(awaited[ref], ref)
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        for name in list(self._actors):
            self.end(name, kill=True)
        if self._connected:
            self._ray.shutdown()
            sys.stdout = self._stdout
        self._mark.unlink(missing_ok=True)

    def _ask(self, name: str, actor: _Actor, what: str, *values: Any) -> None:
        try:
            actor.refs[getattr(actor.handle, what).remote(*values)] = what
        except self._ray.exceptions.RayError as error:
            self._bury(name, error)

    def _hear(self, name: str, ref: Any) -> None:
        actor = self._actors.get(name)
        if actor is None:
            return
        what = actor.refs.pop(ref)
        try:
            values = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._bury(name, error)
            return
        if what == "ready":
            self._events.append(Event("ready", name, values))
        elif what == "begin" and actor.job is not None:
            # The job is sent after it is known that it begins: a worker that dies sooner says nothing against it.
            self._events.append(Event("started", name, {"id": actor.job.id}))
            self._ask(name, actor, "do", actor.job.as_dict())
        else:
            self._events.append(Event(values.pop("what"), name, {**values, "id": actor.job.id if actor.job else ""}))
            actor.job = None

    def _bury(self, name: str, error: Exception) -> None:
        """A worker does not answer any more: whatever Ray knows of it, it is to be dead."""
        self._ray.kill(self._actors.pop(name).handle)
        self._looked = -_LOOK  # its node may have gone with it
        self._events.append(Event("died", name, {"reason": _said(error)}))

    def _nodes(self) -> list[tuple[str, str, Mapping[str, float]]]:
        """The nodes that are there: id, name for people, resources."""
        return [
            (node["NodeID"], f"{node['NodeManagerHostname']}-{node['NodeID'][:6]}", node["Resources"])
            for node in self._ray.nodes()
            if node["Alive"]
        ]

    def _look(self) -> dict[str, _Place]:
        nodes = self._nodes()
        kind = "GPU" if self._gpu else "CPU"
        cores = _CORES
        if self._workers and not self._gpu:  # fewer or more than usual share the cores out
            cores = max(1, int(sum(node.get("CPU", 0) for _, _, node in nodes)) // self._workers)
        found: dict[str, _Place] = {}
        for node, name, has in nodes:
            cpus = int(has.get("CPU", 0))
            if self._gpu:
                count = int(has.get("GPU", 0)) // self._gpus_each * self._per_gpu
                place = _Place(node, self._gpus_each / self._per_gpu, 0, max(1, cpus // max(1, count)))
            else:
                each = min(cores, cpus)
                count = cpus // each if each else 0
                place = _Place(node, 0, each, max(1, each))
            found |= {f"{name} {kind.lower()} {number}": place for number in range(1, count + 1)}
        # Those that have been there stay: which ones a limit leaves out is not to change when a node comes.
        kept = {name: found[name] for name in self._found if name in found} | found
        return dict(list(kept.items())[: self._workers])


class _ToLog(io.TextIOBase):
    """A standard output whose lines go to the log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.info("Ray: %s", text.strip())
        return len(text)


def _connect(ray: Any, address: str | None) -> None:
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE} if address == "local" else {}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="WARNING", **own)
    except (ConnectionError, ray.exceptions.RayError) as error:
        first = str(error).strip().partition("\n")[0]
        raise OSError(
            f"--address: {address!r} cannot be used: {first}; expected that of a cluster, which ray start --head "
            "starts (where it wants a token, RAY_AUTH_MODE=token is needed here, too)"
        ) from None


def _kind(device: str | None) -> str | None:
    if device is not None and device not in ("cuda", "xpu", "mps", "cpu"):
        raise ValueError(
            f"--device: {device!r} cannot be used with --engine ray, which hands out the GPUs itself; expected "
            "cuda, xpu, mps or cpu"
        )
    return device


def _said(error: Exception) -> str:
    """What Ray says of a death, without what it advises."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(" Some common causes")[0] if lines else type(error).__name__
