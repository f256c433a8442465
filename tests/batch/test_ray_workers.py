"""The Ray engine without Ray: where workers go, and what they refuse."""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rasterizer.batch import cluster, work
from rasterizer.batch.cluster import RayEngine
from rasterizer.batch.jobs import Job
from rasterizer.batch.output import Output
from rasterizer.batch.recipes import complete
from rasterizer.batch.work import Worker
from rasterizer.version import __version__
from tests.support.paths import ROOT

Nodes = dict[str, dict[str, float]]


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this process as many as it has."""
    monkeypatch.setattr(work.torch, "set_num_threads", lambda count: None)


@pytest.fixture
def engine_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RayEngine]:
    """Makes an engine on nodes with resources, which are looked at every time."""

    def make(nodes: Nodes, *given: Any, **named: Any) -> RayEngine:
        def alive() -> list[dict[str, Any]]:
            rows = [{"NodeID": name * 8, "NodeManagerHostname": name, "Resources": has} for name, has in nodes.items()]
            return [{**row, "Alive": row["Resources"] is not None} for row in rows]

        fake = SimpleNamespace(is_initialized=lambda: True, remote=lambda made: made, nodes=alive)
        monkeypatch.setattr(cluster, "import_ray", lambda: fake)
        monkeypatch.setattr(cluster, "_LOOK", -1.0)
        output = Output(tmp_path)
        output.make()
        return RayEngine(output, *given, **named)

    return make


def counts(engine: RayEngine) -> list[tuple[str, int, float, int, int]]:
    """How many workers are alike: on a node, with so many GPUs, CPUs and threads each."""
    found = [(place.node[0], place.gpus, place.cpus, place.threads) for place in map(engine._found.get, engine.places)]
    return sorted({(node, found.count((node, *rest)), *rest) for node, *rest in found})


def test_one_worker_a_gpu_where_any_node_has_one(engine_on: Callable[..., RayEngine]) -> None:
    nodes = {"a": {"CPU": 64}, "b": {"CPU": 16, "GPU": 2}, "c": {"CPU": 4, "GPU": 1}}
    assert counts(engine_on(nodes)) == [("b", 2, 1, 0, 8), ("c", 1, 1, 0, 4)]
    assert counts(engine_on(nodes, None, None, 2)) == [("b", 4, 0.5, 0, 4), ("c", 2, 0.5, 0, 2)]
    assert counts(engine_on(nodes, "cpu")) == [("a", 32, 0, 2, 2), ("b", 8, 0, 2, 2), ("c", 2, 0, 2, 2)]
    assert len(engine_on(nodes, "cuda", 2).places) == 2


def test_several_gpus_a_worker_are_of_one_node(engine_on: Callable[..., RayEngine]) -> None:
    nodes = {"b": {"CPU": 16, "GPU": 5}, "c": {"CPU": 4, "GPU": 1}}
    engine = engine_on(nodes, gpus_per_worker=2)
    assert counts(engine) == [("b", 2, 2, 0, 8)]
    asked: list[dict[str, Any]] = []
    handle = SimpleNamespace(ready=SimpleNamespace(remote=lambda: "ref"))

    def options(**given: Any) -> SimpleNamespace:
        asked.append(given)
        return SimpleNamespace(remote=lambda library, settings: asked.append(settings) or handle)

    engine._class = SimpleNamespace(options=options)
    engine._settings = {}
    with pytest.MonkeyPatch.context() as patch:
        strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
        patch.setitem(sys.modules, "ray", SimpleNamespace())
        patch.setitem(sys.modules, "ray.util", SimpleNamespace())
        patch.setitem(sys.modules, "ray.util.scheduling_strategies", strategies)
        os.utime(engine._mark, (0, 0))
        engine.start(engine.places[0])
    assert time.time() - engine._mark.stat().st_mtime < 60, "other machines remove what is a day old"
    assert asked[0]["num_gpus"] == 2 and asked[1]["device"] == "gpu,gpu"
    with pytest.raises(ValueError, match="--gpus-per-worker: 6 cannot be used: no node of this Ray has 6 GPUs"):
        engine_on(nodes, gpus_per_worker=6)
    with pytest.raises(ValueError, match="--gpus-per-worker: is 2, expected 1 where workers have no GPU"):
        engine_on({"a": {"CPU": 4}}, gpus_per_worker=2)


def test_cpus_are_shared_out(engine_on: Callable[..., RayEngine]) -> None:
    assert counts(engine_on({"a": {"CPU": 1}, "b": {"CPU": 5}})) == [("a", 1, 0, 1, 1), ("b", 2, 0, 2, 2)]
    assert counts(engine_on({"a": {"CPU": 8}, "b": {"CPU": 8}}, None, 4)) == [("a", 2, 0, 4, 4), ("b", 2, 0, 4, 4)]
    assert counts(engine_on({"a": {"CPU": 2}}, None, 2)) == [("a", 2, 0, 1, 1)]


def test_nodes_come_and_go(engine_on: Callable[..., RayEngine]) -> None:
    nodes: dict[str, Any] = {"b": {"CPU": 2}, "c": {"CPU": 2}}
    engine = engine_on(nodes, "cpu", 2)
    before = engine.places
    engine._workers = 3
    nodes["a"] = {"CPU": 2}
    assert engine.places[:2] == before and len(engine.places) > 2, "a new node takes nobody's place"
    nodes["b"] = None
    assert not [name for name in engine.places if name.startswith("b-")]
    with pytest.raises(OSError, match="is no more"):
        engine.start(before[0])


def test_a_device_that_no_node_has(engine_on: Callable[..., RayEngine], tmp_path: Path) -> None:
    for nodes, device, said in (
        ({"a": {"CPU": 8}}, "cuda", "no node of this Ray has a GPU"),
        ({"a": {}}, None, "no node of this Ray has a CPU"),
        ({"a": {"GPU": 8}}, "cuda:1", "hands out the GPUs itself"),
    ):
        with pytest.raises(ValueError, match=said):
            engine_on(nodes, device)
    assert not list((tmp_path / ".batch" / "logs").iterdir())


def test_the_actor_is_run_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    made = runpy.run_path(str(ROOT / "rasterizer" / "batch" / "actor.py"), run_name="somewhere")["Actor"]
    assert made.__module__ not in sys.modules, "it would be looked for by that name on other nodes"
    actor = made(str(ROOT), {"device": "cpu", "threads": 1, "output": str(tmp_path)})
    assert actor.ready() == {"device": "cpu"} and actor.begin() is None and sys.path[0] == str(ROOT)
    job = Job("a", "maps", "torus", (), complete("maps", {"size": 16, "cameras": 1}), "key")
    assert actor.do(job.as_dict())["what"] == "done" and Output(tmp_path).done("a")


def test_workers_refuse_what_is_not_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(tmp_path)
    output.make()
    (output.logs / "mark").touch()
    assert Worker("cpu", 1, str(tmp_path), mark="mark", version=__version__).devices[0].type == "cpu"
    with pytest.raises(RuntimeError, match="expected one that all machines share"):
        Worker("cpu", 1, str(tmp_path), mark="another")
    with pytest.raises(RuntimeError, match=f"the library is {__version__} on .*, and 9 where"):
        Worker("cpu", 1, str(tmp_path), version="9")
    monkeypatch.setattr(work, "default_device", lambda: work.torch.device("cpu"))
    with pytest.raises(RuntimeError, match="sees no GPU on"):
        Worker("gpu", 1, str(tmp_path))
    monkeypatch.setattr(work, "default_device", lambda: work.torch.device("cuda", 0))
    monkeypatch.setattr(work.torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RuntimeError, match="sees 1 GPU on .*, where it was given 2"):
        Worker("gpu,gpu", 1, str(tmp_path))
