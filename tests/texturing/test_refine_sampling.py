"""The sparse matrix that says what pixels show: it renders, and its transpose is one."""

from __future__ import annotations

import pytest
import torch

from rasterizer.cameras.camera import Camera, look_at, orbit_camera
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.pictures.sampling import sample_texture
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing.refine.sampling import Rows, Sampling, merged
from rasterizer.texturing.refine.sight import look_ups, stand_ins
from rasterizer.texturing.refine.solve import prior

SIZE = (40, 56)


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def dense(rows: Rows, columns: int) -> torch.Tensor:
    return rows.times(torch.eye(columns))


def test_equal_texels_are_taken_together() -> None:
    texels = torch.tensor([[4, 1, 4, 1, 4], [2, 2, 2, 2, 2], [0, 1, 2, 3, 4]], dtype=torch.int32)
    weights = random(3, 5)
    rows = merged(texels, weights)
    wanted = torch.zeros(3, 6).scatter_add_(1, texels.long(), weights)
    assert torch.allclose(dense(rows, 6), wanted, atol=1e-7)
    assert rows.starts.tolist() == [0, 2, 3, 8] and rows.columns.tolist() == [1, 4, 2, 0, 1, 2, 3, 4]


def test_parts_join() -> None:
    one, other = (merged(torch.randint(0, 9, (n, 4), dtype=torch.int32), random(n, 4)) for n in (3, 5))
    joined = Rows.joined([one, other])
    assert len(joined) == 8 and torch.equal(dense(joined, 9), torch.cat((dense(one, 9), dense(other, 9))))


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize(
    "camera", [orbit_camera(30, 20), orbit_camera(30, 20, ortho_scale=None), look_at((0, 1, 3), (0, 0, 0), fov=50)]
)
def test_pixels_are_means_of_look_ups_at_points_of_their_area(camera: Camera, samples: int) -> None:
    mesh = sample_mesh("torus")
    texture = random(64, 64, 3)
    painted = torch.ones(64, 64, dtype=torch.bool)
    middle = torch.arange(SIZE[0] * SIZE[1]).view(SIZE)[4:-4, 4:-4].reshape(-1)
    whole, rows = look_ups(mesh, camera, SIZE, middle, stand_ins(painted)[1], samples)
    assert whole.any() and not whole.all()
    found = rows.times(texture.view(-1, 3))
    if samples == 3:  # of which one lies in the middle of the pixel: the same camera draws them all
        fine = [3 * (side - 1) + 1 for side in SIZE]
        raster = rasterize_mesh(mesh, [camera], (fine[0], fine[1]))
        seen = sample_texture(texture, raster.interpolate(mesh.require_uvs())[0, 0])
        means = torch.nn.functional.avg_pool2d(seen.permute(2, 0, 1), 3, 3, padding=1).permute(1, 2, 0).reshape(-1, 3)
        away = (found - means[middle]).abs().amax(1)[whole]
        assert away.median() < 1e-4 and (away > 0.02).float().mean() < 0.01  # a point on an edge falls to either side
    assert torch.allclose(rows.times(torch.ones(64 * 64, 1)), torch.ones(len(middle), 1), atol=1e-5)


def test_the_transpose_is_one() -> None:
    mesh, painted = sample_mesh("torus"), torch.ones(64, 64, dtype=torch.bool)
    pixels = torch.arange(SIZE[0] * SIZE[1])
    sampling = Sampling.of(look_ups(mesh, orbit_camera(30, 20), SIZE, pixels, stand_ins(painted)[1])[1])
    texels, seen = random(64 * 64, 3), random(len(pixels), 3).flip(0)
    back = torch.zeros(64 * 64, 3)
    sampling.add_to(back, seen)
    one, other = ((a.double() * b.double()).sum() for a, b in ((sampling.render(texels), seen), (texels, back)))
    assert abs(one - other) < 1e-6 * one
    sampling.add_to(back, seen)
    assert torch.allclose((texels * back).sum(), 2 * other.float(), rtol=1e-4)


def test_texels_beyond_what_is_painted_have_the_colour_of_the_nearest() -> None:
    painted = torch.zeros(9, 9, dtype=torch.bool)
    painted[4, 2:5] = True
    numbers, near = stand_ins(painted)
    assert numbers[4].tolist() == [-1, -1, 0, 1, 2, -1, -1, -1, -1] and (numbers >= 0).sum() == 3
    assert near[4].tolist() == [0, 0, 0, 1, 2, 2, 2, -1, -1]
    assert (near[2:7] >= 0).sum() == 35 and (near >= 0).sum() == 35


def test_the_prior_knows_neighbours_that_may_change() -> None:
    painted = random(7, 5) > 0.4
    matrix = dense(prior(stand_ins(painted)[0]), int(painted.sum()))
    assert torch.equal(matrix, matrix.t())
    assert torch.linalg.eigvalsh(matrix.double()).min() > 0
    flat = matrix.sum(1)
    assert torch.allclose(flat, flat[:1].expand_as(flat), rtol=1e-3)
    places = painted.nonzero()
    steps = (places[:, None] - places[None]).abs().sum(-1)
    assert torch.equal(matrix < 0, steps == 1)
