"""What a worker of the local engine does."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import torch

from ..runtime.process.child import end_with
from .jobs import Job
from .output import Output
from .work import check_device, do_job


def serve(parent: int, device: str, threads: int, output: str, force: bool) -> None:
    """Test the device once, then do jobs one after the other.

    Args:
        parent: the id of the process that gives jobs.
        device: what to work on.
        threads: how many PyTorch may use on a CPU.
        output: the folder to write to.
        force: whether to do again what is done.
    """
    if sys.platform.startswith("linux"):  # elsewhere the end of standard input tells, or the job of Windows does
        end_with(parent)
    say = _Speaker()
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    torch.set_num_threads(threads)
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    check_device(place)
    say(what="ready", device=device)
    while (values := jobs.get()) is not None:
        say(what="started", id=values["id"])
        say(id=values["id"], **do_job(Job.from_dict(values), Output(Path(output)), place, force))


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


def _listen(jobs: queue.Queue[dict[str, Any] | None]) -> None:
    for line in sys.stdin.buffer:
        job = json.loads(line)
        jobs.put(job)
        if job is None:  # the interpreter cannot end while a thread reads
            return
    os._exit(1)  # also in the middle of a job: nobody waits for it
