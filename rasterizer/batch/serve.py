"""What a worker of the local engine does."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import IO, Any

from ..runtime.process.child import end_with
from .work import Worker


def serve(parent: int, **settings: Any) -> None:
    """Test the devices once, then do jobs one after the other.

    Args:
        parent: the id of the process that gives jobs.
        settings: arguments of :class:`~rasterizer.batch.work.Worker`.
    """
    if sys.platform.startswith("linux"):  # elsewhere the end of standard input tells, or the job of Windows does
        end_with(parent)
    say = _Speaker()
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_listen, args=(_own_input(), jobs), daemon=True).start()
    worker = Worker(**settings)
    say(what="ready", device=",".join(map(str, worker.devices)))
    while (values := jobs.get()) is not None:
        say(what="started", id=values["id"])
        say(id=values["id"], **worker.do(values))


class _Speaker:
    """Standard output, kept for messages: what libraries print goes to standard error from here on."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._file = os.dup(1)
        os.dup2(2, 1)

    def __call__(self, **values: Any) -> None:
        line = json.dumps(values).encode() + b"\n"
        while line:
            line = line[os.write(self._file, line) :]


def _own_input() -> IO[bytes]:
    """Standard input, kept for jobs: for everybody else it is empty from here on.

    While a thread reads it, Windows keeps whoever asks what kind of file it is, as libraries and programs do when they
    are loaded, waiting until the next job comes.
    """
    own = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return own


def _listen(lines: IO[bytes], jobs: queue.Queue[dict[str, Any] | None]) -> None:
    for line in lines:
        job = json.loads(line)
        jobs.put(job)
        if job is None:  # the interpreter cannot end while a thread reads
            return
    os._exit(1)  # also in the middle of a job: nobody waits for it
