"""Views added for what others do not show."""

from __future__ import annotations

import pytest
import torch

from rasterizer.cameras.views import PRESETS, View, with_lens
from rasterizer.meshes.sample_meshes import sample_mesh, trefoil_knot
from rasterizer.rendering.choose_views import add_views
from rasterizer.texturing import bake_views

SIX = PRESETS["hunyuan3d-2.1"]


@pytest.mark.slow
def test_the_choice_is_hunyuan3d_s() -> None:
    # What its own bake_view_selection, run on this mesh, adds to the six.
    views = add_views(trefoil_knot(radius=0.25), SIX, 6)
    assert views[:6] == SIX
    assert [(view.azimuth, view.elevation, view.weight) for view in views[6:]] == [(120, 20, 0.01), (300, -20, 0.01)]


@pytest.mark.slow
def test_no_more_than_asked_and_none_where_all_is_seen() -> None:
    knot = trefoil_knot(radius=0.25)
    assert [view.azimuth for view in add_views(knot, SIX, 1)[6:]] == [120]
    assert add_views(knot, SIX, 0) == SIX
    assert add_views(sample_mesh("torus"), SIX, 24) == SIX


def test_the_first_is_across_from_a_single_view_and_has_its_lens() -> None:
    (front,) = with_lens([View(0, 0)], "perspective", distance=3.0, fov=30.0)
    views = add_views(sample_mesh("torus"), [front], 1)
    assert abs(views[1].azimuth - 180) <= 30 and (views[1].distance, views[1].ortho_scale, views[1].fov) == (
        3,
        None,
        30,
    )


@pytest.mark.slow
def test_more_is_painted_and_little_changes() -> None:
    mesh = trefoil_knot(100, 16, radius=0.25)
    few, many = (
        bake_views(mesh, torch.full((len(views), 128, 128, 1), 0.5), [view.camera() for view in views], 128)
        for views in (SIX, add_views(mesh, SIX, 6))
    )
    assert many.painted.sum() > 1.03 * few.painted.sum() and (few.painted & ~many.painted).sum() == 0


@pytest.mark.slow
def test_progress_ends_at_one_and_can_stop_the_work() -> None:
    shares: list[float] = []
    add_views(sample_mesh("torus"), SIX, 1, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 30

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        add_views(sample_mesh("torus"), SIX, 1, stop)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="extra_views: is 25"):
        add_views(sample_mesh("torus"), SIX, 25)
    with pytest.raises(ValueError, match="views: are none"):
        add_views(sample_mesh("torus"), [], 1)
