"""What is seen of a texture from other sides, and what the exact texture is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rasterizer.diagnostics.fields import FIELDS
from rasterizer.diagnostics.layout import Layout
from rasterizer.diagnostics.sides import SIDES
from rasterizer.meshes.sample_meshes import sample_mesh


@pytest.fixture(scope="module")
def layout() -> Layout:
    """A torus at 128 texels."""
    return Layout.of(sample_mesh("torus"), 128)


def test_a_texture_without_error_has_none_when_seen(layout: Layout) -> None:
    flat = layout.target(lambda points: torch.full_like(points, 0.4))
    assert flat.rendered(torch.full_like(flat.color, 0.4), layout.covered) > 110
    assert flat.rendered(torch.full_like(flat.color, 0.5), layout.covered) == pytest.approx(20, abs=0.01)


def test_pixels_that_need_what_is_not_painted_do_not_count(layout: Layout) -> None:
    flat = layout.target(lambda points: torch.full_like(points, 0.4))
    columns = torch.arange(128).expand(128, 128) < 64
    torn = torch.where(columns[..., None], torch.full_like(flat.color, 0.4), 0.9)
    assert flat.rendered(torn, columns & layout.covered) > 110
    assert flat.rendered(torn, layout.covered) < 15


def test_pixels_are_means_of_nine_samples_on_the_mesh(layout: Layout) -> None:
    sides = layout.sides
    assert sides.uv.shape == (len(sides.uv), 9, 2) and len(sides.uv) > 500 * len(SIDES)
    where = sides.truth(lambda points: points)
    torch.testing.assert_close(where, sides.positions.mean(1))
    assert (sides.positions - sides.positions.mean(1, keepdim=True)).norm(dim=-1).amax() < 0.2


def test_the_mean_over_texels_is_that_of_a_finer_layout(layout: Layout) -> None:
    mesh = replace(layout.mesh, uvs=layout.mesh.require_uvs() * 0.9 + 0.031)  # rims across texels
    color, layout, finer = FIELDS["smooth"], Layout.of(mesh, 128), Layout.of(mesh, 512)
    parts = finer.covered.view(128, 4, 128, 4).permute(0, 2, 1, 3).flatten(2)
    whole = parts.all(2)
    exact = color(finer.positions).view(128, 4, 128, 4, 3).mean((1, 3))
    torch.testing.assert_close(layout.averaged(color)[whole], exact[whole], rtol=0, atol=1e-4)
    rim = layout.covered & ~whole
    assert rim.any()
    assert (layout.averaged(color) - color(layout.positions))[rim].abs().amax() < 0.3


def test_other_layouts_show_the_same(layout: Layout) -> None:
    """What peers lay out otherwise is seen in the same pixels."""
    mesh = layout.mesh
    other = Layout.of(replace(mesh, uvs=mesh.require_uvs().flip(1)), 128)
    torch.testing.assert_close(other.sides.positions, layout.sides.positions)
    torch.testing.assert_close(other.sides.uv, layout.sides.uv.flip(2))
