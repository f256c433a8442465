"""Cameras: Hunyuan3D's frame, orientation of images, perspective, and what lies behind the camera."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rasterizer.cameras.camera import Camera, look_at, orbit_camera, turned
from rasterizer.cameras.projection import DIAMETER, Frame, normalization, to_clip
from rasterizer.cameras.uv_layout import uv_to_clip
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.attributes import attribute_image
from rasterizer.rendering.raster import rasterize_mesh

AXES = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


def _ndc(camera: Camera, points: torch.Tensor) -> torch.Tensor:
    clip = to_clip(points, [camera], 101, 101)[0]
    return clip[:, :3] / clip[:, 3:]


@pytest.mark.parametrize(
    ("azimuth", "elevation", "right", "down", "toward"),
    [
        (0, 0, "+x", "-y", "+z"),
        (90, 0, "-z", "-y", "+x"),
        (180, 0, "-x", "-y", "-z"),
        (270, 0, "+z", "-y", "-x"),
        (0, 90, "+x", "+z", "+y"),
        (180, -90, "-x", "+z", "-y"),
    ],
)
def test_orientation_of_the_six_views(azimuth: int, elevation: int, right: str, down: str, toward: str) -> None:
    names = ["+x", "-x", "+y", "-y", "+z", "-z"]
    ndc = _ndc(orbit_camera(azimuth, elevation), AXES)
    assert names[int(ndc[:, 0].argmax())] == right
    assert names[int(ndc[:, 1].argmax())] == down
    assert names[int(ndc[:, 2].argmin())] == toward


def test_hunyuan3d_numbers() -> None:
    centre, scale = normalization(AXES * 3 + 5)
    assert centre.tolist() == [5, 5, 5] and float(scale) == pytest.approx(DIAMETER / 6)
    ndc = _ndc(orbit_camera(0, 0, 1.45, ortho_scale=1.2), AXES)
    assert float(ndc[0, 0]) == pytest.approx(2 * 0.575 / 1.2)
    distance = 1.45 - 0.575
    assert float(ndc[4, 2]) == pytest.approx(2 * distance / 99.9 - 100.1 / 99.9)


def test_a_frame_that_is_known_changes_nothing() -> None:
    vertices = AXES * 3 + 5
    cameras = [orbit_camera(30, 20), orbit_camera(30, 20, ortho_scale=None), look_at((9.0, 8.0, 7.0), (5.0, 5.0, 5.0))]
    frame = normalization(vertices)
    for some in (cameras, cameras[:2], cameras[2:]):
        known, found = (to_clip(vertices, some, 90, 60, given) for given in (frame, None))
        assert torch.equal(known, found)
    other = Frame(frame.centre + 1, frame.scale)
    assert not torch.equal(to_clip(vertices, cameras, 90, 60, other), to_clip(vertices, cameras, 90, 60))


class _Operators(TorchDispatchMode):
    """Counts what a GPU would be launched for."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        made = func(*args, **(kwargs or {}))
        # What lies in the CPU's own small tables has a row a camera, not one a vertex.
        large = any(isinstance(value, torch.Tensor) and value.numel() >= _MANY for value in (*args, made))
        self.launches += large and isinstance(made, torch.Tensor) and not made._is_view()
        return made


_MANY = 300


def test_few_operators_make_clip_space() -> None:
    vertices = torch.rand(_MANY, 3)
    cameras = [orbit_camera(90 * number, 0) for number in range(3)]
    with _Operators() as counted:
        to_clip(vertices, cameras, 64, 64, normalization(torch.rand(2, 3)))
    assert 10 <= counted.launches <= 24  # before it was 81; each takes a GPU's host some 10 microseconds


@pytest.mark.parametrize("elevation", [-90, -45, 0, 30, 90])
@pytest.mark.parametrize("azimuth", [0, 33, 90, 200])
def test_axes_are_perpendicular_units(azimuth: float, elevation: float) -> None:
    camera = orbit_camera(azimuth, elevation)
    axes = torch.tensor([camera.right, camera.up, camera.forward], dtype=torch.float64)
    torch.testing.assert_close(axes @ axes.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.linalg.det(axes) == pytest.approx(-1)  # right, up and forward are left-handed
    same = look_at(camera.position, (0.0, 0.0, 0.0))
    if abs(elevation) != 90:
        torch.testing.assert_close(torch.tensor([same.right, same.up, same.forward]).double(), axes, rtol=0, atol=1e-6)


def test_perspective_and_zoomed_look_at() -> None:
    camera = look_at((0, 0, 5), (0, 0, 0), fov=90.0)
    ndc = _ndc(camera, AXES)
    assert float(ndc[0, 0]) == pytest.approx(1 / 5) and float(ndc[2, 1]) == pytest.approx(-1 / 5)
    near = _ndc(camera, torch.tensor([[0.0, 0, 4], [0, 0, -4]]))
    assert near[0, 2] < near[1, 2]


def test_images_that_are_not_square_keep_their_proportions() -> None:
    clip = to_clip(AXES, [orbit_camera(0, 0)], 201, 101)[0]
    column, row = clip[0, 0] * 200 / 2, clip[3, 1] * 100 / 2
    assert float(column) == pytest.approx(float(row))


def test_faces_behind_the_near_plane_are_left_out() -> None:
    mesh = Mesh(
        vertices=torch.tensor([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0], [-1, -1, 6.0], [1, -1, 6], [0, 1, 4]]),
        faces=torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32),
    )
    raster = rasterize_mesh(mesh, [look_at((0, 0, 5), (0, 0, 0))], (64, 64))
    assert raster.info.invalid_faces == 1
    assert raster.findices.unique().tolist() == [0, 1]


def test_camera_without_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="no direction"):
        look_at((1, 2, 3), (1, 2, 3))


def test_layers_follow_each_other_and_are_sorted_by_distance() -> None:
    raster = rasterize_mesh(sample_mesh("torus"), [orbit_camera(0, 0), orbit_camera(90, 0)], (80, 80), layers=4)
    assert raster.findices.shape == (2, 4, 80, 80)
    distance = raster.distance()
    for view, surfaces in ((0, 2), (1, 4)):  # through the ring a ray meets two surfaces, edge on up to four
        drawn = raster.findices[view] > 0
        assert [bool(layer.any()) for layer in drawn] == [number < surfaces for number in range(4)]
        for number in range(surfaces - 1):
            both = drawn[number] & drawn[number + 1]
            assert both.any() and (distance[view, number + 1] >= distance[view, number])[both].all()
            assert not (drawn[number + 1] & ~drawn[number]).any()


def test_uv_space_lies_on_the_texture_texel_for_texel() -> None:
    width, height = 8, 4
    uvs = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    clip = uv_to_clip(uvs, width, height)
    columns = (clip[:, 0] * 0.5 + 0.5) * (width - 1)
    torch.testing.assert_close(columns, uvs[:, 0] * width - 0.5)
    mesh = Mesh(
        vertices=torch.cat((uvs, torch.zeros(4, 1)), dim=1),
        faces=torch.tensor([[0, 1, 2], [1, 3, 2]], dtype=torch.int32),
        uvs=uvs,
        texture=torch.rand(height, width, 3, generator=torch.Generator().manual_seed(0)),
    )
    raster = rasterize_mesh(mesh, None, (height, width), space="uv")
    assert (raster.findices > 0).all()
    torch.testing.assert_close(attribute_image(raster, "texture")[0, 0], mesh.texture, rtol=0, atol=1e-5)
    uv = attribute_image(raster, "uv")[0, 0]
    torch.testing.assert_close(uv[0, :, 0], (torch.arange(width) + 0.5) / width, rtol=0, atol=1e-6)
    assert uv[0, 0, 1] < uv[-1, 0, 1]  # row 0 is v = 0


def test_uv_space_needs_uvs_and_has_one_layer() -> None:
    torus = sample_mesh("torus")
    bare = Mesh(torus.vertices, torus.faces)
    with pytest.raises(ValueError, match="has no UV coordinates.*Unwrap it first"):
        rasterize_mesh(bare, None, (16, 16), space="uv")
    with pytest.raises(ValueError, match="layers: is 2, expected 1 in UV space"):
        rasterize_mesh(torus, None, (16, 16), space="uv", layers=2)
    raster = rasterize_mesh(torus, None, (16, 16), space="uv")
    with pytest.raises(ValueError, match="UV space"):
        raster.distance()
    assert math.isclose(float(raster.mask.max()), 1.0)


@pytest.mark.parametrize("size", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("orthographic", [False, True])
def test_a_viewer_camera_resolves_depth_at_any_scale(size: float, orthographic: bool) -> None:
    torus = sample_mesh("torus")
    mesh = Mesh(torus.vertices * size, torus.faces, torus.uvs, torus.normals)
    lens = {"half_height": 1.2 * size} if orthographic else {"fov": 40.0}
    near, far = (0.01, 1000.0) if size < 100 else (0.01, 10_000.0)
    camera = look_at((1.5 * size, 1.5 * size, 2 * size), (0, 0, 0), near=near * min(1.0, size), far=far, **lens)
    raster = rasterize_mesh(mesh, [camera], (160, 160))
    toward = attribute_image(raster, "normal", "flat", "camera")[..., 2]
    away = (toward < 0.4) & (raster.findices > 0)  # a face seen from behind has won over the one in front
    assert int((raster.findices > 0).sum()) > 2000
    assert int(away.sum()) <= 0.003 * int((raster.findices > 0).sum())


def test_a_quaternion_is_a_direction_and_a_roll() -> None:
    straight = look_at((0, 0, 5), (0, 0, 0))
    same = turned(straight, (0, 0, 0, 1))
    assert (same.right, same.up, same.forward) == ((1, 0, 0), (0, 1, 0), (0, 0, -1))
    half = math.sqrt(0.5)
    rolled = turned(straight, (0, 0, half, half))  # a quarter turn about the line of sight
    assert rolled.right == pytest.approx((0, 1, 0)) and rolled.up == pytest.approx((-1, 0, 0))
    assert rolled.forward == pytest.approx((0, 0, -1))
    down = turned(straight, (-half, 0, 0, half))
    assert down.forward == pytest.approx((0, -1, 0))
    with pytest.raises(ValueError, match="quaternion"):
        turned(straight, (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"fov": 0.0}, "fov of 0"),
        ({"fov": 180.0}, "fov of 180"),
        ({"half_height": 0.0}, "half_height is 0"),
        ({"near": 5.0, "far": 5.0}, "near 5.0 and far 5.0"),
        ({"near": float("nan")}, "near: is nan"),
        ({"half_height": "tall"}, "half_height is 'tall'"),
        ({"fov": [40.0]}, r"fov of \[40.0\]"),
        ({"far": 10**400}, "far: is 1000.*, expected a finite number"),
    ],
)
def test_numbers_no_camera_can_have(numbers: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        look_at((0, 0, 5), (0, 0, 0), **numbers)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"distance": 10**400}, "distance: is 1000"),
        ({"azimuth": "left"}, "azimuth: is 'left', expected a finite number"),
        ({"elevation": torch.tensor([1.0, 2.0])}, "elevation: is tensor"),
        ({"weight": None}, "weight: is None"),
        ({"ortho_scale": b"8"}, "ortho_scale: is b'8', expected a number above 0, or None"),
        ({"ortho_scale": -1.0}, "ortho_scale: is -1.0"),
    ],
)
def test_what_is_no_number_is_named(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        orbit_camera(**{"azimuth": 0, "elevation": 0, **change})


def test_vectors_of_something_else_are_named() -> None:
    for position in (8, (0, 0), (0, 0, "5"), (0, 0, 10**400)):
        with pytest.raises(ValueError, match="^position: is .*, expected 3 finite numbers"):
            look_at(position, (0, 0, 0))
    with pytest.raises(ValueError, match="^quaternion: is 'up', expected 4 finite numbers"):
        turned(orbit_camera(0, 0), "up")
    with pytest.raises(ValueError, match="^camera: right: is 0, expected 3 finite numbers"):
        Camera((0, 0, 1), 0, (0, 1, 0), (0, 0, -1))


def test_numbers_may_be_of_numpy_and_pytorch() -> None:
    want = orbit_camera(30, 20, 1.5)
    for number in (np.float64, np.array, torch.tensor):
        assert orbit_camera(number(30), number(20), number(1.5)) == want
    assert orbit_camera(np.uint8(30), np.int8(20), 1.5) == want
