"""Sets of views: Hunyuan3D's, a turntable, lists typed by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rasterizer.cameras.camera import orbit_camera, orbit_quaternion, turned
from rasterizer.cameras.views import PRESETS, View, custom_views, turntable, with_lens


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_hunyuan3d_s_six_views(name: str) -> None:
    views = PRESETS[name]
    assert [view.azimuth for view in views] == [0, 90, 180, 270, 0, 180]
    assert [view.elevation for view in views] == [0, 0, 0, 0, 90, -90]
    assert [view.weight for view in views] == [1.0, 0.1, 0.5, 0.1, 0.05, 0.05]
    assert {(view.distance, view.ortho_scale) for view in views} == {(1.45, 1.2)}
    assert views[1].camera() == orbit_camera(90, 0, 1.45, ortho_scale=1.2, weight=0.1)
    top, bottom = views[4].camera(), views[5].camera()
    assert (top.position, top.right, top.forward) == ((0, 1.45, 0), (1, 0, 0), (0, -1, 0))  # no rounding at the poles
    assert (bottom.position, bottom.right, bottom.forward) == ((0, -1.45, 0), (-1, 0, 0), (0, 1, 0))


def test_turntable_goes_all_around_from_the_front() -> None:
    assert [view.azimuth for view in turntable(8)] == [0, 45, 90, 135, 180, 225, 270, 315]
    assert {(view.elevation, view.weight) for view in turntable(3, 20)} == {(20, 1)}


def test_custom_lists() -> None:
    views = custom_views("0, 45,-90.5", " 10 ", "1,0.5,0,")
    assert [(view.azimuth, view.elevation, view.weight) for view in views] == [
        (0, 10, 1),
        (45, 10, 0.5),
        (-90.5, 10, 0),
    ]
    assert len(custom_views("30", "0", "1")) == 1


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (("0, north", "0", "1"), "azimuths: has 'north' in '0, north', expected numbers with commas between"),
        (("", "0", "1"), "azimuths: has '' in '', expected numbers"),
        (("0,,90", "0", "1"), "azimuths: has ''"),
        (("0", "nan", "1"), "elevations: has 'nan'"),
        (("0, 90, 180", "0, 0", "1"), "elevations: has 2 numbers for 3 azimuths, expected 3, or 1"),
        (("0, 90", "0", "1, 2, 3"), "weights: has 3 numbers for 2 azimuths"),
        (("0", "0", "-1"), "weights: has -1, expected 0 or more"),
        ((90, "0", "1"), "azimuths: is 90, expected a text of numbers"),
    ],
)
def test_bad_lists_are_named(lists: tuple[str, str, str], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        custom_views(*lists)


def test_lens() -> None:
    flat = with_lens(PRESETS["hunyuan3d-2"], "orthographic", 1.1, 2.0)
    assert flat[3] == View(270, 0, 0.1, 2.0, 1.1)
    deep = with_lens(turntable(2), "perspective", distance=3.0, fov=30.0)
    assert deep[1].camera() == orbit_camera(180, 0, 3.0, ortho_scale=None, fov=30.0)
    for change, words in (
        ({"projection": "isometric"}, "projection: is 'isometric'"),
        ({"distance": 0.0}, "distance: is 0"),
        ({"ortho_scale": float("nan")}, "ortho_scale: is nan"),
        ({"distance": "far"}, "distance: is 'far', expected a number above 0"),
        ({"distance": 10**400}, "distance: is 1000"),
        ({"projection": "perspective", "fov": 180.0}, "fov of 180"),
    ):
        with pytest.raises(ValueError, match=words):
            with_lens(turntable(1), **{"projection": "orthographic", **change})
    assert with_lens((), "perspective") == ()


@pytest.mark.parametrize("azimuth", [-30, 0, 90, 180, 270, 333.3])
@pytest.mark.parametrize("elevation", [-90, -20, 0, 55.5, 90])
def test_quaternion_of_a_view_gives_its_axes(azimuth: float, elevation: float) -> None:
    want = orbit_camera(azimuth, elevation)
    found = turned(want, orbit_quaternion(azimuth, elevation))
    for axis in ("right", "up", "forward"):
        assert getattr(found, axis) == pytest.approx(getattr(want, axis), abs=1e-15)


def test_whole_numbers_of_any_type() -> None:
    assert turntable(6.0) == turntable(np.int64(6)) == turntable(6)
    with pytest.raises(ValueError, match="views: is 6.5"):
        turntable(6.5)
