"""What is compiled is kept: whole, one's own, and at no cost where it cannot be."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rasterizer.gpu import cache, platforms
from tests.support.paths import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "kernels")
    return tmp_path / "kernels"


def test_cache_keeps_code_and_ignores_what_is_not_intact(folder: Path) -> None:
    made = []

    def make() -> bytes:
        made.append(1)
        return b"code %d" % len(made)

    assert [cache.cached(["a"], make), cache.cached(["a"], make)] == [b"code 1"] * 2
    assert cache.cached(["b"], make) == b"code 2"
    file = next(path for path in folder.iterdir() if path.read_bytes().endswith(b"code 1"))
    for damaged in (b"", b"short", file.read_bytes()[:-1], hashlib.sha256(b"other").digest() + b"code 1"):
        file.write_bytes(damaged)
        assert cache.cached(["a"], make).startswith(b"code ")
    assert len(made) == 6 and len(list(folder.iterdir())) == 2


def test_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "file" / "kernels")
    assert cache.cached(["a"], lambda: b"code") == b"code"


def _race(root: str, number: int) -> bool:
    cache.cache_folder = lambda: Path(root)
    return all(
        cache.cached([str(k)], lambda k=k: b"x" * 100_000 + bytes([k])) == b"x" * 100_000 + bytes([k])
        for k in range(20)
    )


@pytest.mark.slow
def test_cache_with_several_processes(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert all(pool.starmap(_race, [(str(tmp_path), number) for number in range(6)]))
    assert len(list(tmp_path.iterdir())) == 20


posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")


@pytest.fixture
def entry(folder: Path) -> Path:
    """The file of a kept b"kept"."""
    assert cache.cached(["a"], lambda: b"kept") == b"kept"
    (file,) = folder.iterdir()
    return file


def again() -> bytes:
    """What the cache gives for :func:`entry`, b"made" if it was made anew."""
    return cache.cached(["a"], lambda: b"made")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="LOCALAPPDATA says it there")
def test_cache_without_a_home_costs_the_compile_time_only(tmp_path: Path) -> None:
    code = """
        from pathlib import Path
        from rasterizer.gpu import cache

        def home():
            raise RuntimeError("Could not determine home directory.")

        Path.home = home
        print([cache.cached(["a"], lambda: b"made") for _ in range(2)])
        """
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[b'made', b'made']", done.stderr


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, ValueError, OSError])
def test_cache_that_fails_in_any_way_costs_the_compile_time_only(
    error: type[Exception], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cache, "_read", fail)
    monkeypatch.setattr(cache, "write_atomically", fail)
    assert again() == b"made"


def test_errors_of_the_compiler_are_not_swallowed(folder: Path) -> None:
    def make() -> bytes:
        raise platforms.CompileError("no")

    with pytest.raises(platforms.CompileError, match="no"):
        cache.cached(["a"], make)


@posix
def test_cache_is_closed_to_others_whatever_the_umask(folder: Path) -> None:
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    before = os.umask(0)
    try:
        assert again() == b"made"
    finally:
        os.umask(before)
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_entry_that_others_may_write_is_made_again(entry: Path, mode: int) -> None:
    entry.chmod(mode)
    assert again() == b"made"
    assert entry.stat().st_mode & 0o777 == 0o600
    assert cache.cached(["a"], lambda: b"not again") == b"made"


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_folder_that_others_may_write_is_not_read(entry: Path, mode: int) -> None:
    entry.parent.chmod(mode)
    assert again() == b"made"
    assert entry.parent.stat().st_mode & 0o777 == 0o700


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_entry_and_folder_of_another_user_are_not_read(entry: Path) -> None:
    os.chown(entry, 65534, -1)
    assert again() == b"made" and entry.stat().st_uid == 0
    os.chown(entry.parent, 65534, -1)
    assert cache.cached(["a"], lambda: b"theirs") == b"theirs"
    assert entry.read_bytes().endswith(b"made"), "something was put into the folder of another"


@posix
def test_links_and_pipes_are_replaced_and_not_opened(entry: Path, tmp_path: Path) -> None:
    kept = entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(kept)
    assert again() == b"made" and not entry.is_symlink() and kept.read_bytes().endswith(b"kept")
    entry.unlink()
    os.mkfifo(entry)
    assert again() == b"made" and entry.is_file()
    entry.unlink()
    entry.mkdir()
    assert again() == b"made"


def test_entry_of_any_size_is_bounded(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_LARGEST", 10)
    assert again() == b"made"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG_CACHE_HOME is of the others")
def test_relative_cache_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("relative/cache", "", "."):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache.cache_folder() == tmp_path / ".cache" / "torch_rasterizer" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache.cache_folder() == tmp_path / "x" / "torch_rasterizer" / "kernels"
