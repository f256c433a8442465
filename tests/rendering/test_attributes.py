"""Attribute images: Hunyuan3D's own maps, encodings, colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.pictures.colors import linear_to_srgb
from rasterizer.rendering.attributes import ATTRIBUTES, attribute_image, face_colors
from rasterizer.rendering.raster import Raster, rasterize_mesh
from rasterizer.runtime.policy import GPU, force_policy
from tests.support.golden import load_golden


@pytest.fixture(scope="module")
def hunyuan() -> tuple[dict[str, np.ndarray], Raster]:
    """Maps that Hunyuan3D's MeshRender made on the native module, and our raster of the same six views."""
    golden = load_golden("hy3dgen_maps")
    mesh = Mesh(
        torch.from_numpy(golden["vertices"]).float(),
        torch.from_numpy(golden["faces"]).int(),
        torch.from_numpy(golden["uv"]).float(),
    )
    mesh = replace(mesh, normals=mesh.vertex_normals(weld=False))  # its normals are smooth within a chart only
    cameras = [orbit_camera(float(a), float(e)) for a, e in zip(golden["azim"], golden["elev"], strict=True)]
    size = int(golden["size"])
    return golden, rasterize_mesh(mesh, cameras, (size, size))


@pytest.mark.parametrize(
    ("attribute", "name"), [("position", "position"), ("normal", "normal_world"), ("depth", "depth")]
)
def test_hunyuan3d_conditioning_maps(hunyuan: tuple[dict, Raster], attribute: str, name: str) -> None:
    golden, raster = hunyuan
    image = attribute_image(raster, attribute)[:, 0].numpy()
    want = golden[name]
    assert (want < 0.99).any()
    np.testing.assert_allclose(image[..., : want.shape[-1]], want, rtol=0, atol=2e-5)


@pytest.fixture(scope="module")
def torus() -> Raster:
    """The torus from the front and from the side."""
    mesh = replace(sample_mesh("torus"), normals=None)
    colors = torch.rand(len(mesh.vertices), 4, generator=torch.Generator().manual_seed(0))
    return rasterize_mesh(replace(mesh, vertex_colors=colors), [orbit_camera(0, 0), orbit_camera(90, 0)], (64, 64))


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("encoding", ["hunyuan3d", "world", "camera"])
def test_every_attribute_is_a_picture(torus: Raster, attribute: str, encoding: str) -> None:
    image = attribute_image(torus, attribute, encoding=encoding, background=(0.25, 0.5, 0.75))
    assert image.shape == (2, 1, 64, 64, 3) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1
    drawn = torus.findices > 0
    assert image[drawn].std() > 0.01
    empty = [0.0, 0.0, 0.0] if attribute == "depth" else [0.25, 0.5, 0.75]
    assert (image[~drawn] == torch.tensor(empty)).all()


def test_normals_face_the_camera_and_flat_is_constant_on_a_face(torus: Raster) -> None:
    drawn = torus.findices > 0
    smooth = attribute_image(torus, "normal", encoding="camera")
    assert (smooth[..., 2][drawn] > 0.45).all()  # toward the camera, silhouettes aside
    raw = attribute_image(torus, "normal", encoding="raw")
    torch.testing.assert_close(raw[drawn].norm(dim=-1), torch.ones(int(drawn.sum())), rtol=0, atol=1e-5)
    flat = attribute_image(torus, "normal", "flat", "raw")
    face = int(torus.findices[0, 0, 32].max())
    of_face = flat[torus.findices == face]
    assert len(of_face) and (of_face == of_face[0]).all()
    torch.testing.assert_close(of_face[0], torus.mesh.face_normals()[face - 1])


def test_raw_numbers(torus: Raster) -> None:
    drawn = torus.findices > 0
    position = attribute_image(torus, "position", encoding="raw", background=(0, 0, 0))[drawn]
    low, high = torus.mesh.bounds()
    assert (position >= low - 1e-6).all() and (position <= high + 1e-6).all()
    assert torch.equal(attribute_image(torus, "face id", encoding="raw")[..., 0][drawn], torus.findices[drawn].float())
    distance = attribute_image(torus, "depth", encoding="raw")[..., 0]
    assert torch.equal(distance[drawn], torus.distance()[drawn])
    assert 1.45 - 0.575 - 1e-4 < distance[drawn].min() < distance[drawn].max() < 1.45 + 0.575
    unit = attribute_image(torus, "depth")[..., 0]
    nearest = distance.masked_fill(~drawn, 9).flatten(1).argmin(dim=1)
    assert (unit.flatten(1).gather(1, nearest[:, None]) == 1).all()


def test_missing_attributes_are_named(torus: Raster) -> None:
    bare = replace(torus, mesh=Mesh(torus.mesh.vertices, torus.mesh.faces))
    for attribute, words in (
        ("uv", "no UV"),
        ("texture", "'texture' but the mesh has none"),
        ("vertex color", "has none"),
    ):
        with pytest.raises(ValueError, match=words):
            attribute_image(bare, attribute)
    flat = rasterize_mesh(torus.mesh, None, (32, 32), space="uv")
    with pytest.raises(ValueError, match="'camera' but the raster is in UV space"):
        attribute_image(flat, "normal", encoding="camera")
    for change in ({"attribute": "albedo"}, {"shading": "phong"}, {"encoding": "opengl"}):
        with pytest.raises(ValueError, match=f"{next(iter(change))}: is .* expected one of"):
            attribute_image(torus, **{"attribute": "normal", **change})


def test_colours() -> None:
    colors = face_colors(torch.arange(1000, dtype=torch.int32))
    assert not colors[0].any() and (colors[1:].amax(dim=1) > 0.1).all()
    assert len(colors.unique(dim=0)) > 990
    torch.testing.assert_close(linear_to_srgb(torch.tensor([0.0, 0.0031308, 0.2140411, 1.0, 2.0])),
                               torch.tensor([0.0, 0.04045, 0.5, 1.0, 1.0]), rtol=0, atol=1e-4)  # fmt: skip


@pytest.mark.parametrize("attribute", ["position", "normal", "depth", "texture", "face id"])
def test_views_that_are_worked_on_together_are_as_each_alone(attribute: str) -> None:
    mesh = sample_mesh("torus")
    cameras = [orbit_camera(angle, 20, ortho_scale=scale) for angle, scale in ((0, 1.2), (50, 1.0), (200, None))]
    raster = rasterize_mesh(mesh, cameras, (40, 50), layers=2)
    for encoding in ("hunyuan3d", "camera"):
        with force_policy(GPU):
            together = attribute_image(raster, attribute, encoding=encoding)
        alone = [attribute_image(raster.view(number), attribute, encoding=encoding) for number in range(3)]
        torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)
        assert together.std() > 0.05
