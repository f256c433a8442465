"""The engine of one machine: each worker a process, on any system."""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.cores import usable_cores
from ..runtime.process.job import bound
from .engine import Event
from .jobs import Job
from .output import Output

_WORKER = Path(__file__).with_name("worker.py")
_TAIL = 2000  # bytes of what a worker has said last


@dataclass
class _Process:
    process: subprocess.Popen[bytes]
    log: Path
    held: ExitStack


class LocalEngine:
    """Workers that are processes of this machine, which end with this one, however that ends."""

    def __init__(
        self,
        output: Output,
        on: list[str],
        workers: int | None = None,
        per_gpu: int = 1,
        force: bool = False,
        program: Path = _WORKER,
    ) -> None:
        """Prepare workers.

        Args:
            output: where they write.
            on: devices, by names; what a worker has together, with commas between them.
            workers: how many there are in all; None is ``per_gpu`` a GPU, and on a CPU one for two cores.
            per_gpu: how many share a GPU.
            force: whether they do again what is done.
            program: run by its path.
        """
        cores = usable_cores()
        of_cpu = max(1, cores // 2)
        count = workers or sum(of_cpu if name == "cpu" else per_gpu for name in on)
        shared = [on[number % len(on)] for number in range(count)]
        self._places = {
            f"{name} ({shared[:number].count(name) + 1})" if shared.count(name) > 1 else name: name
            for number, name in enumerate(shared)
        }
        self._threads = max(1, cores // count)
        self._output, self._force, self._program = output, force, program
        self._running: dict[str, _Process] = {}
        self._events: queue.Queue[Event] = queue.Queue()
        self._started = 0
        atexit.register(self.close)

    @property
    def places(self) -> tuple[str, ...]:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        return tuple(self._places)

    def start(self, place: str) -> str:
        """See :class:`~rasterizer.batch.engine.Engine`; on Linux workers end with the thread that has called this."""
        self._started += 1
        name = f"{os.getpid()}-{self._started}"
        log = self._output.logs / f"{name}.txt"
        given = {
            "parent": os.getpid(),
            "device": self._places[place],
            "threads": self._threads,
            "output": str(self._output.folder),
            "force": self._force,
        }
        with log.open("wb") as errors:
            # In a group of its own: Ctrl-C is for this process, which knows what is to become of the others.
            process = subprocess.Popen(
                [sys.executable, str(self._program), json.dumps(given)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=os.name != "nt",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
                | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        held = ExitStack()
        held.enter_context(bound(process))
        self._running[name] = _Process(process, log, held)
        threading.Thread(target=self._listen, args=(name, process), daemon=True).start()
        return name

    def give(self, worker: str, job: Job) -> None:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        self._say(worker, job.as_dict())

    def end(self, worker: str, kill: bool) -> None:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        running = self._running.get(worker)
        if running is None:
            return
        if kill:
            _kill(running.process)
        else:
            self._say(worker, None)

    def wait(self, seconds: float) -> list[Event]:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        events: list[Event] = []
        with suppress(queue.Empty):
            events.append(self._events.get(timeout=seconds))
            while True:
                events.append(self._events.get_nowait())
        return [self._buried(event) if event.what == "died" else event for event in events]

    def close(self) -> None:
        """See :class:`~rasterizer.batch.engine.Engine`."""
        atexit.unregister(self.close)
        for name in list(self._running):
            _kill(self._running[name].process)
            self._buried(Event("died", name))

    def _say(self, worker: str, value: Any) -> None:
        pipe = self._running[worker].process.stdin
        with suppress(OSError):  # it has died, and its end will be told
            assert pipe is not None
            pipe.write(json.dumps(value).encode() + b"\n")
            pipe.flush()

    def _listen(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with suppress(ValueError):  # half a line, at its end
                said = json.loads(line)
                self._events.put(Event(said.pop("what"), name, said))
        self._events.put(Event("died", name))

    def _buried(self, event: Event) -> Event:
        """The end of a worker, with what is known of it."""
        running = self._running.pop(event.worker, None)
        if running is None:
            return event
        process = running.process
        _kill(process)  # it may have closed its output only, and what it has started may still run
        code = process.wait()
        running.held.close()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        said = _tail(running.log)
        if not said:
            with suppress(OSError):
                running.log.unlink()
        return Event("died", event.worker, {"reason": f"{_ended(code)}{f': {said}' if said else ''}"})


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker; with it goes its group, or the job of Windows that it is in."""
    if sys.platform != "win32":
        with suppress(OSError):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    with suppress(OSError):
        process.kill()


def _ended(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with code {code if code < 1 << 31 else hex(code)}"  # Windows' own are known by their digits


def _tail(log: Path) -> str:
    """The last line that a worker has written to standard error."""
    with suppress(OSError):
        lines = log.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""
    return ""
