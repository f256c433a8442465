"""The headless script against the real server: success, refusal, failure, interruption, two clients."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import trimesh

from tests.support.needs import needs_xatlas
from tests.support.paths import EXAMPLES

SCRIPT = EXAMPLES / "headless.py"
EXAMPLE = EXAMPLES / "api" / "01_rasterize_and_inspect.json"

pytestmark = [pytest.mark.server, pytest.mark.slow]


def call(server: Any, workflow: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script as people do."""
    command = [sys.executable, str(SCRIPT), str(workflow), "--server", server.url, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def write(folder: Path, workflow: dict[str, Any]) -> Path:
    path = folder / "workflow.json"
    path.write_text(json.dumps(workflow), encoding="utf-8")
    return path


def drawing(size: int, layers: int, background: str = "white") -> dict[str, Any]:
    """Load, rasterize, interpolate, preview."""
    rasterize = {"width": size, "height": size, "space": "camera", "mode": "auto", "tile_size": 32, "batch_size": 0}
    shading = {"attribute": "normal", "shading": "smooth", "encoding": "world", "background": background}
    return {
        "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "sample: torus"}},
        "2": {
            "class_type": "TorchRasterRasterize",
            "inputs": {"mesh": ["1", 0], **rasterize, "backend": "auto", "layers": layers},
        },
        "3": {"class_type": "TorchRasterInterpolate", "inputs": {"raster": ["2", 0], **shading}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }


def test_example_runs_and_its_pictures_are_downloaded(server: Any, tmp_path: Path) -> None:
    done = call(server, EXAMPLE, "--set", "3.width=96", "--set", "3.height=64", "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 3
    workflow = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    for path in pictures:
        node, kind, _ = path.name.split("_", 2)
        assert workflow[node]["class_type"] == kind and f"saved {path} (node {node} {kind})" in done.stdout
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert "3 TorchRasterRasterize: 100%" in done.stdout


def test_mesh_is_uploaded_and_glb_downloaded(server: Any, tmp_path: Path) -> None:
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "crate.glb")
    workflow = {
        "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "sample: torus"}},
        "2": {"class_type": "SaveGLB", "inputs": {"mesh": ["1", 0], "filename_prefix": "mesh/headless"}},
    }
    source = str(tmp_path / "crate.glb")
    choose = "1.mesh_file=3d/crate.glb"
    out = tmp_path / "out"
    done = call(server, write(tmp_path, workflow), "--upload", source, "--set", choose, "-o", str(out))
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("mesh/headless*.glb")
    assert len(trimesh.load(found, force="mesh").faces) == 12


def test_inputs_that_only_the_server_knows_can_be_set_and_others_not(server: Any, tmp_path: Path) -> None:
    workflow = drawing(64, 1)
    del workflow["2"]["inputs"]["layers"]
    path, out = write(tmp_path, workflow), tmp_path / "out"
    done = call(server, path, "--set", "2.layers=2", "-o", str(out))
    assert done.returncode == 0 and len(list(out.iterdir())) == 2, done.stderr
    done = call(server, path, "--set", "2.widht=32", "-o", str(tmp_path / "none"))
    assert done.returncode == 2 and not (tmp_path / "none").exists()
    assert (
        "node 2 TorchRasterRasterize has no input 'widht'; did you mean 'width'? it has mesh, width, height"
        in done.stderr
    )
    assert "layers, cameras" in done.stderr and len(done.stderr.splitlines()) == 1


def test_refusal_says_why(server: Any) -> None:
    done = call(server, EXAMPLE, "--set", "2.mesh_file=3d/nothing.glb")
    assert done.returncode == 1
    assert "node 2 TorchRasterLoadMesh" in done.stderr
    assert "no file '3d/nothing.glb' in ComfyUI's input folder" in done.stderr


def test_failure_is_told_with_our_words_and_kept_in_the_history(server: Any, headless: ModuleType) -> None:
    workflow = drawing(64, 1)
    workflow["3"]["inputs"]["attribute"] = "vertex color"
    comfy = headless.Comfy(server.url)
    messages = comfy.listen()
    prompt = comfy.submit(workflow)
    with pytest.raises(headless.WorkflowError, match="node 3 TorchRasterInterpolate.*'vertex color' but the mesh has"):
        list(comfy.follow(prompt, messages))
    deadline = time.monotonic() + 10
    while prompt not in (history := server.get(f"/history/{prompt}")) and time.monotonic() < deadline:
        time.sleep(0.1)
    status = history[prompt]["status"]
    assert status["status_str"] == "error"
    assert "'vertex color' but the mesh has none" in json.dumps(status["messages"])


def baking(views: int, texture: int) -> dict[str, Any]:
    """Draw a mesh in many views, bake them, fill the rest."""
    workflow = drawing(256, 1)
    lists = {"azimuths": "0", "elevations": "0", "weights": "1", "views": views}
    lens = {"projection": "orthographic", "ortho_scale": 1.2, "distance": 1.45, "fov": 49.13}
    workflow["5"] = {"class_type": "TorchRasterCameras", "inputs": {"preset": "turntable", **lists, **lens}}
    workflow["2"]["inputs"]["cameras"] = ["5", 0]
    options = {"texture_size": texture, "exponent": 4.0, "max_angle": 75.0, "border": 0}
    links = {"mesh": ["1", 0], "images": ["3", 0], "cameras": ["5", 0]}
    workflow["6"] = {"class_type": "TorchRasterBakeViews", "inputs": {**links, **options}}
    links = {"texture": ["6", 0], "painted": ["6", 1], "mesh": ["1", 0]}
    workflow["7"] = {"class_type": "TorchRasterFillTexture", "inputs": {**links, "method": "surface"}}
    workflow["4"]["inputs"]["images"] = ["7", 0]
    return workflow


@pytest.mark.parametrize(
    ("workflow", "stopped_node"),
    [
        pytest.param(drawing(1024, 60), "2", id="rasterize"),
        pytest.param(baking(36, 3072), "6", id="bake"),
        pytest.param(baking(1, 3072), "7", id="fill"),
    ],
)
def test_interrupt_is_answered_within_a_second(
    server: Any, headless: ModuleType, workflow: dict[str, Any], stopped_node: str
) -> None:
    comfy = headless.Comfy(server.url)
    messages = comfy.listen()
    prompt = comfy.submit(workflow)
    stopped = 0.0
    with pytest.raises(headless.WorkflowError, match="interrupted"):
        for node, share in comfy.follow(prompt, messages):
            if node == stopped_node and share > 0.02 and not stopped:
                stopped = time.monotonic()
                comfy.interrupt(prompt)
    waited = time.monotonic() - stopped
    print(f"answered in {waited:.2f} s")
    assert stopped and waited < 1.0


def stop(server: Any, comfy: Any, prompt: str) -> float:
    """Interrupt a prompt; seconds until its node has given up.

    By the server's log: between that and the message to the client ComfyUI may collect its garbage, for which nobody in
    its process gets a word in, half a second on an idle machine.
    """
    before, start = server.log().count("Processing interrupted"), time.monotonic()
    comfy.interrupt(prompt)
    while server.log().count("Processing interrupted") == before and time.monotonic() < start + 30:
        time.sleep(0.01)
    waited = time.monotonic() - start
    print(f"stopped in {waited:.2f} s")
    return waited


@needs_xatlas
def test_interrupt_of_xatlas_is_answered_within_a_second(server: Any, headless: ModuleType) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=6)
    # Rough, it takes xatlas a quarter of a minute, in which it answers nobody.
    sphere.vertices *= 1 + 0.1 * np.random.default_rng(0).random((len(sphere.vertices), 1))
    sphere.export(server.base / "input" / "3d" / "sphere.ply")
    unwrap = {"mesh": ["1", 0], "resolution": 1024, "padding": 2, "keep_existing": False}
    save = {"mesh": ["2", 0], "filename_prefix": "sphere", "format": "glb"}
    workflow = {
        "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "3d/sphere.ply"}},
        "2": {"class_type": "TorchRasterUnwrapUV", "inputs": unwrap},
        "3": {"class_type": "TorchRasterSaveMesh", "inputs": save},
    }
    comfy = headless.Comfy(server.url)
    messages = comfy.listen()
    prompt = comfy.submit(workflow)
    waited: list[float] = []
    with pytest.raises(headless.WorkflowError, match="interrupted"):
        for node, _ in comfy.follow(prompt, messages):
            if node == "2" and not waited:
                time.sleep(3)  # it has started by then, and is at work
                waited.append(stop(server, comfy, prompt))
    assert waited[0] < 1.0


def test_two_clients_get_their_own(server: Any, headless: ModuleType, tmp_path: Path) -> None:
    results: dict[str, Any] = {}

    def run(color: str) -> None:
        comfy = headless.Comfy(server.url)
        messages = comfy.listen()
        prompt = comfy.submit(drawing(80, 1, color))
        nodes = {node for node, _ in comfy.follow(prompt, messages)}
        (entry,) = comfy.files(prompt)
        results[color] = (prompt, nodes, comfy.download(entry, tmp_path / color).read_bytes())

    threads = [threading.Thread(target=run, args=(color,)) for color in ("red", "blue")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert set(results) == {"red", "blue"}
    red, blue = results["red"], results["blue"]
    assert red[0] != blue[0] and red[2] != blue[2]
    assert {"3", "4"} <= red[1] and {"3", "4"} <= blue[1]
