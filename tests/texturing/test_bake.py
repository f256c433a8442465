"""Baking: colours arrive where they belong, from the views that show them, and from no other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from rasterizer.cameras.camera import Camera, look_at, orbit_camera
from rasterizer.diagnostics.fields import averaged
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.runtime.policy import force_policy
from rasterizer.texturing import Texels, bake_views
from rasterizer.texturing.bake.corners import closest
from tests.support.policies import POLICIES

SIZE = 256
SIX = [(0, 0, 1.0), (90, 0, 0.1), (180, 0, 0.5), (270, 0, 0.1), (0, 90, 0.05), (180, -90, 0.05)]


def field(points: Tensor) -> Tensor:
    """A smooth colour for every point of space."""
    return 0.5 + 0.4 * torch.sin(5 * points + torch.arange(3.0).to(points))


def photograph(mesh: Mesh, cameras: list[Camera], size: tuple[int, int], background: float = 1.0) -> Tensor:
    """Pictures of the mesh in that colour."""
    raster = rasterize_mesh(mesh, cameras, size)
    seen = (raster.findices[:, 0] > 0)[..., None]
    return torch.where(seen, field(raster.interpolate(mesh.vertices)[:, 0]), background)


def truth(mesh: Mesh, size: int) -> Tensor:
    texels = Texels.of(mesh, (size, size))
    return texels.image(field(texels.interpolate(mesh.vertices)))


def psnr(found: Tensor, wanted: Tensor) -> float:
    return -10 * math.log10(float(((found - wanted) ** 2).mean()))


def orbit(**changes: object) -> list[Camera]:
    return [orbit_camera(azimuth, elevation, weight=weight, **changes) for azimuth, elevation, weight in SIX]


def moved_closer() -> list[Camera]:
    """Cameras of a viewer, looking at the mesh as it is, perspective and orthographic."""
    return [
        look_at((0.0, 0.5, 3.0), (0.0, 0.0, 0.0), fov=45),
        look_at((-3.0, 0.2, -1.0), (0.0, 0.0, 0.0), half_height=1.2),
        look_at((2.5, -1.0, -2.0), (0.0, 0.1, 0.0), fov=50),
    ]


@pytest.mark.parametrize("name", ["trefoil knot", "torus"])
@pytest.mark.parametrize(
    ("cameras", "size", "share", "quality"),
    [
        (orbit(), (SIZE, SIZE), 0.85, 58),
        (orbit(ortho_scale=None), (SIZE, SIZE), 0.75, 55),
        (orbit(), (160, 288), 0.8, 50),
        (moved_closer(), (SIZE, SIZE), 0.6, 55),
    ],
    ids=["orthographic", "perspective", "wide", "viewer"],
)
def test_colors_arrive_where_they_belong(
    name: str, cameras: list[Camera], size: tuple[int, int], share: float, quality: float, device: torch.device
) -> None:
    mesh = sample_mesh(name).to(device)
    baked = bake_views(mesh, photograph(mesh, cameras, size), cameras, SIZE)
    wanted = truth(mesh, SIZE)
    assert float(baked.painted.sum() / baked.covered.sum()) > share
    assert psnr(baked.texture[baked.painted], wanted[baked.painted]) > quality
    assert not (baked.painted & ~baked.covered).any()
    assert (baked.texture[~baked.painted] == 0).all()
    assert 0.9 < baked.confidence.max() <= 1 and (baked.confidence[~baked.painted] == 0).all()


@pytest.mark.parametrize("kind", ["gpu", "portable"])
def test_the_same_in_chunks_of_another_size(kind: str) -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = photograph(mesh, cameras, (128, 128))
    whole = bake_views(mesh, images, cameras, 192)
    with force_policy(replace(POLICIES[kind], chunk=1 << 12)):
        parts = bake_views(mesh, images, cameras, 192)
    torch.testing.assert_close(parts.texture, whole.texture, rtol=0, atol=1e-5)
    assert torch.equal(parts.painted, whole.painted)


def test_channels_do_not_mix_and_any_number_goes() -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = photograph(mesh, cameras, (96, 96))
    many = torch.cat((images, 1 - images, images[..., :1]), dim=-1)
    one, all_seven = bake_views(mesh, images, cameras, 128), bake_views(mesh, many, cameras, 128)
    assert all_seven.texture.shape == (128, 128, 7)
    torch.testing.assert_close(all_seven.texture[..., :3], one.texture)
    wanted = (1 - one.texture) * one.painted[..., None]
    torch.testing.assert_close(all_seven.texture[..., 3:6], wanted, rtol=0, atol=1e-5)


def plates(gap: float) -> Mesh:
    """Two unit squares that face +Z, the far one behind the near; the near one has the left half of the texture."""
    corner = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    near = torch.cat((corner * 0.5, torch.full((4, 1), gap)), dim=1)
    far = torch.cat((corner, torch.zeros(4, 1)), dim=1)
    uv = (corner + 0.5) * torch.tensor([0.46, 0.96]) + 0.02
    face = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    return Mesh(torch.cat((near, far)), torch.cat((face, face + 4)), uvs=torch.cat((uv, uv + torch.tensor([0.5, 0.0]))))


@pytest.mark.parametrize("gap", [0.02, 0.3])
def test_what_is_hidden_takes_no_color(gap: float) -> None:
    mesh, camera = plates(gap), [look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.6)]
    raster = rasterize_mesh(mesh, camera, (200, 200))
    near = ((raster.findices[:, 0] > 0) & (raster.findices[:, 0] <= 2))[..., None]
    images = torch.where(near, torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    baked = bake_views(mesh, images, camera, 128)
    left, right = baked.painted.clone(), baked.painted.clone()
    left[:, 64:], right[:, :64] = False, False
    assert (baked.texture[left] == torch.tensor([1.0, 0.0, 0.0])).all()
    assert (baked.texture[right] == torch.tensor([0.0, 0.0, 1.0])).all()
    # The near plate hides a quarter of the far one.
    hidden = 1 - float(right.sum() / (baked.covered.sum() / 2))
    assert hidden == pytest.approx(0.25, abs=0.03)


def antialiased(mesh: Mesh, cameras: list[Camera], size: int, colors: Tensor, background: float) -> Tensor:
    """Pictures of a mesh with a colour ``[F, 3]`` for every face, as most are: pixels show the mean of their area."""
    fine = 3 * (size - 1) + 1
    raster = rasterize_mesh(mesh, cameras, (fine, fine))
    face = raster.findices[:, 0].long()
    return averaged(torch.where((face > 0)[..., None], colors[(face - 1).clamp(min=0)], background), 3)


@pytest.mark.parametrize("name", ["trefoil knot", "torus"])
def test_background_that_pixels_at_a_silhouette_hold_does_not_bleed_in(name: str) -> None:
    mesh, cameras = sample_mesh(name), orbit()
    images = antialiased(mesh, cameras, SIZE, torch.full((len(mesh.faces), 3), 0.25), 1.0)
    assert ((images > 0.3) & (images < 0.95)).any(dim=-1).sum() > 1000
    baked = bake_views(mesh, images, cameras, SIZE)
    assert float(baked.painted.sum() / baked.covered.sum()) > 0.75
    torch.testing.assert_close(baked.texture[baked.painted], torch.full((int(baked.painted.sum()), 3), 0.25))


def test_what_lies_in_front_does_not_bleed_in() -> None:
    mesh, camera = plates(0.3), [look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.6)]
    colors = torch.tensor([[1.0, 0.0, 0.0]] * 2 + [[0.0, 0.0, 1.0]] * 2)
    baked = bake_views(mesh, antialiased(mesh, camera, 203, colors, 0.5), camera, 128)
    left, right = baked.painted.clone(), baked.painted.clone()
    left[:, 64:], right[:, :64] = False, False
    assert left.sum() > 3000 and right.sum() > 2000
    torch.testing.assert_close(baked.texture[left], colors[:1].expand(int(left.sum()), 3))
    torch.testing.assert_close(baked.texture[right], colors[2:3].expand(int(right.sum()), 3))


def test_a_face_seen_edge_on_takes_no_color_of_others() -> None:
    # A step whose tread faces the camera and whose riser does not; the normal they share at the edge hides that.
    vertices = torch.tensor([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.0, -0.5], [-0.5, 0.0, -0.5]])
    vertices = torch.cat((vertices, torch.tensor([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0]])))
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 4, 5], [0, 5, 1]], dtype=torch.int32)
    uvs = torch.stack((vertices[:, 0] + 0.5, (vertices[:, 1] - vertices[:, 2]) / 1.1 + 0.5), dim=1)
    mesh = Mesh(vertices, faces, uvs=uvs)
    camera = [look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.6)]
    baked = bake_views(mesh, torch.ones(1, 256, 256, 3), camera, 512)
    texels = Texels.of(mesh, (512, 512))
    deep = texels.image(texels.interpolate(vertices)[:, 2]) < -2 / 212  # pixels; there are 212 to a unit
    smooth = texels.image(texels.interpolate(mesh.vertex_normals())[:, 2]) > 0.5
    assert (deep & smooth).sum() > 1000 and not (baked.painted & deep).any()
    assert baked.painted.sum() > 50000


def test_colors_are_taken_where_the_surface_is_closest() -> None:
    x, y = torch.tensor([0.5, 0.2]), torch.tensor([0.0, 0.7])
    # Depth 4 x^2 around its tangent at x = 0.5, in which both pixels lie 1 deeper; and a plane.
    slopes = torch.tensor([4.0, 3.0]), torch.tensor([0.0, 1.0])
    deeper = torch.tensor([1.0, 0.0])
    found_x, found_y = closest((x, y), slopes, deeper.expand(4, -1), 1.0)
    foot = (0.5 * 1 + 1.0 * 4) / (1 + 4**2)  # of the perpendicular from (0.5, 1) to the chord from (0, 0) to (1, 4)
    torch.testing.assert_close(found_x, torch.tensor([foot, 0.2]))
    torch.testing.assert_close(found_y, y)


def test_views_of_more_weight_win() -> None:
    mesh = plates(0.3)
    cameras = [look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.6)] * 2
    images = torch.stack((torch.zeros(64, 64, 3), torch.ones(64, 64, 3)))
    equal = bake_views(mesh, images, cameras, 64)
    assert equal.texture[equal.painted].mean() == pytest.approx(0.5, abs=1e-5)
    first = bake_views(mesh, images, [replace(cameras[0], weight=3.0), cameras[1]], 64)
    assert first.texture[first.painted].mean() == pytest.approx(0.25, abs=1e-5)


def test_slanting_views_count_less_and_not_at_all_beyond_the_limit() -> None:
    mesh = plates(0.3)
    angle = math.radians(60)
    slanting = look_at((3 * math.sin(angle), 0.0, 3 * math.cos(angle)), (0.0, 0.0, 0.0), half_height=0.8)
    front = look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.8)
    images = torch.stack((torch.zeros(128, 128, 3), torch.ones(128, 128, 3)))
    for exponent, share in ((0.0, 0.5), (2.0, 0.25 / 1.25), (4.0, 0.0625 / 1.0625)):
        baked = bake_views(mesh, images, [front, slanting], 64, exponent=exponent, border=1)
        middle = baked.texture[24:40, 10:22]
        assert middle.mean() == pytest.approx(share, abs=0.01)
    alone = bake_views(mesh, images[1:], [slanting], 64, max_angle=59)
    assert not alone.painted.any()


def test_views_fade_towards_edges() -> None:
    mesh, camera = plates(0.3), [look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.6)]
    narrow = bake_views(mesh, torch.ones(1, 256, 256, 3), camera, 256, border=1)
    wide = bake_views(mesh, torch.ones(1, 256, 256, 3), camera, 256, border=16)
    assert torch.equal(narrow.painted, wide.painted)
    row = wide.confidence[128, 130:190]  # from the far plate's silhouette inwards, to where the near one hides it
    row = row[row > 0][:18]
    assert (row.diff() >= -1e-6).all() and row[0] < 0.2 and row[-1] > 0.9
    assert narrow.confidence.sum() > wide.confidence.sum()


def test_masked_pixels_are_not_used() -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = photograph(mesh, cameras, (96, 96))
    masks = torch.ones(6, 96, 96)
    masks[0] = 0
    some = bake_views(mesh, images, cameras, 128, masks=masks)
    without = bake_views(mesh, images[1:], cameras[1:], 128)
    assert torch.equal(some.painted, without.painted)
    torch.testing.assert_close(some.texture, without.texture, rtol=0, atol=1e-5)


def test_progress_ends_at_one_and_can_stop_the_work() -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = photograph(mesh, cameras, (64, 64))
    shares: list[float] = []
    bake_views(mesh, images, cameras, 64, on_progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 5

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        bake_views(mesh, images, cameras, 64, on_progress=stop)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"images": torch.zeros(5, 8, 8, 3)}, r"images: found \[5, 8, 8, 3\] .* for 6 cameras"),
        ({"images": torch.zeros(6, 8, 8, 3, dtype=torch.int32)}, "images: .* floating-point"),
        ({"max_angle": 0.0}, "max_angle: is 0.0"),
        ({"border": -1}, "border: is -1"),
        ({"masks": torch.zeros(6, 8, 9)}, r"masks: found \[6, 8, 9\]"),
        ({"masks": torch.full((6, 8, 8), torch.nan)}, "masks: view 1 holds NaN or infinite pixels"),
        ({"exponent": float("nan")}, "exponent"),
        ({"mesh": replace(sample_mesh("torus"), uvs=None)}, "has no UV coordinates"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], text: str) -> None:
    values = {"mesh": sample_mesh("torus"), "images": torch.zeros(6, 8, 8, 3), "cameras": orbit(), **change}
    mesh, images, cameras = (values.pop(name) for name in ("mesh", "images", "cameras"))
    with pytest.raises(ValueError, match=text):
        bake_views(mesh, images, cameras, 64, **values)


@pytest.mark.parametrize("power", [-120, -80, -42, 64, 100, 125])
def test_meshes_of_any_size(power: int) -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = photograph(mesh, cameras, (64, 64))
    want = bake_views(mesh, images, cameras, 64)
    got = bake_views(replace(mesh, vertices=mesh.vertices * 2.0**power), images, cameras, 64)
    assert torch.equal(got.painted, want.painted) and want.painted.any()
    torch.testing.assert_close(got.texture, want.texture, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e20])
def test_sizes_that_cannot_be_baked_are_named(size: float) -> None:
    mesh, camera = sample_mesh("torus"), look_at((0.0, 0.0, 3.0), (0.0, 0.0, 0.0), half_height=0.8)
    with pytest.raises(ValueError, match="mesh: its largest coordinate is .* scale the mesh"):
        bake_views(replace(mesh, vertices=mesh.vertices * size), torch.zeros(1, 8, 8, 3), [camera], 64)


@pytest.mark.parametrize("size", [8.0, np.int64(8), (8, 8.0), np.array([8, 8]), [np.int32(8), 8]], ids=repr)
def test_texture_sizes_of_any_type(size: object) -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = torch.rand(6, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    want = bake_views(mesh, images, cameras, 8, border=2)
    got = bake_views(mesh, images.numpy(), cameras, size, border=2.0, exponent=np.float32(4.0))
    assert torch.equal(got.texture, want.texture)


@pytest.mark.parametrize("size", [8.5, 0, "8", (8, 8, 8), None], ids=repr)
def test_texture_sizes_that_are_none(size: object) -> None:
    with pytest.raises(ValueError, match="texture_size: is"):
        bake_views(sample_mesh("torus"), torch.zeros(6, 8, 8, 3), orbit(), size)


@pytest.mark.parametrize("yes", [1, 255])
def test_masks_of_whole_numbers_weigh_no_more(yes: int) -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = photograph(mesh, cameras, (64, 64))
    masks = torch.ones(6, 64, 64)
    masks[:, :30] = 0
    want = bake_views(mesh, images, cameras, 64, masks=masks)
    got = bake_views(mesh, images, cameras, 64, masks=(masks * yes).to(torch.uint8))
    assert torch.equal(got.texture, want.texture) and torch.equal(got.confidence, want.confidence)


def test_negative_views() -> None:
    mesh, cameras = sample_mesh("torus"), orbit()
    images = photograph(mesh, cameras, (64, 64))
    got = bake_views(replace(mesh, uvs=torch._neg_view(-mesh.uvs)), torch._neg_view(-images), cameras, 64, exponent=4)
    assert torch.equal(got.texture, bake_views(mesh, images, cameras, 64).texture)
    assert not bake_views(mesh, images, cameras, 64, exponent=2**70).painted.all()


def test_a_vertex_that_is_nan_looks_up_no_pixel_outside() -> None:
    mesh = sample_mesh("torus")
    vertices = mesh.vertices.clone()
    vertices[5] = torch.nan
    broken = replace(mesh, vertices=vertices)
    cameras = [orbit_camera(0, 0), orbit_camera(90, 20)]
    baked = bake_views(broken, torch.rand(2, 32, 32, 3), cameras, 64)
    assert torch.isfinite(baked.texture).all() and torch.isfinite(baked.confidence).all()
