"""Textures that stay, in a real ComfyUI: unwrapped, taken off as images, painted on in part, put back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]

LENS = {"projection": "orthographic", "ortho_scale": 1.2, "distance": 1.45, "fov": 49.13}
VIEW = {"preset": "custom", "azimuths": "0", "elevations": "0", "weights": "1", "views": 1, **LENS}
BAKE = {"texture_size": 256, "exponent": 4.0, "max_angle": 75.0, "border": 0, "match_colors": False, "align_views": 0}
PROMPT = {
    "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "sample: torus"}},
    "2": {
        "class_type": "TorchRasterUnwrapUV",
        "inputs": {"mesh": ["1", 0], "resolution": 256, "padding": 2, "keep_existing": False, "texture_size": 256},
    },
    "3": {"class_type": "TorchRasterMeshToImages", "inputs": {"mesh": ["2", 0], "size": 128, "layout_over": "black"}},
    "4": {"class_type": "TorchRasterCameras", "inputs": VIEW},
    "5": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0xFF0000}},
    "6": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 64, "height": 64}},
    "7": {
        "class_type": "TorchRasterBakeViews",
        "inputs": {
            "mesh": ["2", 0],
            "images": ["5", 0],
            "cameras": ["4", 0],
            **BAKE,
            "base_texture": ["3", 0],
            "paint_mask": ["6", 0],
        },
    },
    "8": {
        "class_type": "TorchRasterApplyTexture",
        "inputs": {
            "mesh": ["2", 0],
            "base_color": ["7", 0],
            "metallic_roughness": ["3", 1],
            "mr_layout": "gltf ORM",
            "normal_map": ["3", 2],
            "normal_layout": "directx",
            "occlusion": ["6", 0],
        },
    },
    "9": {
        "class_type": "TorchRasterMeshToImages",
        "inputs": {"mesh": ["8", 0], "size": 128, "layout_over": "base color"},
    },
    "10": {"class_type": "PreviewImage", "inputs": {"images": ["9", 0]}},
    "11": {"class_type": "PreviewImage", "inputs": {"images": ["7", 0]}},
    "12": {"class_type": "PreviewImage", "inputs": {"images": ["9", 2]}},
    "13": {"class_type": "PreviewImage", "inputs": {"images": ["9", 3]}},
    "14": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
}


def test_a_texture_is_unwrapped_painted_in_part_and_put_back(run: Any) -> None:
    pictures = run(PROMPT).pictures
    (kept,), (painted,) = pictures("14"), pictures("11")
    red = (painted == (255, 0, 0)).all(axis=2)
    assert kept.shape == painted.shape == (256, 256, 3) and 0.1 < red.mean() < 0.8
    assert (painted == kept).all(axis=2).mean() > 0.2 and ((painted == kept).all(axis=2) | red).mean() > 0.9
    assert (pictures("10")[0] == painted).all(), "what Apply Texture put on comes off again"
    (bumps,), (shade,) = pictures("12"), pictures("13")
    assert (np.abs(bumps - (127, 127, 255)) <= 1).all() and (shade == 255).all()
    base, layout = pictures("9")
    assert base.shape == (256, 256, 3) and layout.shape == (128, 128, 3)
    assert pictures("3")[1].max() > 200
