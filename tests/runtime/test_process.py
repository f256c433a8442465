"""A process for work that cannot be stopped: it and its folder go with the one that waits, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rasterizer.runtime.process import job, run, scratch
from rasterizer.runtime.process.run import FailedError, RefusedError, in_process
from tests.support.paths import ROOT

CHILD = Path(run.__file__).with_name("child.py")

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def nothing(share: float) -> None:
    """Takes reports."""


@pytest.fixture
def doubled(tmp_path: Path) -> Path:
    """Work that is soon done."""
    (tmp_path / "doubled.py").write_text("def work(numbers):\n    return {'twice': numbers * 2}\n")
    return tmp_path / "doubled.py"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this process and of those it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def start_parent(child: Path, work: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that waits for a child at work, and the child's id."""
    code = f"""
        from pathlib import Path
        from rasterizer.runtime.process import run

        start = run.subprocess.Popen

        def spying(*arguments, **options):
            process = start(*arguments, **options)
            print(process.pid, flush=True)
            return process

        run._CHILD = Path({str(child)!r})
        run.subprocess.Popen = spying
        run.in_process(Path({str(work)!r}), {{}}, lambda share: None)
        """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    return parent, int(parent.stdout.readline())


def is_alive(process: int) -> bool:
    """Whether it runs; one that has ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: object, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.fixture(params=["as it is", "without prctl"])
def child(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file of the process, also as where Linux does not kill it."""
    source = CHILD.read_text(encoding="utf-8")
    if request.param == "without prctl":
        assert "if not _killed_by_linux():" in source
        source = source.replace("if not _killed_by_linux():", "if True:")
    (tmp_path / "child.py").write_text(source)
    return tmp_path / "child.py"


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """Work for a minute, in one call that holds the interpreter lock; it makes a file "ready" when it starts."""
    (tmp_path / "sleeper.py").write_text(
        "import ctypes\n\n\ndef work():\n"
        f"    open({str(tmp_path / 'ready')!r}, 'w').close()\n    ctypes.PyDLL(None).sleep(60)\n"
    )
    return tmp_path / "sleeper.py"


@pytest.mark.slow
@on_linux
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_child_and_folder_go_with_the_parent(
    temporary: Path, child: Path, sleeper: Path, doubled: Path, how: signal.Signals
) -> None:
    parent, process = start_parent(child, sleeper)
    try:
        assert wait_for(sleeper.with_name("ready").exists, 60) and is_alive(process)
        (folder,) = temporary.glob("torch_rasterizer_*")
        scratch.remove_leftovers()
        assert folder.is_dir(), "the folder of a living process was taken"
        parent.send_signal(how)
        parent.wait(10)
        assert wait_for(lambda: not is_alive(process)), "the child outlives its parent"
    finally:
        parent.kill()
        parent.stdout.close()
        if is_alive(process):
            os.kill(process, signal.SIGKILL)
    assert folder.is_dir()
    in_process(doubled, {"numbers": np.ones(3)}, nothing)
    assert not list(temporary.glob("torch_rasterizer_*"))


@on_linux
def test_a_stop_leaves_no_process(temporary: Path, child: Path, sleeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_CHILD", child)

    def report(share: float) -> None:
        if sleeper.with_name("ready").exists():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        in_process(sleeper, {}, report)

    def left() -> bool:
        command_lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        return any(str(sleeper).encode() in line for line in command_lines)

    assert wait_for(lambda: not left())
    assert not list(temporary.glob("torch_rasterizer_*"))


@pytest.mark.skipif(os.name != "posix", reason="Windows has a job for that")
def test_a_parent_that_is_gone_already() -> None:
    code = f"""
        import importlib.util, os
        spec = importlib.util.spec_from_file_location("child_alone", {str(CHILD)!r})
        child = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(child)
        child.end_with(os.getppid())
        print("at work", flush=True)
        child.end_with(os.getppid() + 1)
        print("still at work", flush=True)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], input="", capture_output=True, text=True)
    assert done.stdout == "at work\n" and done.returncode == 1, done.stderr


def test_only_what_is_certainly_left_over_is_removed(temporary: Path) -> None:
    with scratch.scratch_folder() as made:
        (mark,) = os.listdir(made)
    left, foreign, unmarked, other = (
        temporary / name for name in ("torch_rasterizer_a", "torch_rasterizer_b", "torch_rasterizer_c", "other")
    )
    for folder in (left, foreign, unmarked, other):
        folder.mkdir()
        (folder / "mesh.npz").write_text("x")
    for folder in (left, other):
        (folder / mark).touch()
    (foreign / mark).mkdir()
    (temporary / "torch_rasterizer_d").write_text("a file")
    if os.name == "posix":
        (temporary / "torch_rasterizer_e").symlink_to(other)
        (temporary / "torch_rasterizer_f").mkdir()
        os.mkfifo(temporary / "torch_rasterizer_f" / mark)
    with scratch.scratch_folder() as mine:
        assert not left.exists() and all(folder.is_dir() for folder in (foreign, unmarked, other, mine))
        assert (other / "mesh.npz").exists() and (temporary / "torch_rasterizer_d").is_file()
        with scratch.scratch_folder() as another:
            assert mine.is_dir() and another.is_dir() and mine != another
    assert not mine.exists() and not another.exists()


class FakeKernel:
    """Windows' functions as ``job`` calls them."""

    def __init__(self, *failing: str) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        for name in ("CreateJobObjectW", "SetInformationJobObject", "AssignProcessToJobObject", "CloseHandle"):
            setattr(self, name, self._function(name, name not in failing))

    def _function(self, name: str, answer: bool) -> object:
        class Function:
            def __call__(_, *arguments: object) -> int:  # noqa: N805
                if name == "SetInformationJobObject":
                    job_, kind, limits, size = arguments
                    arguments = (job_, kind, bytes(limits._obj), size)
                self.calls.append((name, arguments))
                return 77 if answer and name == "CreateJobObjectW" else int(answer)

        return Function()


@pytest.mark.parametrize("failing", [None, "CreateJobObjectW", "SetInformationJobObject", "AssignProcessToJobObject"])
def test_job_of_windows(failing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(*filter(None, [failing]))
    monkeypatch.setattr(job, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 5, raising=False)
    with job.bound(SimpleNamespace(_handle=123)):
        during = len(kernel.calls)
    names = [name for name, _ in kernel.calls]
    if failing:
        assert names.count("CloseHandle") == (failing != "CreateJobObjectW") and len(names) == during
        return
    assert names == ["CreateJobObjectW", "SetInformationJobObject", "AssignProcessToJobObject", "CloseHandle"]
    assert during == 3 and kernel.calls[2][1] == (77, 123) and kernel.calls[3][1] == (77,)
    _, kind, limits, size = kernel.calls[1][1]
    assert kind == 9 and size == len(limits) == (144 if ctypes.sizeof(ctypes.c_void_p) == 8 else 112)
    assert int.from_bytes(limits[16:20], sys.byteorder) == 0x2000 and not any(limits[:16] + limits[20:])


@pytest.mark.parametrize("variable", ["", "1"])
def test_path_of_the_child_loses_its_own_folder_only(
    variable: str, doubled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", variable)
    site = str(Path(np.__file__).parents[1])
    monkeypatch.setattr(sys, "path", [site, *(path for path in sys.path if path != site)])
    made = in_process(doubled, {"numbers": np.arange(3)}, nothing)
    assert made["twice"].tolist() == [0, 2, 4]


@pytest.mark.parametrize("program", ["", None, "/no/such/python"])
def test_a_program_that_embeds_python_is_told_what_to_do(
    program: str | None, doubled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(FailedError, match="sys.executable is .*, expected its path"):
        in_process(doubled, {}, nothing)


@pytest.mark.skipif(os.name != "posix", reason="a file that is no program")
def test_a_program_that_cannot_be_started(doubled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").write_text("no program")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FailedError, match="cannot be started"):
        in_process(doubled, {}, nothing)


def test_a_program_that_ends_well_without_a_result(
    doubled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "child.py").write_text("")
    monkeypatch.setattr(run, "_CHILD", tmp_path / "child.py")
    with pytest.raises(FailedError, match="ended without a result"):
        in_process(doubled, {}, nothing)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("raise ValueError('no such thing')", RefusedError, "^no such thing$"),
        ("raise MemoryError('too big')", FailedError, "MemoryError: too big"),
        ("import os; os._exit(7)", FailedError, "it ended with code 7"),
    ],
)
def test_what_goes_wrong_is_told(tmp_path: Path, code: str, kind: type[Exception], words: str) -> None:
    (tmp_path / "work.py").write_text(f"def work():\n    {code}\n")
    with pytest.raises(kind, match=words):
        in_process(tmp_path / "work.py", {}, nothing)
