"""Damaged and hostile mesh files: a mesh of finite numbers or a ValueError, within bounds, and no other file opened."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.driver import Fault, Fuzzer
from tests.fuzz.mesh_seeds import Files, picture, seeds
from tests.fuzz.mutations import damaged_files, gltf_files
from tests.support.paths import ROOT

_LIMIT = 6 << 30  # bytes beyond which allocations fail
_SLACK = 64 << 20  # bytes beyond what is promised that nobody minds
_LONG = 10  # seconds of computing likewise
_START = 60.0  # seconds in which the process is there
_STUCK = 4.0  # seconds without computing, after which a process waits for what does not come

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="bounds processes as Linux does")


class Worker:
    """The process that loads, started again whenever it has died."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.process: subprocess.Popen[str] | None = None
        programs, secret = folder / "programs", folder / "secret"
        programs.mkdir()
        secret.mkdir()
        (programs / "gs").write_text("#!/bin/sh\nexit 1\n")  # Pillow starts Ghostscript where it finds one
        (programs / "gs").chmod(0o755)
        (secret / "file.png").write_bytes(picture())

    def _start(self) -> None:
        path = os.pathsep.join((str(self.root / "programs"), os.environ.get("PATH", "")))
        modules = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.mesh_worker", str(_LIMIT), str(_LONG)],
            env={**os.environ, "PATH": path, "PYTHONPATH": modules},
            cwd=self.root / "programs",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._answer(_START) != "ready\n":
            raise RuntimeError("the process that loads meshes does not start")

    def _answer(self, wait: float = _STUCK) -> str:
        """A line, or nothing from a process that is stuck."""
        computed = -1
        while computed != (computed := self._computed()):
            if select.select([self.process.stdout], [], [], wait)[0]:
                return self.process.stdout.readline()
        return "stuck"

    def _computed(self) -> int:
        """Ticks of the clock that the process has spent computing."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            self.process = None

    def load(self, files: Files) -> None:
        """Load the first of the files, in a folder that also has ways out of it.

        Raises:
            Fault: what is wrong with that.
        """
        if self.process is None:
            self._start()
        folder = self.root / "mesh"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "sub").mkdir(parents=True)
        outside = str(self.root / "secret").encode()
        for name, content in files.items():
            (folder / name).write_bytes(content.replace(b"{outside}", outside))
        (folder / "link.png").symlink_to(self.root / "secret" / "file.png")
        (folder / "folder").symlink_to(self.root / "secret")
        os.mkfifo(folder / "fifo")
        self.process.stdin.write(json.dumps(str(folder / next(iter(files)))) + "\n")
        self.process.stdin.flush()
        text = self._answer()
        if not text.startswith("{"):
            code = None if text == "stuck" else self.process.wait()
            self.stop()
            if code == -signal.SIGXCPU:
                raise Fault(f"takes more than {_LONG} s")
            raise Fault("waits for what does not come" if code is None else f"the process dies with code {code}")
        self._judge(json.loads(text))

    def _judge(self, answer: dict[str, Any]) -> None:
        if answer["forbidden"]:
            raise Fault(", ".join(answer["forbidden"]))
        if answer["wrong"]:
            raise Fault(answer["wrong"])
        if answer["memory"] > answer["allowed"] + _SLACK:
            raise Fault(
                "takes more memory than promised",
                f"{answer['memory'] >> 20} MiB, expected {answer['allowed'] >> 20} MiB",
            )


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    made = Worker(tmp_path_factory.mktemp("meshes"))
    yield made
    made.stop()


@pytest.mark.parametrize("kind", seeds())
def test_what_is_damaged_was_whole(worker: Worker, kind: str, tmp_path: Path) -> None:
    from rasterizer.meshes.files import load_mesh

    for name, content in seeds()[kind].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert len(load_mesh(tmp_path / next(iter(seeds()[kind]))).faces)
    worker.load(seeds()[kind])


def test_mesh_bytes(fuzz: Fuzzer, worker: Worker) -> None:
    fuzz(lambda mesh: worker.load(mesh.files()), limit=10 * _LONG, mesh=damaged_files())


def test_gltf_structure(fuzz: Fuzzer, worker: Worker) -> None:
    fuzz(lambda mesh: worker.load(mesh.files()), limit=10 * _LONG, mesh=gltf_files())
