"""The headless script over many meshes: servers that die, refuse and hang, stops, and doing what is left. They are made
up, and answer as ComfyUI does."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

WORKFLOW = {
    "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "sample: torus"}},
    "2": {"class_type": "Save/It", "inputs": {"mesh": ["1", 0], "size": 3}},
}
KNOWN = {
    name: {"input": {"required": {"mesh_file": []}, "optional": {"size": []}}} for name in ("TorchRasterLoadMesh",)
}
KNOWN["Save/It"] = {"input": {"required": {"mesh": []}, "optional": {"size": [], "depth": []}}}


class FakeComfy:
    """A server that runs nothing: a mesh called ``bad`` fails, one called ``slow`` never ends, one called ``deadly``
    takes the server down, which comes back when told to. It ends connections that bring a mesh called ``huge``, or ask
    for the results of one called ``lost``.

    Attributes:
        did: names of the meshes that it has done.
        lacks: nodes that it does not have.
        refuses: node that it refuses in every workflow.
        asleep: whether it answers nobody.
    """

    def __init__(self) -> None:
        self.did: list[str] = []
        self.uploads: list[str] = []
        self.interrupted: list[str] = []
        self.lacks, self.refuses = "", ""
        self.asleep, self.seconds = False, 0.0
        self._prompts: dict[str, tuple[str, float]] = {}
        self._told: set[str] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body: bytes) -> None:
                if fake.asleep:
                    self.close_connection = True
                    return
                status, answer = fake.answer(self.path, body)
                if not status:
                    self.close_connection = True
                    return
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                if not fake.asleep:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.place}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(path)
        if parts.path.startswith("/object_info/"):
            kind = parts.path.removeprefix("/object_info/").replace("%2F", "/")
            return 200, {} if kind == self.lacks else {kind: KNOWN[kind]}
        if parts.path == "/upload/image":
            fields = dict(re.findall(rb'name="(\w+)"\r\n\r\n([^\r]*)', body))
            name = re.search(rb'filename="([^"]*)"', body)[1].decode()
            if name == "huge.glb":
                return 0, b""
            self.uploads.append(f"{fields[b'subfolder'].decode()}/{name}")
            return 200, {"name": name, "subfolder": fields[b"subfolder"].decode(), "type": fields[b"type"].decode()}
        if parts.path == "/prompt":
            sent = json.loads(body)
            assert "client_id" not in sent
            if self.refuses:
                error = {"message": "Value not in list", "details": "ckpt"}
                return 400, {"error": {"message": "no"}, "node_errors": {self.refuses: {"errors": [error]}}}
            prompt = uuid.uuid4().hex
            file = sent["prompt"]["1"]["inputs"]["mesh_file"]
            assert not {"folder", "index"} & sent["prompt"]["1"]["inputs"].keys()  # would be loaded from instead
            assert file.endswith(" [temp]") and file.removesuffix(" [temp]") in self.uploads
            self._prompts[prompt] = Path(file.removesuffix(" [temp]")).stem, time.monotonic() + self.seconds
            return 200, {"prompt_id": prompt}
        if parts.path == "/queue" and not body:
            running = [p for p in self._prompts if not self._is_over(p)]
            if any(self._prompts[p][0] == "deadly" for p in running):
                self.asleep = True
            return 200, {"queue_running": [[0, p] for p in running], "queue_pending": []}
        if parts.path.startswith("/history/"):
            prompt = parts.path.rpartition("/")[2]
            return 200, {prompt: self._history(prompt)} if self._is_over(prompt) else {}
        if parts.path == "/interrupt":
            self.interrupted.append(json.loads(body)["prompt_id"])
        if parts.path == "/view" and self.did[-1:] == ["lost"]:
            return 0, b""
        if parts.path == "/view":
            return 200, parse_qs(parts.query)["filename"][0].encode()
        return 200, {}

    def wake(self) -> None:
        """Start it anew: it knows nothing of before."""
        self._prompts.clear()
        self.asleep = False

    def _is_over(self, prompt: str) -> bool:
        name, end = self._prompts.get(prompt, ("slow", 0))
        return name not in ("slow", "deadly") and time.monotonic() >= end

    def _history(self, prompt: str) -> dict[str, Any]:
        name, _ = self._prompts[prompt]
        if name == "bad":
            error = {"node_id": "2", "node_type": "Save/It", "exception_message": "it is bad\n"}
            return {"status": {"status_str": "error", "messages": [["execution_error", error]]}, "outputs": {}}
        if prompt not in self._told:
            self._told.add(prompt)
            self.did.append(name)
        files = [("a.glb", "", "output"), ("x.png", "", "temp"), ("y.png", "", "temp")]
        listed = [{"filename": f, "subfolder": s, "type": t} for f, s, t in files]
        texts = [{"filename": f, "subfolder": "3d", "type": "output"} for f in ("a_1_.obj", "a_1_.mtl")]
        outputs = {"2": {"images": listed, "text": ["x"]}, "1": {"3d": texts}}
        return {"status": {"status_str": "success"}, "outputs": outputs}


@pytest.fixture
def servers() -> Iterator[tuple[FakeComfy, FakeComfy]]:
    made = FakeComfy(), FakeComfy()
    yield made
    for each in made:
        each.close()


class Folder:
    """A folder with meshes and a workflow, and the script on it."""

    def __init__(self, headless: ModuleType, folder: Path) -> None:
        self._headless, self.meshes, self.out = headless, folder / "meshes", folder / "out"
        self.workflow = folder / "workflow.json"
        self.workflow.write_text(json.dumps(WORKFLOW))
        self.meshes.mkdir()

    def add(self, *names: str) -> None:
        for name in names:
            path = self.meshes / f"{name}.glb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())

    def __call__(self, *words: Any) -> int:
        given = [str(getattr(word, "url", word)) for word in words]
        given = [part for word in given for part in (("--server", word) if word.startswith("http") else (word,))]
        return self._headless.main([str(self.workflow), str(self.meshes), "-o", str(self.out), *given])

    def done(self) -> list[str]:
        return sorted(path.parent.name for path in self.out.glob("*/done.json"))

    def events(self, what: str) -> list[dict[str, Any]]:
        lines = [line for path in sorted(self.out.glob(".batch/ledger/*")) for line in path.read_text().splitlines()]
        return [event for event in map(json.loads, lines) if event["what"] == what]


@pytest.fixture
def folder(headless: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(headless, "_POLL", 0.01)
    return Folder(headless, tmp_path)


Said = Callable[[], list[str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return lambda: capsys.readouterr().err.splitlines()


def test_all_is_done_once_and_called_after_its_mesh(folder: Folder, servers: Any, said: Said) -> None:
    folder.add("chair", "lights/chair", "lights/lamp", ".hidden/x")
    (folder.meshes / "chair.obj").write_bytes(b"mtllib m.mtl\nmtllib ../up.mtl\n")
    (folder.meshes / "m.mtl").write_bytes(b"map_Kd -s 1 1 1 tex/wood.png\nmap_bump C:\\x\\m.mtl\nnorm /etc/passwd\n")
    (folder.meshes / "tex").mkdir()
    (folder.meshes / "tex" / "wood.png").write_bytes(b"wood")
    one, two = servers
    assert folder(one, two) == 0
    assert folder.done() == ["chair", "chair_obj", "lights_chair", "lights_lamp"]
    names = sorted(path.relative_to(folder.out / "chair").as_posix() for path in (folder.out / "chair").rglob("*.*"))
    kept = ["1_TorchRasterLoadMesh/3d/a_1_.mtl", "1_TorchRasterLoadMesh/3d/a_1_.obj"]
    assert names == [*kept, "chair.glb", "chair_2_Save-It_2.png", "chair_2_Save-It_3.png", "done.json"]
    uploads = [path.split("/", 2)[2] for path in one.uploads + two.uploads]
    assert sorted(uploads) == ["chair.glb", "chair.glb", "chair.obj", "lamp.glb", "m.mtl", "tex/wood.png"]
    assert said()[-1].endswith("out: 4 done, 0 failed") and not list((folder.out / ".batch" / "work").iterdir())
    done = json.loads((folder.out / "lights_lamp" / "done.json").read_text())
    assert done["files"]["lights_lamp.glb"]["bytes"] == 5 and done["device"] in (one.place, two.place)

    assert folder(one, two) == 0 and said()[-1].endswith("0 done, 0 failed, 4 were done before")
    (folder.meshes / "tex" / "wood.png").write_bytes(b"oak tree")
    folder.add("new")
    assert folder(one) == 0 and said()[-1].endswith("2 done, 0 failed, 3 were done before")
    assert folder("--set", "2.size=4", one) == 0 and said()[-1].endswith("5 done, 0 failed")
    assert folder("--set", "2.size=4", "--force", one) == 0 and said()[-1].endswith("5 done, 0 failed")


def test_what_fails_stops_nothing_and_is_tried_again_if_asked(folder: Folder, servers: Any, said: Said) -> None:
    folder.add("a", "bad", "c")
    (folder.out / "c").mkdir(parents=True)  # a folder of somebody's own
    assert folder(servers[0]) == 1 and folder.done() == ["a"]
    lines = said()
    assert "bad: failed: node 2 Save/It: it is bad" in lines
    assert any("is there and no batch has written it" in line for line in lines)
    assert folder(servers[0]) == 1
    assert said()[-1].endswith("1 were done before, 2 had failed before (--retry failed tries them again)")
    (folder.out / "c").rmdir()
    assert folder("--retry", "failed", servers[0]) == 1 and folder.done() == ["a", "c"]


def test_a_mesh_that_takes_down_two_servers_is_set_aside(folder: Folder, servers: Any, said: Said) -> None:
    folder.add("a", "b", "c", "deadly")
    one, two = servers
    one.seconds = two.seconds = 0.05
    waker = threading.Event()

    def wake() -> None:  # a supervisor starts servers anew
        while not waker.wait(0.3):
            for each in servers:
                if each.asleep:
                    each.wake()

    threading.Thread(target=wake, daemon=True).start()
    try:
        assert folder(one, two) == 1
    finally:
        waker.set()
    assert folder.done() == ["a", "b", "c"]
    assert [event["id"] for event in folder.events("blamed")] == ["deadly", "deadly"]
    (failed,) = folder.events("failed")
    assert failed["quarantine"] and "it has taken down servers twice and is not tried again" in failed["error"]
    one.wake()
    assert folder(one) == 1 and said()[-1].endswith("1 had failed before (--retry failed tries them again)")


def test_files_that_get_lost_on_the_way_fail_and_blame_nobody(folder: Folder, servers: Any, said: Said) -> None:
    folder.add("a", "huge", "lost")
    assert folder(servers[0]) == 1 and folder.done() == ["a"]
    texts = {event["id"]: event["error"] for event in folder.events("failed")}
    assert "its files could not be sent to a server, 3 times" in texts["huge"]
    assert "larger than its --max-upload-size" in texts["huge"]
    assert "its results have not come from a server, 3 times" in texts["lost"]
    assert not folder.events("blamed") and servers[0].did == ["lost", "lost", "lost", "a"]


def test_a_workflow_that_steps_through_a_folder(folder: Folder, servers: Any) -> None:
    folder.workflow.write_text(json.dumps(WORKFLOW).replace('"sample: torus"', '"", "folder": "3d/a", "index": 3'))
    folder.add("a", "b")
    assert folder(servers[0], "--into", "1.mesh_file") == 0
    assert folder(servers[0]) == 0 and servers[0].did == ["a", "b"]  # the same work, so nothing is left


def test_results_are_no_meshes(folder: Folder, servers: Any, said: Said) -> None:
    folder.add("a", "b/c")
    folder.out = folder.meshes / "b" / "out"
    assert [folder(servers[0]) for _ in range(2)] == [0, 0]
    assert said()[-1].endswith("0 done, 0 failed, 2 were done before")
    folder.out = folder.meshes / "another"  # the results of before are none, either
    assert folder(servers[0]) == 0 and said()[-1].endswith("2 done, 0 failed")
    folder.out = folder.meshes
    assert folder(servers[0]) == 2 and "--output: is" in said()[0]


def test_long_names(folder: Folder, servers: Any) -> None:
    folder.add("椅" * 60 + "/" + "子" * 60, "椅" * 60 + "/" + "子" * 60 + "a")
    assert folder(servers[0]) == 0
    assert folder.done() == ["椅" * 50, "椅" * 50 + "_glb"]


def test_two_commands_that_come_to_one_job(headless: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    job = headless.Job("a", tmp_path / "a.glb", {}, "key")
    runs = [headless.Results(tmp_path / "out") for _ in range(2)]
    monkeypatch.setattr(headless.os.path, "lexists", lambda path: False)  # both look before either is done
    for results in runs:
        with results.temporary() as folder:
            (folder / "a.png").write_bytes(b"a")
            results.seal(folder, job, {})
            results.publish(folder, job)
        assert results.is_done(job)


def test_servers_that_cannot_do_it_are_left_out(folder: Folder, servers: Any, said: Said) -> None:
    folder.add("a", "b", "c")
    one, two = servers
    one.lacks = "Save/It"
    assert folder(one, two) == 0 and sorted(two.did) == ["a", "b", "c"]
    assert f"{one.place}: is not used any more: it has no node Save/It" in said()
    one.lacks, one.refuses = "", "2"
    assert folder("--force", one, two) == 0 and not one.did
    assert any(line.startswith(f"{one.place}: is not used any more: refused: no") for line in said())
    two.refuses = "1"  # the node that the mesh goes to: the mesh is at fault
    assert folder("--force", two) == 1 and len(folder.events("failed")) == 3


def test_no_server(folder: Folder, servers: Any, said: Said, headless: ModuleType, monkeypatch: Any) -> None:
    folder.add("begun first", "slow")  # being larger
    one, two = servers
    two.asleep = True
    assert folder(two) == 2 and two.url in said()[0]
    monkeypatch.setattr(headless, "_AWAY", 0.5)
    one.seconds = 0.1
    threading.Timer(1.0, lambda: setattr(one, "asleep", True)).start()
    assert folder(one, two) == 2  # both are gone at the end
    assert folder.done() == ["begun first"] and "1 left (the same command goes on with them)" in said()[-1]


def test_too_long(folder: Folder, servers: Any, said: Said) -> None:
    folder.add("a", "slow")
    assert folder("--timeout", "0.3", servers[0]) == 1 and folder.done() == ["a"]
    assert "slow: failed: it took longer than --timeout 0.3 s and was ended" in said()
    assert len(servers[0].interrupted) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")
@pytest.mark.parametrize(("times", "done"), [(1, ["a"]), (2, [])])
def test_stops(folder: Folder, servers: Any, said: Said, times: int, done: list[str]) -> None:
    folder.add("a", "b", "c")
    servers[0].seconds = 1.0
    for number in range(times):
        threading.Timer(0.5 + 0.1 * number, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert folder(servers[0]) == 130 and folder.done() == done
    assert "left (the same command goes on with them)" in said()[-1]
    assert len(servers[0].interrupted) == times - 1
    servers[0].seconds = 0.0
    assert folder(servers[0]) == 0 and folder.done() == ["a", "b", "c"]


def test_progress_for_programs(folder: Folder, servers: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder.add("a", "bad")
    assert folder("--progress", "json", servers[0]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ids = {event["event"]: event.get("id") for event in events}
    assert ids == {"done": "a", "failed": "bad", "progress": None, "end": None}
    assert events[-1] == {"event": "end", "done": 1, "failed": 1, "left": 0, "done_before": 0, "failed_before": 0}
    assert events[-2]["done_by_place"] == {servers[0].place: 1}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("no/such",), "no/such: is not there"),
        (("--into", "2.nesh"), "--into: node 2 Save/It has no input 'nesh'; did you mean 'mesh'?"),
        (("--into", "7.x"), "--into: is '7.x', expected NODE.INPUT with a node of 1 TorchRasterLoadMesh"),
        (("--set", "2.sice=1"), "has no input 'sice'; did you mean 'size'?"),
        (("--timeout", "0"), "--timeout: is 0.0, expected seconds above 0"),
    ],
)
def test_wrong_use(folder: Folder, servers: Any, said: Said, words: tuple[str, ...], text: str) -> None:
    folder.add("a")
    assert folder(servers[0], *words) == 2
    assert text in said()[0] and not folder.out.exists()
