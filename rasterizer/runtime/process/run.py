"""Has a call that cannot be stopped done in a process of its own, so that this one stays responsive."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .job import bound
from .scratch import scratch_folder

_CHILD = Path(__file__).with_name("child.py")
_POLL_SECONDS = 0.1


class RefusedError(Exception):
    """The work raised a ValueError, whose text this one has."""


class FailedError(Exception):
    """The process could not be started or has failed; the text says how, as the end of a sentence."""


def in_process(work: Path, given: Mapping[str, np.ndarray], report: Callable[[float], None]) -> dict[str, np.ndarray]:
    """What the function ``work`` of a file makes of named arrays (:mod:`.child`).

    Args:
        work: the file, which imports nothing of the pack.
        given: arrays by the names of the function's arguments.
        report: called several times a second with 0; an exception it raises ends the process.

    Raises:
        RefusedError: the function raised a ValueError.
        FailedError: anything else went wrong.
    """
    with scratch_folder() as folder:
        source, target = folder / "given.npz", folder / "made.npz"
        np.savez(source, **given)  # type: ignore[arg-type] # its own arguments have names that none of these has
        _run([str(_CHILD), str(work), str(source), str(target), str(os.getpid())], folder, report)
        if not target.is_file():
            raise FailedError(f"{sys.executable} ended without a result; expected the Python program that runs this")
        with np.load(target) as made:
            return dict(made)


def _run(arguments: list[str], folder: Path, report: Callable[[float], None]) -> None:
    """Run a Python script to its end; when ``report`` raises, end it there."""
    if not sys.executable or not Path(sys.executable).is_file():
        raise FailedError(
            f"it runs in another process, and needs the Python program for it: sys.executable is {sys.executable!r}, "
            "expected its path (a program that embeds Python can set it)"
        )
    # As multiprocessing does for the processes it spawns: what this one can import, the other can.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    errors = folder / "errors.txt"
    with errors.open("wb") as stream:
        try:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                stdin=subprocess.PIPE,  # never written to: that it ends tells the other process of our end
                stdout=subprocess.DEVNULL,
                stderr=stream,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # on Windows a console would flash up
            )
        except OSError as error:
            raise FailedError(f"it runs in another process, which cannot be started: {error}") from error
    atexit.register(process.kill)  # ComfyUI may be closed while we wait on one of its threads
    try:
        with bound(process):
            while process.poll() is None:
                report(0.0)
                time.sleep(_POLL_SECONDS)
    finally:
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()
        atexit.unregister(process.kill)
    if process.returncode:
        lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        what = lines[-1] if lines else f"it ended with code {process.returncode}"
        if what.startswith("ValueError: "):
            raise RefusedError(what.removeprefix("ValueError: "))
        raise FailedError(what)
