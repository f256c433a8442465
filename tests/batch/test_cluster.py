"""The Ray engine on a cluster of four nodes, all on this machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rasterizer.batch.ledger import History
from tests.support.batch import manifest_of
from tests.support.drivers import Drivers
from tests.support.needs import needs_ray

pytestmark = [pytest.mark.long, needs_ray]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without a CPU, and four nodes of one."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(4):
            made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    made = Drivers(tmp_path)
    yield made
    made.end()


def test_a_node_goes_and_another_comes(drivers: Drivers, cluster: Any) -> None:
    (drivers.folder / "broken.glb").write_text("no mesh")
    names = [f"{number:03}" for number in range(118)]
    rows = [{"id": name, "mesh": "torus", "milliseconds": 200} for name in names]
    bad = [{"id": "killer", "mesh": "torus", "do": "die"}, {"id": "broken", "mesh": "broken.glb", "do": "render"}]
    manifest_of(drivers.folder, *rows[:30], *bad, *rows[30:])
    running = drivers.start(workers=0, ray=cluster.address)
    drivers.wait_for(lambda: len(drivers.done()) >= 20)
    before = {event["place"] for event in drivers.events("started")}
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    cluster.add_node(num_cpus=1)
    code, said = drivers.finish(running)
    assert (code, said[-1]["done"], said[-1]["failed"]) == (1, 118, 2)
    drivers.check_whole(names)
    history = History.read(drivers.output.ledger)
    assert {event["id"] for event in history.failed.values()} == {"broken", "killer"}
    assert {event["id"] for event in history.failed.values() if event.get("quarantine")} == {"killer"}
    starts = Counter(event["id"] for event in drivers.events("started"))
    again = {name: count for name, count in starts.items() if count > 1}
    assert again.pop("killer") == 2 and len(again) <= 1, "only what ran on the node that went"
    assert list(again.values()) in ([], [2])
    after = {event["place"] for event in drivers.events("started")}
    assert len(before) == 4 and len(after - before) == 1, "the new node has worked, too"


def test_a_driver_that_is_killed_takes_its_workers_along(drivers: Drivers, cluster: Any) -> None:
    names = [f"{number:02}" for number in range(24)]
    manifest_of(drivers.folder, *({"id": name, "mesh": "torus", "milliseconds": 300} for name in names))
    killed = drivers.start(workers=0, ray=cluster.address)
    drivers.wait_for(lambda: len(drivers.done()) >= 4)
    killed.kill()
    killed.communicate()
    times = drivers.times()
    code, _ = drivers.finish(drivers.start(workers=0, ray=cluster.address))
    assert code == 0
    drivers.check_whole(names)
    assert times.items() <= drivers.times().items(), "nothing was done twice"


def test_both_engines_give_the_same_bytes(tmp_path: Path, cluster: Any) -> None:
    found = []
    for name, address in (("local", ""), ("ray", cluster.address)):
        (tmp_path / name).mkdir()
        runs = Drivers(tmp_path / name)
        meshes = ("torus", "trefoil knot") * 3
        manifest_of(runs.folder, *({"id": f"{k}", "mesh": mesh, "do": "render"} for k, mesh in enumerate(meshes)))
        assert runs.finish(runs.start(workers=2, ray=address))[0] == 0
        runs.check_whole([f"{number}" for number in range(6)])
        found.append({name: (done["key"], done["files"]) for name, done in runs.output.all_done()})
    assert found[0] == found[1] and len(found[0]["0"][1]) == 6
    assert os.listdir(tmp_path / "ray" / "out" / ".batch" / "logs") == []
