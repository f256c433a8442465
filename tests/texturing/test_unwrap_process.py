"""The process that xatlas runs in: it and its folder go when the one that waits for it goes, however that is."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import trefoil_knot
from rasterizer.texturing.unwrap import job, scratch, unwrap
from rasterizer.texturing.unwrap.unwrap import unwrap_uv
from tests.support.measures import connected
from tests.support.needs import needs_xatlas
from tests.support.paths import ROOT

WORKER = ROOT / "rasterizer" / "texturing" / "unwrap" / "worker.py"

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

TETRAHEDRON = Mesh(
    torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], dtype=torch.int32),
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this process and of those it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def start_parent(worker: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that waits for a worker at work, and the worker's id."""
    code = f"""
        from pathlib import Path
        from rasterizer.meshes.sample_meshes import trefoil_knot
        from rasterizer.texturing.unwrap import unwrap

        start = unwrap.subprocess.Popen

        def spying(*arguments, **options):
            process = start(*arguments, **options)
            print(process.pid, flush=True)
            return process

        unwrap._WORKER = Path({str(worker)!r})
        unwrap.subprocess.Popen = spying
        unwrap.unwrap_uv(trefoil_knot(20, 8))
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
def sleeper(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A worker that works for a minute, in one call that holds the interpreter lock as xatlas does.

    It makes a file named "ready" beside it when it starts to.
    """
    source = WORKER.read_text(encoding="utf-8")
    start, work, _ = source.partition("    with np.load(sys.argv[1]) as given:\n")
    assert work
    if request.param == "without prctl":
        assert "if not _killed_by_linux():" in start
        start = start.replace("if not _killed_by_linux():", "if True:")
    work = f"    open({str(tmp_path / 'ready')!r}, 'w').close()\n    __import__('ctypes').PyDLL(None).sleep(60)\n"
    (tmp_path / "worker.py").write_text(start + work)
    return tmp_path / "worker.py"


@pytest.mark.slow
@needs_xatlas
@on_linux
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_worker_and_folder_go_with_the_parent(temporary: Path, sleeper: Path, how: signal.Signals) -> None:
    parent, worker = start_parent(sleeper)
    try:
        assert wait_for(sleeper.with_name("ready").exists, 60) and is_alive(worker)
        (folder,) = temporary.glob("torch_rasterizer_*")
        scratch.remove_leftovers()
        assert folder.is_dir(), "the folder of a living process was taken"
        parent.send_signal(how)
        parent.wait(10)
        assert wait_for(lambda: not is_alive(worker)), "the worker outlives its parent"
    finally:
        parent.kill()
        parent.stdout.close()
        if is_alive(worker):
            os.kill(worker, signal.SIGKILL)
    assert folder.is_dir()
    unwrap_uv(TETRAHEDRON, 64)
    assert not list(temporary.glob("torch_rasterizer_*"))


@needs_xatlas
@on_linux
def test_a_stop_leaves_no_process(temporary: Path, sleeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwrap, "_WORKER", sleeper)

    def report(share: float) -> None:
        if sleeper.with_name("ready").exists():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        unwrap_uv(TETRAHEDRON, 64, on_progress=report)

    def left() -> bool:
        command_lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        return any(str(sleeper).encode() in line for line in command_lines)

    assert wait_for(lambda: not left())
    assert not list(temporary.glob("torch_rasterizer_*"))


@needs_xatlas
@pytest.mark.skipif(os.name != "posix", reason="Windows has a job for that")
def test_a_parent_that_is_gone_already() -> None:
    code = f"""
        import importlib.util, os
        spec = importlib.util.spec_from_file_location("worker_alone", {str(WORKER)!r})
        worker = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(worker)
        worker.end_with(os.getppid())
        print("at work", flush=True)
        worker.end_with(os.getppid() + 1)
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


@needs_xatlas
@pytest.mark.parametrize("variable", ["", "1"])
def test_path_of_the_worker_loses_its_own_folder_only(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy

    monkeypatch.setenv("PYTHONSAFEPATH", variable)
    site = str(Path(numpy.__file__).parents[1])
    monkeypatch.setattr(sys, "path", [site, *(path for path in sys.path if path != site)])
    assert unwrap_uv(TETRAHEDRON, 64).uvs is not None


@pytest.fixture
def with_xatlas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is installed does not matter."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)


@pytest.mark.parametrize("program", ["", None, "/no/such/python"])
def test_a_program_that_embeds_python_is_told_what_to_do(
    program: str | None, with_xatlas: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(RuntimeError, match="sys.executable is .*, expected its path.*ComfyUI's Unwrap Mesh"):
        unwrap_uv(TETRAHEDRON)


@pytest.mark.skipif(os.name != "posix", reason="a file that is no program")
def test_a_program_that_cannot_be_started(with_xatlas: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").write_text("no program")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(RuntimeError, match="cannot be started.*ComfyUI's Unwrap Mesh"):
        unwrap_uv(TETRAHEDRON)


def test_a_program_that_ends_well_without_a_result(
    with_xatlas: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worker.py").write_text("")
    monkeypatch.setattr(unwrap, "_WORKER", tmp_path / "worker.py")
    with pytest.raises(RuntimeError, match="ended without a result.*ComfyUI's Unwrap Mesh"):
        unwrap_uv(TETRAHEDRON)


@needs_xatlas
@pytest.mark.parametrize("vertex", [4, -1])
def test_faces_out_of_range_are_the_meshs_fault(vertex: int) -> None:
    faces = TETRAHEDRON.faces.clone()
    faces[2, 1] = vertex
    with pytest.raises(ValueError, match=r"mesh: face 2 is .* but the mesh has 4 vertices"):
        unwrap_uv(Mesh(TETRAHEDRON.vertices, faces))


@pytest.mark.slow
@needs_xatlas
@pytest.mark.parametrize("padding", [2, 64])
def test_few_faces_are_quick_at_any_resolution(padding: int, caplog: pytest.LogCaptureFixture) -> None:
    start = time.perf_counter()
    found = unwrap_uv(TETRAHEDRON, 16384, padding)
    assert time.perf_counter() - start < 10 and not caplog.text
    a, b, c = found.uvs[found.faces.long()].double().unbind(1)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs().sum() / 2
    assert area > 0.2 and found.uvs.min() >= 0 and found.uvs.max() <= 1


@needs_xatlas
def test_padding_holds_where_it_is_packed_smaller() -> None:
    found = unwrap_uv(trefoil_knot(60, 12), 8192, 5)
    place, number = (found.uvs.double() * 8192).unique(dim=0, return_inverse=True)
    faces = number[found.faces.long()]
    chart = connected(faces, len(place))  # faces of a chart hang together by their corners
    used = faces.unique()
    place, chart = place[used], chart[used]
    assert len(chart.unique()) > 3
    assert torch.cdist(place, place)[chart[:, None] != chart].min() > 5
