"""Files appear complete or not at all, and temporary ones do not stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rasterizer.runtime.files import write_atomically, write_together
from rasterizer.runtime.leftovers import remove_leftovers, temporary_name
from tests.support.paths import ROOT

HOLD = """
import sys, time
from pathlib import Path
from rasterizer.runtime.files import write_atomically

def write(temporary):
    temporary.write_bytes(b"half")
    print(temporary.name, flush=True)
    time.sleep(100)

write_atomically(Path(sys.argv[1]) / "mesh.glb", write)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def put(path: Path, text: str = "new") -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text))


def writer(text: str):
    return lambda temporary: temporary.write_text(text)


@pytest.fixture
def writing(tmp_path: Path):
    """A process that holds a temporary file, and the file's name."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()


def test_the_longest_legal_name_can_be_written(tmp_path: Path) -> None:
    for name in ("n" * 251 + ".png", "ü" * 125 + ".glb", "x." + "y" * 253):
        put(tmp_path / name)
        assert names(tmp_path) == {name}
        (tmp_path / name).unlink()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the process is killed by a signal")
def test_leftovers_of_a_killed_process_go_and_those_of_a_live_one_stay(tmp_path: Path, writing) -> None:
    process, left = writing
    os.utime(tmp_path / left, (1, 1))
    put(tmp_path / "other.glb")
    assert names(tmp_path) == {left, "other.glb"}  # it may take as long as it likes
    process.send_signal(signal.SIGKILL)
    process.wait()
    put(tmp_path / "third.glb")
    assert names(tmp_path) == {"other.glb", "third.glb"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only there it is known when a process started")
def test_an_id_that_is_used_again_is_not_mistaken(tmp_path: Path) -> None:
    mine = temporary_name(".glb")
    prefix, pid, started, rest = mine.rsplit("-", 3)
    other = f"{prefix}-{pid}-{int(started) - 1}-{rest}"
    for name in (mine, other):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == {mine}


def test_another_machine_has_a_day(tmp_path: Path) -> None:
    def elsewhere(name: str) -> str:
        machine, *rest = name.rsplit("-", 3)
        return "-".join((machine[:-8] + "0123abcd", *rest))

    young, old = elsewhere(temporary_name()), elsewhere(temporary_name(".obj"))
    assert young.rpartition("-")[0] != temporary_name().rpartition("-")[0]
    for name, age in ((young, 3600), (old, 25 * 3600)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == {young}


def test_only_own_regular_files_are_looked_at(tmp_path: Path) -> None:
    dead = temporary_name().replace(f"-{os.getpid()}-", "-4194305-")  # above the largest id of Linux
    target = tmp_path / "precious"
    target.mkdir()
    (target / dead).touch()
    kept = {"precious", ".mesh-12345678.glb", dead + ".toolongtobeasuffix", "x" + dead}
    for name in kept - {"precious"}:
        (tmp_path / name).touch()
    (tmp_path / (dead + ".a")).symlink_to(target / dead)
    (tmp_path / (dead + ".b")).mkdir()
    (tmp_path / (dead + ".c")).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == kept | {dead + ".a", dead + ".b"}
    assert (target / dead).exists()
    remove_leftovers(tmp_path / "no such folder")


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (seen.append(os.fstat(file).st_ino), real_sync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("rename"), real_replace(a, b)))
    put(tmp_path / "mesh.glb")
    file, folder = (tmp_path / "mesh.glb").stat().st_ino, tmp_path.stat().st_ino
    assert seen == ([file, "rename"] if os.name == "nt" else [file, "rename", folder])


def test_a_disk_that_is_full_when_it_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise OSError(28, "No space left on device")

    put(tmp_path / "mesh.glb", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        put(tmp_path / "mesh.glb")
    assert (tmp_path / "mesh.glb").read_text() == "old" and names(tmp_path) == {"mesh.glb"}
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(22, "Invalid argument")))
    put(tmp_path / "mesh.glb")  # a file system that cannot flush
    assert (tmp_path / "mesh.glb").read_text() == "new"


@pytest.mark.parametrize("links", [True, False])
def test_files_together_replace_the_last_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def no_links(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    put(tmp_path / "last", "old")
    files = [(tmp_path / name, writer(name)) for name in ("a", "b", "last")]
    write_together(files)
    assert {path.read_text() for path, _ in files} == names(tmp_path) == {"a", "b", "last"}
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_text("of others")
    with pytest.raises(FileExistsError):
        write_together([(path, writer("second")) for path, _ in files])
    assert names(tmp_path) == {"b", "last"}
    assert [(tmp_path / name).read_text() for name in ("b", "last")] == ["of others", "last"]
