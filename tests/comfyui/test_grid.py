"""The grid nodes in a real ComfyUI: what they show, optional inputs, and numbers that reach other nodes' widgets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_a_grid_is_shown_cut_apart_and_gathered_again(run: Any) -> None:
    lens = {"projection": "orthographic", "ortho_scale": 1.2, "distance": 1.45, "fov": 49.13}
    lists = {"azimuths": "0, 90", "elevations": "0", "weights": "1", "views": 2}
    prompt = {
        "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "sample: torus"}},
        "2": {"class_type": "TorchRasterCameras", "inputs": {"preset": "custom", **lists, **lens}},
        "3": {
            "class_type": "TorchRasterRenderMaps",
            "inputs": {"mesh": ["1", 0], "cameras": ["2", 0], "size": 64, "style": "hunyuan3d-2"},
        },
        "4": {
            "class_type": "TorchRasterViewsToGrid",
            "inputs": {"images": ["3", 2], "columns": 2, "padding": 8, "size": 0, "background": "#ff0000"},
        },
        "5": {
            "class_type": "EmptyImage",
            "inputs": {"width": ["4", 3], "height": ["4", 4], "batch_size": 1, "color": 0},
        },
        "6": {
            "class_type": "TorchRasterGridToViews",
            "inputs": {"grid": ["4", 0], "layout": ["4", 2], "views": 1, "columns": 0, "padding": 0, "size": 0},
        },
        "7": {"class_type": "ImageFromBatch", "inputs": {"image": ["6", 0], "batch_index": 1, "length": 1}},
        "8": {"class_type": "ImageFromBatch", "inputs": {"image": ["6", 0], "batch_index": 0, "length": 1}},
        "9": {
            "class_type": "TorchRasterPicturesToViews",
            "inputs": {"cameras": ["2", 0], "picture_2": ["7", 0], "picture_1": ["8", 0]},
        },
        "10": {"class_type": "PreviewImage", "inputs": {"images": ["9", 0]}},
        "11": {"class_type": "PreviewImage", "inputs": {"images": ["3", 2]}},
        "12": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
    }
    pictures = run(prompt).pictures
    depth, cut, (grid,) = pictures("11"), pictures("6"), pictures("4")
    assert grid.shape == pictures("12")[0].shape == (80, 152, 3)
    assert (grid[:8] == (255, 0, 0)).all()
    assert (grid[8:-8, 8:72] == cut[0]).all() and (grid[8:-8, 80:-8] == cut[1]).all()
    for number, gathered in enumerate(pictures("10")):
        assert (gathered == depth[number]).all()
        # ComfyUI cuts off what the nodes round.
        assert np.isin(cut[number] - depth[number], (0, 1)).all()
