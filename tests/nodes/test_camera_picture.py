"""What Camera Views shows in the browser: its cameras, those it has added, and what they see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.pack import CAMERAS

KEY = "torch_raster_cameras"
ONE = {"preset": "custom", "azimuths": "0", "elevations": "0", "weights": "1"}


@pytest.fixture
def watched(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The pack, in a browser."""
    monkeypatch.setattr(pack.compat, "somebody_watches", lambda: True)
    return pack


def shown(pack: SimpleNamespace, **inputs: Any) -> dict[str, Any]:
    """The entry for the browser."""
    return pack.nodes["Cameras"].execute(**{**CAMERAS, **inputs}).ui[KEY][0]


def test_nothing_where_nobody_looks(pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
    assert pack.nodes["Cameras"].execute(**CAMERAS, mesh=torus).ui is None
    assert not list(folders.temp.rglob("*.png"))


def test_the_cameras_and_how_they_were_chosen(watched: SimpleNamespace) -> None:
    said = shown(watched)
    assert said["views"] == [[0, 0, 1], [90, 0, 0.1], [180, 0, 0.5], [270, 0, 0.1], [0, 90, 0.05], [180, -90, 0.05]]
    assert said["settings"] == {**CAMERAS, "extra_views": 0}
    assert said["added"] == 0 and said["pictures"] == []


def test_what_they_see_of_a_mesh(watched: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
    pictures = shown(watched, mesh=torus)["pictures"]
    assert len(pictures) == 6
    sides = []
    for entry in pictures:
        assert entry["type"] == "temp"
        with Image.open(folders.temp / entry["subfolder"] / entry["filename"]) as file:
            assert file.size == (128, 128) and file.mode == "RGBA"
            sides.append(np.asarray(file)[..., 3] > 0)
    assert all(0.05 < side.mean() < 0.9 for side in sides)
    middle = slice(60, 68)
    # The ring faces the front: only there and from the back its hole is seen through.
    assert [not side[middle, middle].any() for side in sides] == [True, False, True, False, False, False]


def test_those_it_has_added(watched: SimpleNamespace, torus: Any) -> None:
    said = shown(watched, **ONE, mesh=torus, extra_views=3)
    assert said["added"] >= 1
    assert len(said["views"]) == len(said["pictures"]) == 1 + said["added"]
    assert all(weight == 0.01 for _, _, weight in said["views"][1:])


def test_of_many_the_first(watched: SimpleNamespace, torus: Any) -> None:
    said = shown(watched, preset="turntable", views=40, mesh=torus)
    assert len(said["views"]) == 40 and len(said["pictures"]) == 36
