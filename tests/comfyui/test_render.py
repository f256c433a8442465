"""Render Mesh in a real ComfyUI: pictures with alpha, a panorama from Load Image, and frames that a video holds."""

from __future__ import annotations

import io
import json
import urllib.parse
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.paths import EXAMPLES

pytestmark = [pytest.mark.server, pytest.mark.slow]

RENDER = {
    "width": 96,
    "height": 64,
    "light": "studio",
    "exposure": 0.0,
    "tone_mapping": "neutral",
    "background": "color",
    "background_color": "#204060",
    "shading": "smooth",
    "metallic": 1.0,
    "roughness": 0.2,
    "samples": 4,
}
LOAD = {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "sample: torus"}}


def picture(server: Any, entry: dict[str, Any], node: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(server.image(entry, node))))


def test_pictures_masks_and_a_panorama(server: Any) -> None:
    prompt = {
        "1": LOAD,
        "2": {"class_type": "TorchRasterRender", "inputs": {**RENDER, "mesh": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
        "4": {"class_type": "MaskToImage", "inputs": {"mask": ["2", 1]}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
        "6": {"class_type": "TorchRasterRender", "inputs": {**RENDER, "mesh": ["1", 0], "background": "transparent"}},
        "7": {"class_type": "PreviewImage", "inputs": {"images": ["6", 0]}},
        "8": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 32, "batch_size": 1, "color": 0xFF0000}},
        "9": {
            "class_type": "TorchRasterRender",
            "inputs": {**RENDER, "mesh": ["1", 0], "environment": ["8", 0], "background": "environment"},
        },
        "10": {"class_type": "PreviewImage", "inputs": {"images": ["9", 0]}},
    }
    entry = server.run(prompt)
    lit, mask, alpha, red = (picture(server, entry, node) for node in ("3", "5", "7", "10"))
    assert lit.shape == mask.shape == red.shape == (64, 96, 3) and alpha.shape == (64, 96, 4)
    assert lit[0, 0].tolist() == [0x20, 0x40, 0x60] and alpha[0, 0].tolist() == [0, 0, 0, 0]
    assert (alpha[..., 3] == mask[..., 0]).all() and len(np.unique(mask)) == 5
    inside = mask[..., 0] == 255
    assert np.abs(lit[inside].astype(int) - alpha[inside][:, :3]).max() <= 1
    assert (red[..., 0] > red[..., 1].astype(int) + 60).all()


def test_an_environment_that_is_missing_is_named(server: Any) -> None:
    inputs = {**RENDER, "mesh": ["1", 0], "background": "environment"}
    entry = server.run({"1": LOAD, "2": {"class_type": "TorchRasterRender", "inputs": inputs}})
    assert "background: is 'environment' but nothing is connected to environment" in json.dumps(entry["status"])


def test_the_turntable_becomes_a_video(server: Any) -> None:
    prompt = json.loads((EXAMPLES / "api" / "12_turntable_video.json").read_text(encoding="utf-8"))
    for node in prompt.values():
        if node["class_type"] == "TorchRasterCameras":
            node["inputs"]["views"] = 6
    entry = server.run(prompt)
    assert entry["status"]["status_str"] == "success"
    saved = [
        file for output in entry["outputs"].values() for file in output.get("images", ()) if "turntable" in str(file)
    ]
    query = urllib.parse.urlencode({key: saved[0][key] for key in ("filename", "subfolder", "type")})
    video = server.download(f"/view?{query}")
    assert saved[0]["filename"].endswith(".mp4") and video[4:8] == b"ftyp" and len(video) > 5000
