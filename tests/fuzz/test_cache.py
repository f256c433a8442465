"""Whatever lies in the folder of compiled kernels, and wherever that is: what was asked for comes back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from rasterizer.gpu.cache import cached
from tests.fuzz.driver import Fault, Fuzzer

_CODE = b"compiled" * 40
_SECONDS = 5.0
_MEMORY = 1 << 30  # bytes; a link to an endless file must not take the machine's


@contextmanager
def _little_memory() -> Iterator[None]:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def _make_huge(entry: Path) -> None:
    with entry.open("r+b") as file:
        try:
            file.truncate(1 << 42)  # of holes; more than any memory
        except OSError:
            assume(False)


def _replaced(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def replace(entry: Path) -> None:
        entry.unlink()
        make(entry)

    return replace


STATES: dict[str, Callable[[Path], object]] = {
    "intact": lambda entry: None,
    "missing": lambda entry: entry.unlink(),
    "empty": lambda entry: entry.write_bytes(b""),
    "huge": _make_huge,
    "a directory": _replaced(lambda entry: entry.mkdir()),
    "a directory with a file": _replaced(lambda entry: (entry / "sub").mkdir(parents=True)),
    "a FIFO": _replaced(os.mkfifo),
    "a link to nothing": _replaced(lambda entry: entry.symlink_to("nothing")),
    "a link to itself": _replaced(lambda entry: entry.symlink_to(entry.name)),
    "a link to zeros": _replaced(lambda entry: entry.symlink_to("/dev/zero")),
    "unreadable": lambda entry: entry.chmod(0),
    "in no folder": lambda entry: shutil.rmtree(entry.parent),
    "in a read-only folder": lambda entry: (entry.unlink(), entry.parent.chmod(0o500)),
    "in a file": lambda entry: (shutil.rmtree(entry.parent), entry.parent.write_bytes(b"")),
    "in a folder that is a link to itself": lambda entry: (
        shutil.rmtree(entry.parent),
        entry.parent.symlink_to(entry.parent.name),
    ),
}
DAMAGES = st.one_of(
    st.sampled_from(list(STATES)),
    st.tuples(st.just("cut"), st.integers(0, 400)),
    st.tuples(st.just("flip"), st.integers(0, 351 * 8)),
    st.tuples(st.just("append"), st.binary(min_size=1, max_size=40)),
)
HOMES = ["given", "given", "given", "none", "empty", "a file"]


def _damage(entry: Path, damage: object) -> None:
    if isinstance(damage, str):
        STATES[damage](entry)
        return
    kind, value = damage
    data = bytearray(entry.read_bytes())
    if kind == "cut":
        del data[value:]
    elif kind == "flip":
        data[value // 8] ^= 1 << value % 8
    else:
        data += value
    entry.write_bytes(data)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="makes files and sets limits as Linux does")
def test_cache(fuzz: Fuzzer, tmp_path: Path) -> None:
    def check(damage: object, home: str, parts: list[str]) -> None:
        folder = tmp_path / "home"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(folder))
            cached(parts, lambda: _CODE)
            (entry,) = (folder / "torch_rasterizer" / "kernels").iterdir()
            _damage(entry, damage)
            if home == "none":
                patch.delenv("XDG_CACHE_HOME")
                patch.setattr(Path, "home", _no_home)
            elif home == "a file":
                patch.setenv("XDG_CACHE_HOME", __file__)
            elif home == "empty":
                patch.setenv("XDG_CACHE_HOME", "")
                patch.setenv("HOME", str(folder))
            try:
                with _little_memory():
                    found = cached(parts, lambda: _CODE), cached(parts, lambda: _CODE)
                if found != (_CODE, _CODE):
                    raise Fault("another code comes back")
            finally:
                if not entry.parent.is_symlink() and entry.parent.is_dir():
                    entry.parent.chmod(0o700)
                shutil.rmtree(folder, ignore_errors=True)

    fuzz(
        check,
        limit=_SECONDS,
        damage=DAMAGES,
        home=st.sampled_from(HOMES),
        parts=st.lists(st.text(max_size=3), max_size=3),
    )
