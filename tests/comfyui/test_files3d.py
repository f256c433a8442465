"""3D files between ComfyUI's nodes and ours, over HTTP: Load 3D in, Preview 3D out, and versions that have none."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rasterizer.meshes.files import load_mesh, save_mesh
from rasterizer.meshes.sample_meshes import sample_mesh

pytestmark = [pytest.mark.server, pytest.mark.slow]

SIZE = 64
# What the viewer in the browser sends with a Load 3D node; a headless run makes it up.
VIEWPORT = {"camera_info": None, "model_3d_info": []}
PICTURES = {"image": "example.png", "mask": "example.png", "normal": "example.png", "recording": "", **VIEWPORT}


def has_files(server: Any) -> bool:
    return any("FILE_3D" in info["output"] for info in server.object_info.values() if not is_ours(info))


def is_ours(info: dict[str, Any]) -> bool:
    return info["python_module"].endswith("torch_rasterizer")


@pytest.fixture
def files(server: Any) -> Path:
    """A folder of 3D files that Load 3D lists; skips where it gives none."""
    if not has_files(server):
        pytest.skip("this ComfyUI has no 3D files")
    folder = server.base / "input" / "3d"
    save_mesh(replace(sample_mesh("torus"), name="Ring", material="Gold"), folder / "ring.glb")
    (folder / "statue.fbx").write_bytes(b"Kaydara FBX Binary")
    return folder


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def load_3d(name: str) -> dict[str, Any]:
    return node("Load3DAdvanced", model_file=name, viewport_state=VIEWPORT, width=SIZE, height=SIZE)


def rasterize(mesh: list[Any]) -> dict[str, Any]:
    raster = {"space": "camera", "mode": "auto", "tile_size": 32, "batch_size": 0, "backend": "auto", "layers": 1}
    return node("TorchRasterRasterize", mesh=mesh, width=SIZE, height=SIZE, **raster)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def said(entry: dict[str, Any]) -> str:
    """The exception that ended a run."""
    messages = dict(entry["status"]["messages"])
    return messages.get("execution_error", {}).get("exception_message", "")


def test_sockets_are_those_of_the_version(server: Any) -> None:
    known = {kind for info in server.object_info.values() if not is_ours(info) for kind in info["output"]}
    known = {kind for kind in known if kind.startswith("FILE_3D")}
    mesh = server.object_info["TorchRasterRasterize"]["input"]["required"]["mesh"][0].split(",")
    taken = {kind for kind in mesh if kind.startswith("FILE_3D")}
    assert set(mesh) - taken == {"MESH", "TRIMESH"} and known <= taken and bool(known) == bool(taken)
    given = server.object_info["TorchRasterLoadMesh"]["input"].get("optional", {}).get("model_3d", [""])[0]
    assert {*given.split(",")} - {""} == taken


def test_load_3d_is_one_link_from_rasterize(server: Any, files: Path) -> None:
    prompt = {"1": load_3d("3d/ring.glb"), "2": rasterize(["1", 0]), "3": node("PreviewImage", images=["2", 1])}
    drawn = pixels(server.image(server.run(prompt), "3"))
    prompt["1"] = node("TorchRasterLoadMesh", mesh_file="3d/ring.glb")
    assert np.array_equal(pixels(server.image(server.run(prompt), "3")), drawn)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 500


def test_load_3d_is_textured_end_to_end(server: Any, files: Path) -> None:
    trust = {"exponent": 4.0, "max_angle": 75.0, "border": 0}
    lens = {"projection": "orthographic", "ortho_scale": 1.2, "distance": 1.45, "fov": 49.13}
    lists = {"azimuths": "", "elevations": "", "weights": "", "views": 6}
    prompt = {
        "1": node("Load3D", model_file="3d/ring.glb", image=PICTURES, width=SIZE, height=SIZE),
        "2": node("TorchRasterLoadMesh", mesh_file="sample: trefoil knot", model_3d=["1", 6]),
        "3": node("TorchRasterCameras", preset="hunyuan3d-2", **lists, **lens),
        "4": node("TorchRasterRenderMaps", mesh=["2", 0], cameras=["3", 0], size=SIZE, style="hunyuan3d-2"),
        "5": node("TorchRasterBakeViews", mesh=["2", 0], images=["4", 0], cameras=["3", 0], texture_size=SIZE, **trust),
        "6": node("TorchRasterFillTexture", texture=["5", 0], painted=["5", 1], mesh=["2", 0], method="surface"),
        "7": node("TorchRasterApplyTexture", mesh=["2", 0], base_color=["6", 0]),
        "8": node("TorchRasterSaveMesh", mesh=["7", 0], filename_prefix="3d/textured", format="glb"),
        "9": node("Preview3D", model_file=["8", 1]),
    }
    entry = server.run(prompt)
    assert entry["status"]["status_str"] == "success", said(entry)
    shown = server.base / "output" / entry["outputs"]["9"]["result"][0]
    found = load_mesh(shown)
    assert (found.name, found.material) == ("Ring", "Gold")
    assert found.texture.shape == (SIZE, SIZE, 3) and len(found.texture.flatten(0, 1).unique(dim=0)) > 50
    (saved,) = entry["outputs"]["8"]["3d"]
    assert shown.read_bytes() == (server.base / "output" / saved["subfolder"] / saved["filename"]).read_bytes()


def test_a_mesh_that_was_saved_goes_on_to_nodes_for_files(server: Any, files: Path) -> None:
    prompt = {
        "1": node("TorchRasterLoadMesh", mesh_file="sample: torus"),
        "2": node("TorchRasterSaveMesh", mesh=["1", 0], filename_prefix="ring", format="obj"),
        "3": node("SaveGLB", mesh=["2", 1], filename_prefix="again"),
        "4": node("Preview3DAdvanced", model_3d=["2", 1], viewport_state=VIEWPORT, width=SIZE, height=SIZE),
        "5": rasterize(["2", 1]),
        "6": node("PreviewImage", images=["5", 1]),
    }
    entry = server.run(prompt)
    assert entry["status"]["status_str"] == "success", said(entry)
    assert entry["outputs"]["3"]["3d"][0]["filename"].endswith(".obj") and entry["outputs"]["6"]["images"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "mesh: is empty: the node before it gave nothing. In a Load 3D node, choose a file"),
        ("3d/statue.fbx", "mesh: mesh data 'statue': found suffix '.fbx', expected one of .glb"),
    ],
)
def test_what_cannot_be_read_is_named(server: Any, files: Path, name: str, message: str) -> None:
    entry = server.run({"1": load_3d(name), "2": rasterize(["1", 0]), "3": node("PreviewImage", images=["2", 1])})
    assert message in said(entry)


def test_the_named_file_must_be_there(server: Any) -> None:
    prompt = {
        "1": node("TorchRasterLoadMesh", mesh_file="3d/not there.glb"),
        "2": node("PreviewAny", source=["1", 2]),
    }
    assert "no file '3d/not there.glb'" in str(server.submit(prompt)["node_errors"])
