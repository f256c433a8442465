"""Real workers in processes, and what is left when they, or the one that gives them jobs, are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rasterizer.batch.ledger import History
from tests.support.batch import DEATHS, manifest_of
from tests.support.drivers import PATIENCE, Drivers
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    made = Drivers(tmp_path)
    yield made
    made.end()


def test_a_broken_mesh_and_a_job_that_kills_its_worker(drivers: Drivers) -> None:
    (drivers.folder / "broken.glb").write_text("no mesh")
    meshes = {"broken": "broken.glb"} | {f"mesh {number}": ("torus", "trefoil knot")[number % 2] for number in range(6)}
    rows = [{"id": name, "mesh": mesh, "do": "render"} for name, mesh in meshes.items()]
    manifest_of(drivers.folder, {"id": "killer", "mesh": "torus", "do": "die"}, *rows)
    code, said = drivers.finish(drivers.start())
    assert code == 1 and said[-1]["done"] == 6 and said[-1]["failed"] == 2
    drivers.check_whole([f"mesh {number}" for number in range(6)])
    failed = {event["id"]: event["error"] for event in said if event["event"] == "failed"}
    assert "broken.glb: not readable" in failed["broken"] and "ended with code 9" in failed["killer"]
    history = History.read(drivers.output.ledger)
    assert {event["id"] for event in history.failed.values() if event.get("quarantine")} == {"killer"}
    assert list(history.blames.values()) == [2], "nobody else is to blame"


def test_workers_that_die_at_every_step_of_the_write_lose_nothing(drivers: Drivers) -> None:
    rows = [{"id": name, "mesh": "torus", "do": name} for name in DEATHS]
    slow = {"id": "slow", "mesh": "torus", "milliseconds": 600_000}
    manifest_of(drivers.folder, *rows, slow, {"id": "write", "mesh": "torus"})
    code, said = drivers.finish(drivers.start(timeout=4.0))
    assert code == 1 and said[-1]["done"] == len(DEATHS) + 1
    assert ["--timeout 4 s" in str(event["error"]) for event in said if event["event"] == "failed"] == [True]
    assert {path.name for path in drivers.output.folder.glob(".died-*")} == {f".died-{step}" for step in DEATHS}
    assert sorted(event["id"] for event in drivers.events("blamed")) == sorted(DEATHS), "each has died, once"
    drivers.check_whole(sorted((*DEATHS, "write")))


def test_jobs_find_standard_input_empty_and_output_taken(drivers: Drivers) -> None:
    rows = [{"id": f"{number}", "mesh": "torus", "do": "talk"} for number in range(3)]
    manifest_of(drivers.folder, *rows)
    code, said = drivers.finish(drivers.start(workers=1, timeout=20.0))
    assert code == 0 and said[-1]["done"] == 3
    assert [done["result"] for _, done in drivers.output.all_done()] == [{"read": ""}] * 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_drivers_that_are_killed_or_stopped_and_two_at_once(drivers: Drivers) -> None:
    names = [f"{number:02}" for number in range(14)]
    manifest_of(drivers.folder, *({"id": name, "mesh": "torus", "milliseconds": 150} for name in names))
    killed = drivers.start()
    drivers.wait_for(lambda: len(drivers.done()) >= 3)
    assert drivers.workers()
    killed.kill()
    killed.communicate()
    drivers.wait_for(lambda: not drivers.workers())
    stopped = drivers.start(workers=1)
    before = len(drivers.done())
    drivers.wait_for(lambda: len(drivers.done()) >= before + 2)
    stopped.send_signal(signal.SIGINT)
    code, said = drivers.finish(stopped)
    assert code == 130 and said[-1]["left"] and said[-1]["done_before"] == before
    assert said[-1]["done"] == len(drivers.done()) - before, "what ran was finished"
    times = drivers.times()
    both = [drivers.start(workers=1), drivers.start(workers=1)]
    assert [drivers.finish(each)[0] for each in both] == [0, 0]
    drivers.check_whole(names)
    assert times.items() <= drivers.times().items(), "nothing was done twice"


@pytest.mark.parametrize(("isolated", "device"), [(False, "cpu"), (True, "cpu,cpu")])
def test_a_worker_is_run_by_its_path(isolated: bool, device: str, tmp_path: Path) -> None:
    """A Python that is embedded, as ComfyUI's portable one, looks for modules neither beside a script nor around."""
    settings = {"parent": os.getpid(), "device": device, "threads": 1, "output": str(tmp_path), "force": False}
    options = ["-I"] if isolated else []
    done = subprocess.run(
        [sys.executable, *options, str(ROOT / "rasterizer" / "batch" / "worker.py"), json.dumps(settings)],
        input="null\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"what": "ready", "device": device}]
