"""Drivers that end the process while they are opened are left alone from the third start on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rasterizer.backends.vulkan import deaths, session
from tests.support.paths import ROOT

_DIES = """
import os, sys
sys.path.insert(0, sys.argv[1])
from rasterizer.backends.vulkan import session
session.Gpu = lambda: os._exit(11)
session.Card()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(deaths, "cache_folder", lambda: tmp_path)
    monkeypatch.delenv("TORCH_RASTERIZER_BACKEND", raising=False)
    return tmp_path


def _leave(folder: Path, count: int, seconds: float = 100.0, step: str = "opening") -> None:
    for number in range(count):
        file = folder / f"vulkan-{10_000_000 + number}.{step}"
        file.touch()
        os.utime(file, (time.time() - seconds,) * 2)


def test_a_process_that_dies_leaves_word(tmp_path: Path) -> None:
    places = {name: str(tmp_path) for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME")}
    ended = subprocess.run([sys.executable, "-c", _DIES, str(ROOT)], env={**os.environ, **places}, check=False)
    assert ended.returncode == 11 and len(list(tmp_path.rglob("vulkan-*.opening"))) == 1


@pytest.mark.parametrize("step", ["opening", "testing"])
def test_three_deaths_and_the_card_is_left_alone(step: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[None] = []

    def gpu() -> None:
        assert len(list(folder.glob(f"vulkan-{os.getpid()}.opening"))) == 1
        opened.append(None)
        raise RuntimeError("no card today")

    monkeypatch.setattr(session, "Gpu", gpu)
    _leave(folder, 2, step=step)
    assert session.Card().reason == "RuntimeError: no card today"
    _leave(folder, 3, step=step)
    reason = session.Card().reason or ""
    assert len(opened) == 1 and "held up 3 processes" in reason and "TORCH_RASTERIZER_BACKEND=vulkan" in reason
    monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "vulkan")
    assert session.Card().reason == "RuntimeError: no card today" and len(opened) == 2
    assert len(list(folder.iterdir())) == 3  # this process has removed its own


def test_processes_that_start_together_are_no_deaths(folder: Path) -> None:
    _leave(folder, 4, seconds=5.0)
    assert deaths.reason_to_beware() == ""


def test_deaths_of_the_day_before_do_not_count(folder: Path) -> None:
    _leave(folder, 4, seconds=90_000.0)
    assert deaths.reason_to_beware() == ""


def test_a_card_that_works_is_trusted_again(folder: Path) -> None:
    for step in ("opening", "testing"):
        _leave(folder, 3, step=step)
    with deaths.watched("opening"):
        pass
    assert deaths.reason_to_beware() and len(list(folder.iterdir())) == 3
    with deaths.watched("testing"):
        pass
    assert not deaths.reason_to_beware() and not list(folder.iterdir())


def test_without_a_folder_nobody_is_warned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").touch()
    monkeypatch.setattr(deaths, "cache_folder", lambda: folder / "file" / "below")
    with deaths.watched("opening"):
        pass
    assert deaths.reason_to_beware() == ""
