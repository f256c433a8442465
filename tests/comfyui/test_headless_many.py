"""The headless script over many meshes on two real servers, of which one is killed while it works."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trimesh
from PIL import Image

from rasterizer.batch.output import Output
from rasterizer.batch.report import counts, rows
from tests.support.paths import EXAMPLES
from tests.support.servers import Server

pytestmark = [pytest.mark.server, pytest.mark.slow]

WORKFLOW = {
    "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "sample: torus"}},
    "2": {
        "class_type": "TorchRasterSaveMesh",
        "inputs": {"mesh": ["1", 0], "filename_prefix": "3d/%source%", "format": "glb"},
    },
    "3": {
        "class_type": "TorchRasterRasterize",
        "inputs": {
            "mesh": ["1", 0],
            **dict.fromkeys(("width", "height"), 768),
            **dict.fromkeys(("mode", "backend"), "auto"),
            "space": "camera",
            "tile_size": 32,
            "batch_size": 0,
            "layers": 12,
        },
    },
    "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 1]}},
}


@pytest.fixture(scope="module")
def other(server: Server) -> Iterator[Server]:
    """A second server of the same ComfyUI."""
    running = Server(server.installation)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def write_meshes(folder: Path) -> list[str]:
    """Seven meshes, some of one name in several folders, and one that is broken; the ids of the good ones."""
    for place in ("", "a", "a/b"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(("chair", "lamp")):
            trimesh.creation.icosphere(subdivisions=2 + number).export(folder / place / f"{name}.glb")
    box = trimesh.creation.box((1, 2, 3))
    red = Image.new("RGB", (8, 8), "red")
    box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2], image=red)
    box.export(folder / "crate.obj")
    (folder / "broken.glb").write_bytes((folder / "chair.glb").read_bytes()[:200])
    return ["chair", "lamp", "a_chair", "a_lamp", "a_b_chair", "a_b_lamp", "crate"]


def start(folder: Path, *servers: Server, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The command as people give it."""
    (folder / "workflow.json").write_text(json.dumps(WORKFLOW))
    where = [word for each in servers for word in ("--server", each.url)]
    words = [folder / "workflow.json", folder / "meshes", "-o", folder / "out", "--progress", "json", *where, *options]
    command = [sys.executable, str(EXAMPLES / "headless.py"), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, error = process.communicate(timeout=180)
    assert not error, error
    return [json.loads(line) for line in out.splitlines()]


def test_a_server_is_killed_and_the_other_does_its_work(server: Server, other: Server, tmp_path: Path) -> None:
    good = write_meshes(tmp_path / "meshes")
    process = start(tmp_path, server, other)
    place = other.url.removeprefix("http://")
    deadline = time.monotonic() + 120
    ledger = tmp_path / "out" / ".batch" / "ledger"
    while time.monotonic() < deadline:  # until it is at work
        events = [json.loads(line) for path in ledger.glob("*") for line in path.read_text().splitlines()]
        if sum(event["what"] == "started" and event["place"] == place for event in events) > 1:
            break
        time.sleep(0.02)
    other._process.kill()
    said = read(process)
    assert process.returncode == 1
    end = said[-1]
    assert (end["done"], end["failed"], end["left"]) == (7, 1, 0), said
    failed = [event for event in said if event["event"] == "failed"]
    assert [event["id"] for event in failed] == ["broken"] and "node 1 TorchRasterLoadMesh" in failed[0]["error"]
    assert any(event["event"] == "notice" and f"{place}: is gone" in event["text"] for event in said)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir() if path.name != ".batch") == sorted(good)
    for name in good:
        made = sorted(path.name for path in (out / name).iterdir())
        assert f"{name}.glb" in made and "done.json" in made and len(made) == 14, made
    assert len(trimesh.load(out / "a_lamp" / "a_lamp.glb", force="mesh").faces) == 1280
    assert trimesh.load(out / "crate" / "crate.glb", force="mesh").visual.material.baseColorTexture is not None
    assert not list((out / ".batch" / "work").iterdir())
    assert counts(rows(Output(out))) == {"done": 7, "failed": 1, "left": 0}  # as rasterizer batch report reads it

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if ".batch" not in path.parts}
    process = start(tmp_path, server, other)  # one is enough to begin
    (end,) = read(process)
    assert process.returncode == 1 and (end["done_before"], end["failed_before"]) == (7, 1)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if ".batch" not in path.parts}

    shutil.copy(tmp_path / "meshes" / "lamp.glb", tmp_path / "meshes" / "broken.glb")
    process = start(tmp_path, server)
    assert read(process)[-1]["done"] == 1 and process.returncode == 0
