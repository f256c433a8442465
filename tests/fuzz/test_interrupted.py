"""A save that is interrupted leaves the old files or the new ones, whole, and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from rasterizer.meshes.files import SAVED_SUFFIXES, save_mesh
from tests.fuzz.driver import Fault, Fuzzer
from tests.fuzz.saved import marked, which

OLD, NEW = marked(1), marked(6)
SUFFIXES = st.sampled_from(SAVED_SUFFIXES)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="interrupts as Linux does")

_watched: Path | None = None
_left = -1  # events until the one that fails


class _DiskError(OSError):
    """A disk that fails."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    global _left
    if _watched is None or event not in ("open", "os.rename", "os.mkdir", "os.link", "os.chmod"):
        return
    name = arguments[0]
    if isinstance(name, (str, bytes, os.PathLike)) and Path(os.fsdecode(name)).is_relative_to(_watched):
        _left -= 1
        if _left == -1:
            raise _DiskError(28, "No space left on device")


sys.addaudithook(_audit)  # which cannot be taken back


@contextlib.contextmanager
def _failing_at(step: int, folder: Path) -> Iterator[None]:
    """Let one step fail: the opening or renaming of a file, or what follows from that."""
    global _watched, _left
    _watched, _left = folder, step
    try:
        yield
    finally:
        _watched = None


@contextlib.contextmanager
def _failing_after(size: int) -> Iterator[None]:
    """Let no file become larger than ``size`` bytes: writing fails in the middle, as on a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _whole(folder: Path, suffix: str) -> set[str]:
    """The names of all files that the old mesh and the new one consist of, alone and after each other."""
    names = set()
    for place, meshes in (("old", [OLD]), ("new", [NEW]), ("both", [OLD, NEW])):
        for mesh in meshes:
            save_mesh(mesh, folder / place / f"a mesh{suffix}")
        names |= _names(folder / place)
    return names


def test_failing_disk(fuzz: Fuzzer, tmp_path: Path) -> None:
    whole = {suffix: _whole(tmp_path / suffix, suffix) for suffix in SAVED_SUFFIXES}

    def check(suffix: str, step: int | None, size: int, over: bool) -> None:
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        path = folder / f"a mesh{suffix}"
        if over:
            save_mesh(OLD, path)
        failing = _failing_after(size) if step is None else _failing_at(step, folder)
        failed = False
        try:
            with failing:
                save_mesh(NEW, path)
        except OSError:
            failed = True
        left = _names(folder) if folder.exists() else set()
        if hidden := {name for name in left if Path(name).name.startswith(".")}:
            raise Fault(f"{suffix}: temporary files are left", str(hidden))
        # Where it has not failed, it has gone around what it could not open.
        if failed and (strange := left - whole[suffix]):
            raise Fault(f"{suffix}: files of other names are left", str(strange))
        if not over and failed:
            if path.exists():
                raise Fault(f"{suffix}: a failed save leaves a mesh file")
        elif which(path, (OLD, NEW)) != int(not failed):
            raise Fault(f"{suffix}: a save {'has failed and' if failed else 'has not failed, but'} replaced the mesh")

    step = st.none() | st.integers(0, 15)
    fuzz(check, suffix=SUFFIXES, step=step, size=st.integers(0, 2000), over=st.booleans())


def save_on_and_on(path: Path, first: int, ready: Any) -> None:
    """Save the two meshes in turn, for ever."""
    import torch

    torch.set_num_threads(1)
    meshes = itertools.cycle((OLD, NEW) if first else (NEW, OLD))
    save_mesh(next(meshes), path)
    ready.set()
    for mesh in meshes:
        save_mesh(mesh, path)


class Killer:
    """Starts processes that save, each within milliseconds, and kills them."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.fuzz.test_interrupted"])

    def run(self, path: Path, seconds: float) -> None:
        """Let a process save at ``path`` for some time."""
        ready = self.context.Event()
        process = self.context.Process(target=save_on_and_on, args=(path, 0, ready), daemon=True)
        process.start()
        try:
            if not ready.wait(60):
                raise RuntimeError("the process that saves does not start")
            time.sleep(seconds)
        finally:
            process.kill()
            process.join()
            process.close()


SECONDS = st.integers(0, 300).map(lambda k: k / 10_000)


def test_killed(fuzz: Fuzzer, tmp_path: Path) -> None:
    killer = Killer()

    def check(suffix: str, seconds: float) -> None:
        path = tmp_path / "folder" / f"a mesh{suffix}"
        killer.run(path, seconds)
        which(path, (OLD, NEW))
        shutil.rmtree(path.parent)

    fuzz(check, limit=60, repeatable=False, suffix=SUFFIXES, seconds=SECONDS)


def test_temporaries_of_the_dead_vanish(fuzz: Fuzzer, tmp_path: Path) -> None:
    killer = Killer()
    strange = ".photo-0123456.glb", ".mesh-abcdefgh.glb", ".hidden"

    def check(suffix: str, seconds: float) -> None:
        path = tmp_path / "folder" / f"a mesh{suffix}"
        killer.run(path, seconds)
        for name in strange:
            (path.parent / name).write_bytes(b"of somebody else")
        save_mesh(NEW, path)
        hidden = {name for name in _names(path.parent) if Path(name).name.startswith(".")}
        shutil.rmtree(path.parent)
        if hidden - set(strange):
            raise Fault("a temporary file of a dead process stays", str(hidden))
        if set(strange) - hidden:
            raise Fault("a hidden file of somebody else is gone", str(hidden))

    fuzz(check, limit=60, repeatable=False, suffix=SUFFIXES, seconds=SECONDS)
