"""Meshes of 16-bit integers: what they lose, and that they are drawn as the meshes of the same numbers."""

from dataclasses import replace

import pytest
import torch

from rasterizer.cameras.camera import look_at, orbit_camera
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.quantized import QuantizedMesh, quantize
from rasterizer.meshes.sample_meshes import trefoil_knot
from rasterizer.rendering.quantized import rasterize_quantized_mesh
from rasterizer.rendering.raster import rasterize_mesh

CAMERAS = [
    orbit_camera(30, 20),
    orbit_camera(200, -40, ortho_scale=None),
    look_at((2.0, 1.5, 2.5), (0.1, 0.0, 0.0), half_height=1.2),
    look_at((1.0, 0.4, 2.0), (0.0, 0.0, 0.0)),
    look_at((0.3, 0.1, 0.0), (1.0, 0.0, 0.0)),  # from within its box
]


def knot() -> Mesh:
    mesh = trefoil_knot(60, 12)
    return replace(mesh, vertices=mesh.vertices * torch.tensor([3.0, 1.0, 0.5]) + torch.tensor([5.0, -2.0, 0.25]))


def floats(mesh: QuantizedMesh) -> Mesh:
    return Mesh(mesh.vertices(), mesh.faces, mesh.float_uvs())


def test_the_error_is_what_is_said_of_it() -> None:
    mesh = knot()
    small = quantize(mesh)
    assert small.scale == pytest.approx(float((mesh.bounds()[1] - mesh.bounds()[0]).max()) / 65534)
    error = (small.vertices() - mesh.vertices).abs().max()
    assert small.scale * 0.3 < error <= small.scale * 0.51 + 5e-7  # and what float32 has to round at 5
    uvs = (small.float_uvs() - mesh.uvs).abs().max()
    assert small.uv_step * 0.3 < uvs <= small.uv_step * 0.51
    assert small.nbytes == 10 * len(mesh.vertices)
    assert torch.equal(small.to("cpu").vertices(), small.vertices())


@pytest.mark.parametrize("camera", CAMERAS)
def test_it_is_drawn_as_the_same_numbers_as_floats_are(camera) -> None:
    mesh = quantize(knot())
    shift = torch.tensor(mesh.centre).tolist()
    if not camera.normalized:
        camera = replace(camera, position=tuple(p + s for p, s in zip(camera.position, shift, strict=True)))
    drawn = rasterize_quantized_mesh(mesh, [camera, CAMERAS[0]], (150, 200))
    want = rasterize_mesh(floats(mesh), [camera, CAMERAS[0]], (150, 200))
    there = want.findices[:, 0] > 0
    assert there[0].sum() > 500
    apart = (drawn.findices != want.findices[:, 0]).flatten(1).float().mean(1)
    assert apart.max() < 2e-3  # on edges
    same = (drawn.findices == want.findices[:, 0]) & there
    torch.testing.assert_close(drawn.barycentric[same], want.barycentric[:, 0][same], rtol=0, atol=2e-3)


def test_the_uv_layout() -> None:
    mesh = quantize(knot())
    drawn = rasterize_quantized_mesh(mesh, resolution=(300, 200), space="uv")
    want = rasterize_mesh(floats(mesh), resolution=(300, 200), space="uv")
    assert (drawn.findices != want.findices[:, 0]).float().mean() < 2e-3 and (drawn.findices > 0).float().mean() > 0.9


def test_uvs_outside_the_square_stay_floats() -> None:
    mesh = knot()
    small = quantize(replace(mesh, uvs=mesh.uvs * 2))
    assert small.uvs is None and small.float_uvs() is None
    with pytest.raises(ValueError, match="has no UVs of integers"):
        rasterize_quantized_mesh(small, space="uv")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    mesh = knot()
    vertices = mesh.vertices.clone()
    vertices[3, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantize(replace(mesh, vertices=vertices))


def test_a_point_has_a_scale_all_the_same() -> None:
    mesh = Mesh(torch.full((3, 3), 7.0), torch.tensor([[0, 1, 2]], dtype=torch.int32))
    assert torch.equal(quantize(mesh).vertices(), mesh.vertices)
