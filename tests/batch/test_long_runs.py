"""Long batches: killed again and again, with more workers or commands, and with ten thousand jobs."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rasterizer.batch.ledger import History
from rasterizer.runtime.cores import usable_cores
from tests.support.batch import manifest_of
from tests.support.drivers import Drivers

pytestmark = pytest.mark.long

_KILLS = 20
_TRIES = 3  # of what other programs can still disturb


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    made = Drivers(tmp_path)
    yield made
    made.end()


def test_a_command_that_is_killed_at_twenty_times(drivers: Drivers) -> None:
    """With a broken mesh, and a job that kills its workers, among 120."""
    chance = random.Random(20261128)
    (drivers.folder / "broken.glb").write_text("no mesh")
    names = [f"{number:03}" for number in range(118)]
    rows = [{"id": name, "mesh": "torus", "milliseconds": 100} for name in names]
    bad = [{"id": "killer", "mesh": "torus", "do": "die"}, {"id": "broken", "mesh": "broken.glb", "do": "render"}]
    manifest_of(drivers.folder, *rows[:60], *bad, *rows[60:])
    times: dict[str, int] = {}
    for _ in range(_KILLS):
        running = drivers.start()
        time.sleep(chance.uniform(0.5, 4.0))
        assert running.poll() is None or len(drivers.done()) == len(names)
        running.kill()
        running.communicate()
        now = drivers.times()
        assert times.items() <= now.items(), "nothing was done twice"
        times = now
    code, said = drivers.finish(drivers.start())
    assert code == 1 and said[-1]["left"] == 0
    assert times.items() <= drivers.times().items()
    drivers.check_whole(names)
    failed = History.read(drivers.output.ledger).failed.values()
    assert {event["id"] for event in failed} == {"broken", "killer"}
    assert {event["id"] for event in drivers.events("blamed")} == {"killer"}, "who has killed the command blames nobody"


class Pace(NamedTuple):
    """How fast 40 equal jobs are done.

    Attributes:
        seconds: a job, from the first end to the last.
        rate: jobs a second that all workers do, of the time in which they have a core, or do not want one.
        processor: seconds of a processor that a job takes.
        driver: those of the command, as a share of the workers'.
    """

    seconds: float
    rate: float
    processor: float
    driver: float

    def times(self, other: Pace) -> float:
        """How many times as fast as the other this one is, on cores that nobody else uses.

        There a job takes as much of a processor however many run; here others also have caches and clocks.
        """
        return self.rate * self.processor / (other.rate * other.processor)


def pace(folder: Path, workers: int) -> Pace:
    folder.mkdir()
    rows = [{"id": f"{number:02}", "mesh": "trefoil knot", "do": "render", "size": 320} for number in range(40)]
    manifest_of(folder, *rows)
    run = Drivers(folder)
    assert run.finish(run.start(workers=workers))[0] == 0
    clocks: dict[int, list[dict[str, float]]] = {}
    for _, done in run.output.all_done():
        clocks.setdefault(done["result"]["process"], []).append(done["result"])
    assert len(clocks) == workers and sum(map(len, clocks.values())) == 40
    rate = processor = 0.0
    for each in clocks.values():  # a worker's first job also loads what later ones have
        each.sort(key=lambda told: told["at"])
        at, used, waited = (each[-1][name] - each[0][name] for name in ("at", "processor", "waited"))
        rate += (len(each) - 1) / (at - waited)
        processor += used
    ends = sorted(told["at"] for each in clocks.values() for told in each)[workers - 1 :]
    counted = 40 - workers
    return Pace((ends[-1] - ends[0]) / counted, rate, processor / counted, run.processor / processor)


@pytest.mark.skipif(usable_cores() < 2, reason="one core")
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs /proc/self/schedstat")
def test_two_workers_are_nearly_twice_as_fast_as_one(tmp_path: Path) -> None:
    told = []
    for attempt in range(_TRIES):
        one, two = (pace(tmp_path / f"{attempt}-{workers}", workers) for workers in (1, 2))
        told.append(
            f"{two.times(one):.2f} times as fast, {one.seconds / two.seconds:.2f} times by the clock; {one}, {two}"
        )
        print(told[-1])
        if two.times(one) >= 1.7 and two.driver < 0.25:
            return
    pytest.fail("; ".join(told))


def test_two_commands_share_the_work(drivers: Drivers) -> None:
    names = [f"{number:02}" for number in range(80)]
    manifest_of(drivers.folder, *({"id": name, "mesh": "torus", "milliseconds": 250} for name in names))
    first = drivers.start(workers=1)
    drivers.wait_for(drivers.done)
    second = drivers.start(workers=1)
    drivers.wait_for(lambda: sum('"started"' in file.read_text() for file in drivers.output.ledger.iterdir()) == 2)
    left = len(names) - len(drivers.done())
    ends = [drivers.finish(each) for each in (first, second)]
    assert [code for code, _ in ends] == [0, 0]
    drivers.check_whole(names)
    done = [[event for event in said if event["event"] == "done"] for _, said in ends]
    made = [sum(not event["by_other"] for event in each) for each in done]
    assert left > 20 and sum(made) == len(names) and made[1] >= 0.35 * left
    twice = sum(event["by_other"] and event["seconds"] > 0 for each in done for event in each)
    assert twice <= 8, "they meet by chance only"


def test_ten_thousand_jobs_that_do_nothing(drivers: Drivers) -> None:
    manifest_of(drivers.folder, *({"id": f"{number:05}", "mesh": "torus"} for number in range(10_000)))
    code, said = drivers.finish(drivers.start())
    assert code == 0 and said[-1]["done"] == 10_000
    assert drivers.peak < 100e6 and (drivers.peak or sys.platform != "linux"), "of the 300 MB that it may have"
    before, begin = os.times(), time.monotonic()
    code, said = drivers.finish(drivers.start())
    wall, after = time.monotonic() - begin, os.times()
    seconds = sum(getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))
    # Of processors: how long it takes says what else this machine does.
    print(f"peak {drivers.peak / 1e6:.0f} MB; with all done {seconds:.1f} s of processors, {wall:.1f} by the clock")
    assert code == 0 and said[-1]["done_before"] == 10_000 and seconds < 5.0
