"""What a program does when it is first needed: others are compiled with it, and it is tested unless it has passed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rasterizer.gpu import cache, platforms, program

GPU = torch.device("cuda", 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, in which passed tests are remembered."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "kernels")
    monkeypatch.setattr(program, "once", cache.once)
    return tmp_path / "kernels"


class Work:
    """Counts how often it is done; raises while it ``fails``."""

    def __init__(self) -> None:
        self.times, self.fails = 0, False

    def __call__(self, *_: object) -> None:
        self.times += 1
        if self.fails:
            raise RuntimeError("self-test: wrong")


@pytest.fixture
def work() -> Work:
    return Work()


def test_what_is_done_is_done_once(folder: Path, work: Work) -> None:
    for parts in (["a", "b"], ["a", "b"], ["ab"], ["a", "c"], ["a", "b"]):
        cache.once(parts, work)
    assert work.times == 3 and len(list(folder.iterdir())) == 3


def test_what_raises_is_done_again(folder: Path, work: Work) -> None:
    work.fails = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="wrong"):
            cache.once(["a"], work)
    assert work.times == 2 and not (folder.exists() and list(folder.iterdir()))
    work.fails = False
    for _ in range(2):
        cache.once(["a"], work)
    assert work.times == 3


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "a bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "of another": lambda data: b"b",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_stands_for_nothing(damage: str, folder: Path, work: Work) -> None:
    cache.once(["a"], work)
    (file,) = folder.iterdir()
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    cache.once(["a"], work)
    assert work.times == 2
    cache.once(["a"], work)
    assert work.times == 2, "it was not mended"


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")
def test_an_entry_that_others_may_write_stands_for_nothing(folder: Path, work: Work) -> None:
    cache.once(["a"], work)
    (file,) = folder.iterdir()
    file.chmod(0o666)
    cache.once(["a"], work)
    assert work.times == 2


def test_a_folder_that_cannot_be_written_remembers_nothing(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "file" / "kernels")
    for _ in range(2):
        cache.once(["a"], work)
    assert work.times == 2


class Gpu:
    """A :class:`rasterizer.gpu.platforms.Platform` without a GPU, whose machine code is its source."""

    def __init__(self) -> None:
        self.installed, self.compiled = "driver 1", []

    def version(self) -> str:
        return "compiler 1"

    def driver(self) -> str:
        return self.installed

    def architecture(self, device: torch.device) -> str:
        return "sm_0"

    def options(self, architecture: str) -> list[str]:
        return [architecture]

    def compile(self, source: str, options: list[str], name: str = "kernels.cu") -> bytes:
        self.compiled.append(name)
        if "refuse" in source:
            raise platforms.CompileError("refused")
        return source.encode()

    def load(self, code: bytes) -> ctypes.c_void_p:
        return ctypes.c_void_p(1)

    def entrance(self) -> Callable[[], object]:
        return lambda: None

    def function(self, module: ctypes.c_void_p, name: str) -> ctypes.c_void_p:
        return module


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Gpu:
    """For programs of this process the only GPU there is."""
    made = Gpu()
    found = SimpleNamespace(name="a card", uuid="1", multi_processor_count=8)
    monkeypatch.setattr(program, "platform", lambda: made)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, device: empty(*size))
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "one.cu"
    file.write_text("kernel")
    return file


def _reason(source: Path, test: program.SelfTest | None) -> str:
    """As a new process would find it."""
    return program.Program(source, (), "a test", self_test=test).reason_against(GPU)


def test_a_program_that_has_passed_is_not_tested_again(gpu: Gpu, source: Path, work: Work) -> None:
    def test(device: torch.device) -> None:
        assert device == GPU and torch.get_default_device() == torch.device("cpu")
        work()

    assert [_reason(source, test) for _ in range(3)] == [""] * 3
    assert work.times == 1


def test_a_program_that_fails_is_tested_each_time(gpu: Gpu, source: Path, work: Work) -> None:
    work.fails = True

    def test(device: torch.device) -> None:
        work()

    assert all("self-test: wrong" in _reason(source, test) for _ in range(2)) and work.times == 2
    work.fails = False
    assert not _reason(source, test) and not _reason(source, test) and work.times == 3
    work.fails = True
    assert not _reason(source, test) and work.times == 3


CHANGES: dict[str, Callable[[Gpu, Path, pytest.MonkeyPatch], object]] = {
    "driver": lambda gpu, source, patch: setattr(gpu, "installed", "driver 2"),
    "compiler": lambda gpu, source, patch: patch.setattr(gpu, "version", lambda: "compiler 2"),
    "machine code": lambda gpu, source, patch: source.write_text("another kernel"),
    "package": lambda gpu, source, patch: patch.setattr(program, "_package", lambda: "another"),
    "PyTorch": lambda gpu, source, patch: patch.setattr(torch, "__version__", "9.9"),
    "card": lambda gpu, source, patch: patch.setattr(torch.cuda.get_device_properties(GPU), "name", "another card"),
    "card of a kind": lambda gpu, source, patch: patch.setattr(torch.cuda.get_device_properties(GPU), "uuid", "2"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_it_is_tested_again(
    change: str, gpu: Gpu, source: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def test(device: torch.device) -> None:
        work()

    _reason(source, test)
    CHANGES[change](gpu, source, monkeypatch)
    assert not _reason(source, test) and work.times == 2
    assert not _reason(source, test) and work.times == 2


def test_another_test_is_another_matter(gpu: Gpu, source: Path, work: Work) -> None:
    def one(device: torch.device) -> None:
        work()

    def other(device: torch.device) -> None:
        work()

    _reason(source, one), _reason(source, other), _reason(source, one)
    assert work.times == 2


def test_the_package_is_told_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr(program, "_PACKAGE", tmp_path)
    (tmp_path / "room").mkdir()
    for text in ("one", "two", "one"):
        (tmp_path / "room" / "a.py").write_text(text)
        program._package.cache_clear()
        found.append(program._package())
    program._package.cache_clear()
    assert found[0] == found[2] != found[1]


def test_programs_needed_soon_are_compiled_meanwhile(gpu: Gpu, tmp_path: Path, source: Path) -> None:
    (tmp_path / "two.cu").write_text("kernel too")
    (tmp_path / "three.cu").write_text("refuse")
    one, two, three = (program.Program(source.with_name(f"{name}.cu"), (), name) for name in ("one", "two", "three"))
    one.soon = two, three
    assert not one.reason_against(GPU)
    assert set(one.soon) == {each for each in one.soon if each._ahead}
    assert not two.reason_against(GPU)
    assert "refused" in three.reason_against(GPU), "what fails meanwhile fails where it is needed"
    assert sorted(gpu.compiled) == ["one.cu", "three.cu", "two.cu"] and not (two._ahead or three._ahead)
