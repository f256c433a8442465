"""The headless script's own part: what it asks for, refuses, prints and writes. No server takes part."""

from __future__ import annotations

import io
import json
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.paths import EXAMPLES

WORKFLOW = {
    "1": {"class_type": "Load", "inputs": {"name": "a"}},
    "3": {"class_type": "Draw/Now", "inputs": {"mesh": ["1", 0], "width": 512}},
}
KNOWN = {"Draw/Now": {"input": {"required": {"mesh": [], "width": []}, "optional": {"layers": [], "images": []}}}}


class Run:
    """One call of the script on a server that is made up.

    Attributes:
        outputs: what the server's history says that nodes made.
        messages: what its websocket says.
        submitted: the workflows that came.
    """

    def __init__(self, module: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.outputs: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []
        self.submitted: list[dict[str, Any]] = []
        self.out = folder / "out"
        self._module, self._workflow = module, folder / "workflow.json"
        self._workflow.write_text(json.dumps(WORKFLOW))
        run = self

        class Comfy(module.Comfy):
            def request(self, path: str, body: bytes | None = None, kind: str = "", seconds: float = 60) -> bytes:
                return run.answer(path, body)

            def listen(self) -> Iterator[dict[str, Any]]:
                return iter([*run.messages, {"type": "execution_success", "data": {"prompt_id": "p"}}])

        monkeypatch.setattr(module, "Comfy", Comfy)

    def answer(self, path: str, body: bytes | None) -> bytes:
        if path == "/prompt":
            self.submitted.append(json.loads(body)["prompt"])
            return b'{"prompt_id": "p"}'
        if path.startswith("/history"):
            return json.dumps({"p": {"outputs": self.outputs}}).encode()
        if path == "/object_info/Draw%2FNow":
            return json.dumps(KNOWN).encode()
        if path.startswith("/object_info"):
            raise urllib.error.HTTPError(path, 404, "unknown", {}, None)
        assert path.startswith("/view?")
        return path.encode()

    def __call__(self, *options: str) -> int:
        return self._module.main([str(self._workflow), "-o", str(self.out), *options])

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file())


@pytest.fixture
def run(headless: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    return Run(headless, monkeypatch, tmp_path)


def entry(filename: str, subfolder: str = "", kind: str = "output") -> dict[str, str]:
    return {"filename": filename, "subfolder": subfolder, "type": kind}


class TestUse:
    """What is wrong is one line, and exit status 2; nothing is run."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("3.widht=64", "node 3 Draw/Now has no input 'widht'; did you mean 'width'? it has mesh, width"),
            ("1.nmae=64", "node 1 Load has no input 'nmae'; did you mean 'name'? it has name"),
            ("7.width=64", "'7.width=64', expected NODE.INPUT=VALUE with a node of 1 Load, 3 Draw/Now"),
            ("3.width", "expected NODE.INPUT=VALUE"),
            ("width=3", "expected NODE.INPUT=VALUE"),
        ],
    )
    def test_inputs_that_there_are_not(
        self, run: Run, change: str, words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("--set", change) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1 and not run.submitted

    def test_inputs_of_the_workflow_and_of_the_server(self, run: Run) -> None:
        changes = ("3.width=64", "3.layers=2", "3.images.image0=x", "1.name=b")
        assert run(*(word for change in changes for word in ("--set", change))) == 0
        assert run.submitted[0]["3"]["inputs"] == {
            "mesh": ["1", 0],
            "width": 64,
            "layers": 2,
            "images.image0": "x",
        }
        assert run.submitted[0]["1"]["inputs"] == {"name": "b"}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "workflow.json: No such file"),
            ("{ no", "is no JSON"),
            ("[" * 100_000, "is no JSON"),
            (b"\xff\xfe", "is no JSON"),
            ("[]", "is not in API format"),
            ("{}", "is not in API format"),
            ('{"nodes": [], "links": []}', "is not in API format"),
        ],
    )
    def test_files_that_are_no_workflow(
        self, run: Run, tmp_path: Path, text: str | bytes | None, words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "workflow.json"
        path.unlink()
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert run() == 2
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1

    @pytest.mark.parametrize(
        ("options", "words"),
        [(("--upload", "no/such.glb"), "no file no"), (("--server", "localhost:8188"), "expected an address such as")],
    )
    def test_other_options(
        self, run: Run, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(*options) == 2
        assert words in capsys.readouterr().err and not run.submitted


class TestDownload:
    """Where files go, and what they are called."""

    def test_files_of_one_name_are_all_kept(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        run.outputs = {
            "1": {"images": [entry("a.png"), entry("a.png", "x"), entry("a.png", "x/y"), entry("a.png", "", "temp")]},
            "3": {
                "images": [
                    entry("a.png", "", "temp") | {"again": "1"},
                    entry("ComfyUI_temp_abc_00001_.png", "", "temp"),
                ]
            },
        }
        assert run() == 0
        names = ["1_Load_a.png", "3_Draw-Now_a.png", "3_Draw-Now_abc_00001_.png", "a.png", "x/a.png", "x/y/a.png"]
        assert run.files() == names
        assert b"subfolder=x%2Fy" in (run.out / "x/y/a.png").read_bytes()
        said = capsys.readouterr().out.splitlines()
        assert f"saved {run.out / 'x' / 'y' / 'a.png'} (node 1 Load)" in said
        assert f"saved {run.out / '3_Draw-Now_abc_00001_.png'} (node 3 Draw/Now)" in said

    @pytest.mark.parametrize(
        ("filename", "subfolder", "expected"),
        [
            ("a.png", "../../x", "x/a.png"),
            ("a.png", "/etc", "etc/a.png"),
            ("a.png", "..\\..\\x\\y", "x/y/a.png"),
            ("a.png", "C:\\x", "C_/x/a.png"),
            ("a.png", ". ./.. /x/..", "x/a.png"),
            ("../../a.png", "", "a.png"),
            ("..\\a.png", "", "a.png"),
            ("/etc/passwd", "", "passwd"),
            ("..", "", "file"),
            (".bashrc", "", "bashrc"),
            ("NUL.png", "con", "_con/_NUL.png"),
            ("a\0b\n.png", "", "a_b_.png"),
        ],
    )
    def test_nothing_leaves_the_folder(self, run: Run, filename: str, subfolder: str, expected: str) -> None:
        run.outputs = {"1": {"images": [entry(filename, subfolder)]}}
        assert run() == 0
        assert run.files() == [expected]

    def test_a_file_appears_when_it_is_complete(
        self, headless: ModuleType, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def half(path: Path, data: bytes) -> None:
            with path.open("wb") as file:
                file.write(data[:3])
            raise OSError("disk full")

        (tmp_path / "a.png").write_bytes(b"earlier")
        comfy = headless.Comfy("http://x")
        monkeypatch.setattr(Path, "write_bytes", half)
        with pytest.raises(OSError, match="disk full"):
            comfy.download(entry("a.png"), tmp_path)
        assert (tmp_path / "a.png").read_bytes() == b"earlier"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "workflow.json"]

    def test_what_callers_of_the_class_have(self, headless: ModuleType, run: Run, tmp_path: Path) -> None:
        run.outputs = {"1": {"images": [entry("a.png"), entry("a.png")], "text": ["x"]}}
        comfy = headless.Comfy("http://x/")
        assert comfy.files("p") == [entry("a.png")] and comfy.made("p") == [("1", entry("a.png"))]
        assert comfy.download(entry("a.png"), tmp_path / "new") == tmp_path / "new" / "a.png"


class TestProgress:
    """Every percent on one line of a terminal; few lines in a log."""

    @pytest.fixture
    def percents(self, run: Run) -> None:
        start = {"type": "executing", "data": {"prompt_id": "p", "node": "1"}}
        steps = [{"prompt_id": "p", "node": "3", "value": value, "max": 100} for value in range(101)]
        run.messages = [start, *({"type": "progress", "data": data} for data in steps), start]

    def test_in_a_log(self, run: Run, percents: None, capsys: pytest.CaptureFixture[str]) -> None:
        assert run() == 0
        shown = [f"3 Draw/Now: {share}%" for share in (0, 25, 50, 75, 100)]
        assert capsys.readouterr().out.splitlines() == ["1 Load: 0%", *shown]

    def test_on_a_terminal(self, run: Run, percents: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("COLUMNS", "12")
        run.outputs = {"1": {"images": [entry("a.png")]}}
        assert run() == 0
        line, saved, end = terminal.getvalue().split("\n")
        shown = line.split("\r")
        assert len(shown) == 104 and max(map(len, shown)) == 11 and shown[2].rstrip() == "3 Draw/Now:"
        assert all(len(after) >= len(before) for before, after in zip(shown, shown[1:], strict=False))
        assert saved.startswith("saved ") and end == ""


def test_standard_library_only() -> None:
    lines = (EXAMPLES / "headless.py").read_text("utf-8").splitlines()
    found = {line.split()[1].partition(".")[0] for line in lines if is_import(line)}
    assert found <= set(sys.stdlib_module_names)


def is_import(line: str) -> bool:
    return line.startswith(("import ", "from "))
