"""Background that bleeds into pictures at outlines: found, left out, and only where it is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rasterizer.cameras.views import PRESETS
from rasterizer.diagnostics.painted import photograph, subject_of
from rasterizer.diagnostics.painters import PAINTERS
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.texturing import Baked, bake_views

_CAMERAS = [view.camera() for view in PRESETS["hunyuan3d-2"]]
_SIDE = 256


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Exact ones of a torus on white, and where they show it."""
    return photograph(_subject(), _CAMERAS, _SIDE)


def _subject():
    return subject_of(replace(sample_mesh("torus"), texture=None))


def _bake(pictures: torch.Tensor, **options) -> Baked:
    return bake_views(_subject().mesh, pictures, _CAMERAS, 2 * _SIDE, **{"match_colors": True, **options})


def _bleed(pictures: torch.Tensor, **options) -> int:
    agreement = _bake(pictures, **options).agreement
    assert agreement is not None
    return agreement.bleed


def test_a_halo_is_found_and_left_out(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    exact, shown = pictures
    bleeding = PAINTERS["halo"](exact, shown, 1)
    truth, plain, cured = _bake(exact), _bake(bleeding, match_colors=False), _bake(bleeding)
    assert cured.agreement is not None and cured.agreement.bleed == 2
    assert "background bleeds in: 2 px next to outlines left out" in str(cured.agreement)
    both = truth.painted & plain.painted & cured.painted
    before, after = ((baked.texture - truth.texture)[both].square().mean() for baked in (plain, cured))
    assert after < before / 4
    assert cured.painted.sum() > 0.9 * plain.painted.sum()


@pytest.mark.parametrize("painter", ["none", "gain", "shade", "warp5", "detail"])
def test_other_painters_bleed_nothing(pictures: tuple[torch.Tensor, torch.Tensor], painter: str) -> None:
    assert _bleed(PAINTERS[painter](*pictures, 1)) == 0


def test_dark_background_bleeds_as_well(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    exact, shown = pictures
    dark = torch.where(shown[..., None], exact, 0.0)
    assert _bleed(dark) == 0
    # The painter's halo is white: turned over, the same in black.
    assert _bleed(1 - PAINTERS["halo"](1 - dark, shown, 1)) == 2


def test_background_like_the_surface_cannot_be_told(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    exact, _ = pictures
    assert _bleed(torch.full_like(exact, 0.5)) == 0


def test_without_matching_nothing_is_left_out(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    exact, shown = pictures
    bleeding = PAINTERS["halo"](exact, shown, 1)
    assert _bleed(bleeding, match_colors=False, align_views=1) == 0


def test_views_without_overlap_are_left_whole(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    exact, shown = pictures
    bleeding = PAINTERS["halo"](exact, shown, 1)[[0, 2]]  # front and back
    baked = bake_views(_subject().mesh, bleeding, [_CAMERAS[0], _CAMERAS[2]], 2 * _SIDE, match_colors=True)
    assert baked.agreement is not None and baked.agreement.bleed == 0
