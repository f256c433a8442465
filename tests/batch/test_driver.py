"""Runs over an engine in this process: what is done, tried again, given up, and said."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rasterizer.batch import driver, progress
from rasterizer.batch.engine import Event
from rasterizer.batch.jobs import Job
from rasterizer.batch.ledger import History
from rasterizer.batch.manifest import read_manifest
from rasterizer.batch.output import Output
from rasterizer.batch.progress import Progress
from rasterizer.batch.recipes import RECIPES
from rasterizer.batch.run import Settings, run_batch
from rasterizer.batch.state import State
from tests.support.batch import InlineEngine, add_recipe, manifest_of

DIES = [Event("started", ""), Event("died", "", {"reason": "it was ended by SIGKILL"})]


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a recipe that takes no time."""
    monkeypatch.setitem(RECIPES, "trial", RECIPES["maps"])
    add_recipe()


class Runs:
    """Runs of one manifest into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.engine: InlineEngine | None = None
        manifest_of(folder, *({"id": name, "mesh": "torus"} for name in "abc"))

    def __call__(self, settings: dict[str, Any] | None = None, **options: Any) -> int:
        self.engine = None

        def engine_for(output: Output) -> InlineEngine:
            self.engine = InlineEngine(output, force=(settings or {}).get("force", False), **options)
            return self.engine

        manifest = read_manifest(self.folder / "manifest.jsonl", "trial")
        return run_batch(
            Settings(self.folder / "manifest.jsonl", self.out, "trial", **(settings or {})), manifest, engine_for
        )

    @property
    def given(self) -> list[str]:
        """The jobs that the last run has given."""
        return self.engine.given if self.engine else []

    @property
    def done(self) -> list[str]:
        return [name for name, _ in Output(self.out).all_done()]

    @property
    def history(self) -> History:
        return History.read(Output(self.out).ledger)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def on(name: str, events: list[Event] | Callable[[], object]) -> Callable[[Job], list[Event] | None]:
    """What becomes of one job, and all others are done."""

    def give(job: Job) -> list[Event] | None:
        if job.id != name:
            return None
        return events if isinstance(events, list) else events()  # type: ignore[return-value]

    return give


def test_the_same_command_goes_on(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs() == 0
    assert runs.given == ["a", "b", "c"] == runs.done and runs.engine.ended == ["end worker 1"]
    assert runs() == 0
    assert runs.given == [] and "3 were done before" in capsys.readouterr().err
    (runs.out / "b" / "done.json").unlink()
    (runs.out / "b" / "sub" / "made.txt").unlink()
    (runs.out / "b" / "sub").rmdir()
    (runs.out / "b").rmdir()
    assert runs() == 0 and runs.given == ["b"]
    manifest_of(runs.folder, {"id": "a", "mesh": "torus", "milliseconds": 1}, {"id": "b", "mesh": "torus"})
    assert runs() == 0 and runs.given == ["a"]
    assert runs({"force": True}) == 0 and runs.given == ["a", "b"]


def test_what_has_failed_is_tried_again_when_asked_or_changed(runs: Runs) -> None:
    manifest_of(runs.folder, {"id": "a", "mesh": "torus", "do": "fail"}, {"id": "b", "mesh": "torus"})
    assert runs() == 1 and runs.given == ["a", "b"] and runs.done == ["b"]
    assert runs() == 1 and runs.given == []
    assert runs({"retry": True}) == 1 and runs.given == ["a"]
    manifest_of(runs.folder, {"id": "a", "mesh": "torus"}, {"id": "b", "mesh": "torus"})
    assert runs() == 0 and runs.given == ["a"]


def test_a_lost_ledger_costs_another_try_only(runs: Runs) -> None:
    manifest_of(runs.folder, {"id": "a", "mesh": "torus", "do": "fail"}, {"id": "b", "mesh": "torus"})
    runs()
    for path in Output(runs.out).ledger.iterdir():
        path.unlink()
    assert runs() == 1 and runs.given == ["a"]


def test_a_job_that_takes_workers_down_is_put_aside(runs: Runs) -> None:
    assert runs(on_give=on("a", DIES)) == 1
    assert runs.given == ["a", "b", "c", "a"] and runs.done == ["b", "c"] and runs.engine.started == 2
    (failed,) = runs.history.failed.values()
    assert failed["quarantine"] and "twice" in failed["error"] and "SIGKILL" in failed["error"]
    assert runs() == 1 and runs.given == []
    assert runs({"retry": True}) == 0 and runs.given == ["a"]
    assert not runs.history.failed and not runs.history.blames


def test_blame_outlasts_a_driver(runs: Runs) -> None:
    def blamed_then_killed(job: Job) -> list[Event]:
        if runs.given.count("a") == 2:
            raise KeyboardInterrupt  # as good as kill -9, for what is on the disk
        return DIES

    with pytest.raises(KeyboardInterrupt):
        runs(on_give=blamed_then_killed)
    assert runs(on_give=on("a", DIES)) == 1
    assert runs.given.count("a") == 1, "it was blamed once before"


def test_a_worker_that_dies_before_it_begins_blames_nobody(runs: Runs) -> None:
    deaths = iter([[Event("died", "", {"reason": "power"})]] * 2)
    assert runs(on_give=on("a", lambda: next(deaths, None))) == 0
    assert runs.given[:3] == ["a"] * 3 and not runs.history.blames


def test_workers_that_never_begin_are_not_started_for_ever(runs: Runs) -> None:
    with pytest.raises(RuntimeError, match="no worker could be started: power"):
        runs(on_give=on("a", [Event("died", "", {"reason": "power"})]))
    assert runs.given == ["a"] * 3 and runs() == 0


def test_places_without_workers_are_given_up(runs: Runs) -> None:
    assert runs(places=2, unready=5) == 0, "one place has lost three of them, the other two"
    runs.out = runs.folder / "other"
    with pytest.raises(RuntimeError, match="no worker could be started: no driver"):
        runs(places=2, unready=99)
    assert runs.engine.started == 6
    assert runs() == 0


def test_a_job_that_takes_too_long_is_ended(runs: Runs) -> None:
    assert runs({"timeout": 0.05}, on_give=on("a", [Event("started", "")])) == 1
    assert runs.engine.ended[0] == "kill worker 1" and runs.done == ["b", "c"]
    (failed,) = runs.history.failed.values()
    assert "longer than --timeout 0.05 s" in failed["error"] and not runs.history.blames


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends a process there")
def test_ctrl_c_once_finishes_and_twice_stops(runs: Runs) -> None:
    usual = signal.getsignal(signal.SIGINT)  # which a shell's job in the background ignores

    def once(job: Job) -> None:
        if job.id == "b":
            os.kill(os.getpid(), signal.SIGINT)

    assert runs(on_give=once) == 130
    assert runs.done == ["a", "b"]

    def twice() -> list[Event]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        return [Event("started", "")]

    assert runs(on_give=on("c", twice)) == 130
    assert runs.done == ["a", "b"] and runs.engine.ended == ["kill worker 1"]
    assert not runs.history.failed and runs() == 0
    assert signal.getsignal(signal.SIGINT) is usual


def test_a_job_that_another_command_has_done_leads_another_way(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []
    monkeypatch.setattr(State, "met", lambda state: met.append(state.left))
    other = [Event("started", ""), Event("done", "", {"seconds": 0.0, "by_other": True})]
    assert runs(on_give=on("b", other)) == 0 and met == [1]


def test_faults_of_the_manifest_stop_nothing_else(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    manifest_of(runs.folder, {"id": "a", "mesh": "gone.glb"}, {"id": "b", "mesh": "torus"})
    assert runs() == 1 and runs.done == ["b"]
    assert "line 1: mesh: " in capsys.readouterr().err
    assert [fault["id"] for fault in runs.history.faults] == ["a"]
    manifest_of(runs.folder, {"id": "a", "mesh": "gone.glb"})
    with pytest.raises(ValueError, match="no line that can be used and 1 that cannot, of which the first is: .*line 1"):
        runs()


def test_progress_in_json(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    manifest_of(runs.folder, {"id": "a", "mesh": "torus", "do": "fail"}, {"id": "b", "mesh": "torus"})
    assert runs({"progress": "json"}) == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in said if each["event"] != "progress"] == ["failed", "done", "end"]
    assert said[0]["error"] == "mesh: is broken" and said[-1] == {
        "event": "end",
        **dict.fromkeys(("done", "failed"), 1),
        **dict.fromkeys(("left", "done_before", "failed_before", "refused"), 0),
    }
    (last,) = [each for each in said if each["event"] == "progress" and not each["left"]]
    assert last["done_by_place"] == {"place 0": 1} and last["meshes_per_second"] > 0


def test_the_line_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "200")
    clock = iter(range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    out, state = Terminal(), State([Job(name, "trial", "torus") for name in "abcd"])
    shown = Progress("line", out)
    for done in (True, False):
        job = state.next("w")
        state.finished("w", done)
        shown.job("done" if done else "failed", job, "cuda:0", {"error": "mesh: is broken"})
        shown.show(state, stopping=False)
    state.next("w")
    shown.show(state, stopping=True)
    lines = out.getvalue().split("\r")
    assert lines[1] == "1 done, 0 failed, 3 left, 1.00 meshes/s, 3 s to go | cuda:0: 1"
    assert lines[2].rstrip() == "b: failed: mesh: is broken" and len(lines[2]) > len(lines[1])
    assert lines[3] == "1 done, 1 failed, 2 left, 1.00 meshes/s, 2 s to go | cuda:0: 1"
    assert "| stopping when what runs (1) is done; Ctrl-C again stops now | cuda:0: 1" in lines[4]
    monkeypatch.setenv("COLUMNS", "20")
    shown.show(state, stopping=False)
    assert out.getvalue().split("\r")[5].rstrip() == "1 done, 1 failed, 2"


def test_a_worker_that_never_gets_ready_is_ended(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_START", 0.02)
    monkeypatch.setattr(InlineEngine, "start", lambda self, place: f"silent {len(self.ended)}")
    with pytest.raises(RuntimeError, match="it was not ready after 0 s"):
        runs()
    assert runs.engine.ended == ["kill silent 0", "kill silent 1", "kill silent 2"]
