"""Thumbnails: what each camera sees, in the mesh's own colours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.cameras.camera import orbit_camera
from rasterizer.cameras.views import PRESETS
from rasterizer.meshes.mesh import Mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.rendering.thumbnails import draw_thumbnails

FRONT = orbit_camera(0, 0, ortho_scale=1.2)
GREEN = torch.tensor([0.0, 1.0, 0.0])


@pytest.fixture
def square() -> Mesh:
    """A square that faces the front."""
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32))


def middle(mesh: Mesh, *cameras: object) -> Tensor:
    """Colour and alpha in the middle of each view."""
    return draw_thumbnails(mesh, cameras or (FRONT,), 32)[:, 16, 16]


def test_one_for_each_camera_and_alpha_where_the_mesh_is(square: Mesh) -> None:
    cameras = [view.camera() for view in PRESETS["hunyuan3d-2"]]
    pictures = draw_thumbnails(square, cameras, 32)
    assert pictures.shape == (6, 32, 32, 4) and pictures.dtype == torch.float32
    torch.testing.assert_close(pictures[..., 3], rasterize_mesh(square, cameras, (32, 32)).mask[:, 0].float())
    assert pictures.min() >= 0 and pictures.max() <= 1


def test_grey_unless_it_has_colours(square: Mesh) -> None:
    assert middle(square)[0, :3].tolist() == pytest.approx([0.8] * 3)
    painted = replace(square, vertex_colors=GREEN.expand(4, 3))
    assert middle(painted)[0, :3].tolist() == pytest.approx(GREEN.tolist())
    textured = replace(painted, uvs=torch.rand(4, 2), texture=torch.full((4, 4, 3), 0.25))
    assert middle(textured)[0, :3].tolist() == pytest.approx([0.25] * 3)


def test_darker_where_the_surface_slants(square: Mesh) -> None:
    front, aside, behind = middle(square, *(orbit_camera(angle, 0, ortho_scale=1.2) for angle in (0, 60, 180)))
    assert aside[0] == pytest.approx(0.8 * (0.35 + 0.65 * 0.5), abs=1e-3)
    assert behind[0] == pytest.approx(float(front[0]))  # the other side of the same face is as bright


def test_reports_and_can_be_stopped(square: Mesh) -> None:
    shares: list[float] = []
    draw_thumbnails(square, [FRONT], 32, shares.append)
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_thumbnails(square, [FRONT], 32, stop)
