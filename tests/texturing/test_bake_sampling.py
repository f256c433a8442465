"""How a texel takes its colour from a picture: sharply, over its footprint, and from its own surface alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.cameras.camera import Camera, look_at, orbit_camera
from rasterizer.diagnostics.fields import averaged
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing import Texels, bake_views
from rasterizer.texturing.bake import cubic
from rasterizer.texturing.bake import filter as filter_module
from rasterizer.texturing.bake import view as view_module
from rasterizer.texturing.bake.footprint import footprints, texel_steps
from rasterizer.texturing.bake.view import Lens, Pictures

FRONT = [look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.6)]


def square(depth: float = 0.0, turn: float = 0.0, stretch: float = 1.0) -> Mesh:
    """A unit square that faces +Z, turned about Z, whose UVs keep its corners; ``stretch`` is its height."""
    corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    c, s = math.cos(turn), math.sin(turn)
    turned = (corners * torch.tensor([1.0, stretch])) @ torch.tensor([[c, s], [-s, c]])
    vertices = torch.cat((turned, torch.full((4, 1), depth)), dim=1)
    return Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32), uvs=corners + 0.5)


def photograph(
    mesh: Mesh, cameras: list[Camera], size: int, color: Callable[[Tensor], Tensor], background: float = 1.0
) -> Tensor:
    """Pictures of a colour of the position, each pixel the mean of 3 by 3 points."""
    fine = 3 * (size - 1) + 1
    raster = rasterize_mesh(mesh, cameras, (fine, fine))
    seen = (raster.findices[:, 0] > 0)[..., None]
    return averaged(torch.where(seen, color(raster.interpolate(mesh.vertices)[:, 0]), background), 3)


def positions(mesh: Mesh, size: int) -> Tensor:
    texels = Texels.of(mesh, (size, size))
    return texels.image(texels.interpolate(mesh.vertices))


def bilinear(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pixel is far enough from a break for a kernel."""
    monkeypatch.setattr(filter_module, "LEAST", 10**6)


@pytest.mark.parametrize("size", [32, 128, 512])
def test_a_constant_picture_stays_what_it_is(size: int) -> None:
    mesh = sample_mesh("torus")
    images = torch.empty(1, 128, 128, 5)
    images[:] = torch.tensor([0.0, 1.0, 0.3, -2.7, 1000.1])
    baked = bake_views(mesh, images, [orbit_camera(30, 20)], size)
    wanted = images[0, 0, 0].expand(int(baked.painted.sum()), 5)
    assert torch.equal(baked.texture[baked.painted], wanted) and len(wanted)


@pytest.mark.parametrize("size", [32, 100, 256])
@pytest.mark.parametrize("stretch", [1.0, 0.2])
def test_ramps_are_reproduced(size: int, stretch: float) -> None:
    mesh = square(turn=0.4, stretch=stretch)
    color = lambda points: 0.5 + 0.4 * points  # noqa: E731
    images = photograph(mesh, FRONT, 200, color)
    baked = bake_views(mesh, images, FRONT, size)
    inner = slice(size // 4, -size // 4)
    assert baked.painted[inner, inner].all()
    torch.testing.assert_close(
        baked.texture[inner, inner], color(positions(mesh, size))[inner, inner], rtol=0, atol=1e-5
    )


def test_cubic_samples_are_closer_to_a_smooth_field(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = square()
    color = lambda points: 0.5 + 0.4 * torch.sin(60 * points)  # noqa: E731
    images, wanted = photograph(mesh, FRONT, 100, color), color(positions(mesh, 512))
    sharp = bake_views(mesh, images, FRONT, 512)
    bilinear(monkeypatch)
    soft = bake_views(mesh, images, FRONT, 512)
    inner = slice(50, -50)
    errors = [float((one.texture - wanted)[inner, inner].square().mean()) for one in (sharp, soft)]
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize("size", [64, 256, 700])
def test_nothing_of_what_lies_around_bleeds_in(size: int) -> None:
    near, far = square(depth=0.2), square()
    near = replace(
        near, vertices=near.vertices * torch.tensor([0.5, 0.5, 1.0]), uvs=near.uvs * torch.tensor([0.5, 1.0])
    )
    far_uvs = far.uvs * torch.tensor([0.5, 1.0]) + torch.tensor([0.5, 0.0])
    mesh = Mesh(
        torch.cat((near.vertices, far.vertices)),
        torch.cat((near.faces, far.faces + 4)),
        uvs=torch.cat((near.uvs, far_uvs)),
    )
    color = lambda points: (points[..., 2:] > 0.1).float().expand(*points.shape[:-1], 3)  # noqa: E731
    images = photograph(mesh, FRONT, 200, color, background=0.5)
    assert ((images > 0.1) & (images < 0.4)).any()
    baked = bake_views(mesh, images, FRONT, size)
    left, right = baked.painted.clone(), baked.painted.clone()
    left[:, size // 2 :], right[:, : size // 2] = False, False
    # A pixel that touches a corner of the near one only is not known to be at an edge.
    place = positions(mesh, size)[..., :2].abs()
    right &= ((place - 0.25).abs() > 0.02).any(-1)
    assert (baked.texture[left] == 1).all() and left.sum() > size**2 / 3
    assert (baked.texture[right] == 0).all() and right.sum() > size**2 / 4


@pytest.mark.parametrize("turn", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("both", [True, False], ids=["both ways", "one way"])
def test_stripes_finer_than_texels_give_their_mean(turn: float, both: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 4 pixels each, a dark and a bright one, under texels as long.
    mesh = square(turn=turn)
    size = (64, 64) if both else (64, 256)
    along = torch.tensor([-math.sin(turn), math.cos(turn), 0.0])
    color = lambda points: (0.5 + 0.5 * torch.sin(410 * (points * along).sum(-1, keepdim=True))).repeat(1, 1, 1, 3)  # noqa: E731
    images = photograph(mesh, FRONT, 308, color)  # 256 pixels to a unit
    spread = []
    for setting in ("filtered", "bilinear"):
        if setting == "bilinear":
            bilinear(monkeypatch)
        baked = bake_views(mesh, images, FRONT, size)
        inner = baked.texture[16:-16, size[1] // 4 : -size[1] // 4]
        assert inner.mean() == pytest.approx(0.5, abs=0.02)
        spread.append(float(inner.std()))
    assert spread[0] < 0.05 and spread[1] > 5 * spread[0]


def test_waves_that_texels_hold_are_not_dimmed() -> None:
    # 8 texels of 4 pixels each: a box over a texel would take 2.6 % of their height.
    mesh, color = square(), lambda points: 0.5 + 0.4 * torch.sin(2 * math.pi * 8 * points)
    images = photograph(mesh, FRONT, 308, color)
    baked = bake_views(mesh, images, FRONT, 64)
    inner, wanted = baked.texture[12:-12, 12:-12] - 0.5, color(positions(mesh, 64))[12:-12, 12:-12] - 0.5
    height = (inner * wanted)[..., :2].sum() / wanted[..., :2].square().sum()
    assert 1.0 <= height < 1.05  # a little higher, of which a look-up will take as much


@pytest.mark.parametrize("perspective", [False, True])
def test_footprints_are_those_of_finite_steps(perspective: bool) -> None:
    mesh = sample_mesh("torus")
    camera = look_at((1.0, 1.5, 2.0), (0.0, 0.0, 0.0), **({"fov": 45} if perspective else {"half_height": 1.0}))
    lens = Lens.of_each([camera], mesh, 300, 300)[0]
    steps = texel_steps(mesh, (512, 256))
    found = footprints(lens, steps)
    centre, column, row = (torch.stack(values) for values in steps)
    here = torch.stack(lens.pixel(lens.place(tuple(centre)))[:2])
    moved = [
        (torch.stack(lens.pixel(lens.place(tuple(centre + 0.1 * step)))[:2]) - here) * 10 for step in (column, row)
    ]
    jacobian = torch.stack(moved, dim=-1).permute(1, 0, 2).double()
    spread = jacobian @ jacobian.transpose(1, 2)
    wide, high, both = spread[:, 0, 0], spread[:, 1, 1], spread[:, 0, 1]
    long = torch.maximum(wide, high)
    torch.testing.assert_close(found.along.double(), long.sqrt(), rtol=0.02, atol=0.01)
    torch.testing.assert_close(
        found.across.double(), (wide * high - both**2).clamp(min=0).sqrt() / long.sqrt(), rtol=0.02, atol=0.02
    )
    torch.testing.assert_close(found.shear.double(), both / long, rtol=0, atol=0.03)


@pytest.mark.parametrize("size", [48, 128, 256])
@pytest.mark.parametrize("camera", [orbit_camera(20, 15), look_at((0.5, 0.7, 2.5), (0.0, 0.0, 0.0), fov=45)])
def test_selecting_rows_changes_nothing(size: int, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = sample_mesh("trefoil knot")
    images = torch.rand(1, 160, 160, 4, generator=torch.Generator().manual_seed(1))
    want = bake_views(mesh, images, [camera], size)
    for module in (view_module, filter_module):
        monkeypatch.setattr(module, "selects", lambda device: False)
    monkeypatch.setattr(filter_module, "FIXED_AT_ONCE", 1000)
    got = bake_views(mesh, images, [camera], size)
    assert torch.equal(got.painted, want.painted) and want.painted.any()
    torch.testing.assert_close(got.texture, want.texture, rtol=0, atol=2e-5)
    torch.testing.assert_close(got.confidence, want.confidence, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1.7, 6.0])
def test_kernels_sum_to_one_and_stay_in_place(scale: float) -> None:
    middle = torch.linspace(0, 1, 33)
    off = torch.arange(-11.0, 13.0)[None] - middle[:, None]
    weights = filter_module._balanced(cubic.keys(off / scale), off)
    torch.testing.assert_close(weights.sum(1), torch.ones(33))
    torch.testing.assert_close((weights * off).sum(1), torch.zeros(33), rtol=0, atol=1e-5)
    if scale == 1:
        torch.testing.assert_close(cubic.balanced_four(middle), weights[:, 10:14], rtol=0, atol=1e-6)


def test_distances_to_breaks() -> None:
    rough = torch.rand(2, 40, 60, generator=torch.Generator().manual_seed(0)) > 0.999
    calm = filter_module.calm_around(rough, filter_module.RADII[:9]).to(torch.int64)
    padded = torch.nn.functional.pad(rough, (20, 20, 20, 20), value=True)
    rungs = torch.tensor([0, 1, 2, 3, 4, 6, 8, 10, 12, 14])
    for view, row, column in [(0, 20, 30), (0, 5, 5), (1, 0, 0), (1, 33, 50), (1, 20, 20), (0, 12, 44)]:
        clear = (
            0
            if padded[view, row + 20, column + 20]
            else max(
                [
                    r
                    for r in range(1, 20)
                    if not padded[view, row + 20 - r : row + 21 + r, column + 20 - r : column + 21 + r].any()
                ],
                default=0,
            )
        )
        assert calm[view, row, column] == rungs[rungs <= clear].max()


def test_pixels_are_found_in_pictures_larger_than_float32_counts() -> None:
    lens = Lens.of_each([orbit_camera(0, 0)], square(), 32767, 1025)[0]
    row, column = torch.tensor([1023.0, 700.0, 0.0]), torch.tensor([32765.0, 12345.0, 0.0])
    depth = torch.zeros(1).expand(lens.width * lens.height)  # of one number, whatever its size
    pictures = Pictures(torch.zeros(1, 2), depth, torch.zeros(1, dtype=torch.bool), 1)
    flat = torch.zeros(3)
    places, _, _ = lens._pixels(column, row, (flat, flat), flat, (flat, flat), pictures)
    first = row.long() * lens.width + column.long()
    assert first.amax() > 1 << 24
    assert torch.equal(places, torch.stack((first, first + 1, first + lens.width, first + lens.width + 1)))
