"""Commands ``batch`` in processes of their own, which can be killed."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rasterizer.batch.jobs import sha256_of
from rasterizer.batch.output import Output
from tests.support import batch_driver
from tests.support.paths import ROOT

PATIENCE = 120.0
"""Seconds to wait for what is to happen at once."""


class Drivers:
    """Drivers of one manifest, in processes of their own, which all write to one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder, Output(folder / "out")
        self._started: list[subprocess.Popen[str]] = []
        self.peak, self.processor = 0, math.nan

    def start(self, workers: int = 2, timeout: float = 60.0, ray: str = "") -> subprocess.Popen[str]:
        """Start one; ``ray`` is the address of a cluster to have the workers."""
        words = [str(self.folder / "manifest.jsonl"), str(self.output.folder), str(workers), str(timeout), ray]
        process = subprocess.Popen(
            [sys.executable, batch_driver.__file__, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, list[dict[str, object]]]:
        """The exit code, and what was said.

        ``peak`` is the most memory it has had, in bytes, and ``processor`` the seconds of a processor, without those of
        other processes.
        """
        out, errors = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in errors, errors
        self.peak = int((re.findall(r"^peak (\d+)$", errors, re.MULTILINE) or ["0"])[-1])
        self.processor = float((re.findall(r"^processor (\S+)$", errors, re.MULTILINE) or ["nan"])[-1])
        return process.returncode, [json.loads(line) for line in out.splitlines()]

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def wait_for(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def events(self, what: str) -> list[dict[str, Any]]:
        """What ledgers say of one kind, the oldest first."""
        lines = [line for path in sorted(self.output.ledger.iterdir()) for line in path.read_text().splitlines()]
        return [event for event in map(json.loads, lines) if event["what"] == what]

    def times(self) -> dict[str, int]:
        """When each job was done, in nanoseconds."""
        return {name: (self.output.folder / name / "done.json").stat().st_mtime_ns for name in self.done()}

    def done(self) -> list[str]:
        return [name for name, _ in self.output.all_done()]

    def check_whole(self, expected: list[str]) -> None:
        """All of these are done, with the files that they say, and nothing else lies about."""
        assert self.done() == expected
        for name, done in self.output.all_done():
            files = [path for path in (self.output.folder / name).rglob("*") if path.is_file()]
            found = {path.relative_to(self.output.folder / name).as_posix(): sha256_of(path) for path in files}
            assert len(found.pop("done.json")) == 64
            assert found == {file: told["sha256"] for file, told in done["files"].items()}
            if "sub/made.txt" in found:
                assert (self.output.folder / name / "sub" / "made.txt").read_text() == f"{name}\n" * 100
        assert not os.listdir(self.output.folder / ".batch" / "work")

    def workers(self) -> list[int]:
        """Processes of workers, by their ids."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if '"parent"' in words and str(self.output.folder) in words:
                found.append(int(place.name))
        return found
