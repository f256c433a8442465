"""Meshes written to files and read again: the same picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.files import SAVED_SUFFIXES, from_trimesh, load_mesh, save_mesh, to_trimesh
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.attributes import attribute_image
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing.apply import apply_textures

VIEWS = [orbit_camera(20, 10), orbit_camera(200, -30)]


@pytest.fixture(scope="module")
def torus() -> Mesh:
    """With base colour and metallic-roughness."""
    surface = torch.rand(8, 16, 3, generator=torch.Generator().manual_seed(0))
    return replace(sample_mesh("torus"), metallic_roughness=(surface * 255).round() / 255)


def picture(mesh: Mesh, attribute: str = "texture") -> torch.Tensor:
    return attribute_image(rasterize_mesh(mesh, VIEWS, (96, 96)), attribute)


def same_picture(found: Mesh, mesh: Mesh, attribute: str = "texture") -> None:
    difference = (picture(found, attribute) - picture(mesh, attribute)).abs()
    assert difference.mean() < 2e-3 and (difference > 0.02).float().mean() < 2e-3


@pytest.mark.parametrize("through_trimesh", [False, True])
@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_textured_round_trip(torus: Mesh, tmp_path: Path, suffix: str, through_trimesh: bool) -> None:
    path = tmp_path / "new folder" / f"my torus{suffix}"
    save_mesh(from_trimesh(to_trimesh(torus)) if through_trimesh else torus, path)
    found = load_mesh(path)
    same_picture(found, torus)
    same_picture(found, torus, "normal")
    torch.testing.assert_close(found.texture, torus.texture, rtol=0, atol=0.5 / 255 + 1e-6)
    assert not list(path.parent.glob(".*"))


def test_glb_keeps_everything(torus: Mesh, tmp_path: Path) -> None:
    colors = torch.rand(len(torus.vertices), 4, generator=torch.Generator().manual_seed(1))
    mesh = replace(torus, vertex_colors=colors)
    save_mesh(mesh, tmp_path / "torus.glb")
    found = load_mesh(tmp_path / "torus.glb")
    assert torch.equal(found.faces, mesh.faces)
    for name, tolerance in (("vertices", 0), ("uvs", 1e-6), ("normals", 1e-6), ("vertex_colors", 0.5 / 255 + 1e-6)):
        torch.testing.assert_close(getattr(found, name), getattr(mesh, name), rtol=0, atol=tolerance)
    torch.testing.assert_close(found.metallic_roughness, mesh.metallic_roughness, rtol=0, atol=1e-6)
    (geometry,) = trimesh.load(tmp_path / "torus.glb", force="scene").geometry.values()
    material = geometry.visual.material
    assert (material.metallicFactor, material.roughnessFactor) == (1, 1)
    assert material.baseColorTexture.format == material.metallicRoughnessTexture.format == "PNG"
    torch.testing.assert_close(torch.from_numpy(geometry.visual.uv[:, 1]).float(), 1 - mesh.uvs[:, 1])


def test_obj_has_its_pictures_beside_it(torus: Mesh, tmp_path: Path) -> None:
    files = save_mesh(torus, tmp_path / "a b_00001_.obj")
    stem = "a=20b_00001_"
    names = ["a b_00001_.obj", f"{stem}.mtl", f"{stem}.png", f"{stem}_roughness.png", f"{stem}_metallic.png"]
    assert [path.name for path in files] == names
    assert {path.name for path in tmp_path.iterdir()} == {*names}
    for channel, kind in ((1, "roughness"), (2, "metallic")):
        grey = np.asarray(Image.open(tmp_path / f"{stem}_{kind}.png")) / 255
        np.testing.assert_allclose(grey, torus.metallic_roughness[..., channel].numpy(), atol=1e-6)


@pytest.mark.parametrize("attributes", [(), ("uvs",), ("normals",), ("uvs", "normals"), ("vertex_colors",)])
@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_any_attributes_in_any_format(torus: Mesh, tmp_path: Path, suffix: str, attributes: tuple[str, ...]) -> None:
    full = replace(torus, vertex_colors=torch.rand(len(torus.vertices), 3))
    mesh = Mesh(full.vertices, full.faces, **{name: getattr(full, name) for name in attributes})
    save_mesh(mesh, tmp_path / f"mesh{suffix}")
    found = load_mesh(tmp_path / f"mesh{suffix}")
    corners = mesh.vertices[mesh.faces.long()]
    torch.testing.assert_close(found.vertices[found.faces.long()], corners, rtol=0, atol=1e-6)
    if suffix != ".stl":
        assert (found.normals is not None) == ("normals" in attributes)
        assert (found.vertex_colors is not None) == ("vertex_colors" in attributes)
    if "vertex_colors" in attributes and suffix != ".stl":
        torch.testing.assert_close(found.vertex_colors, mesh.vertex_colors, rtol=0, atol=0.02)


def test_ply_shows_the_texture_at_vertices(torus: Mesh, tmp_path: Path) -> None:
    save_mesh(torus, tmp_path / "torus.ply")
    found = load_mesh(tmp_path / "torus.ply")
    shown = attribute_image(rasterize_mesh(found, VIEWS, (96, 96)), "vertex color")
    assert (shown - picture(torus)).abs().mean() < 0.02


def test_other_suffixes_are_refused_and_failures_leave_nothing(torus: Mesh, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"suffix is '.fbx', expected one of .glb, .obj, .ply, .stl"):
        save_mesh(torus, tmp_path / "mesh.fbx")

    def fail(self: Path, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        save_mesh(torus, tmp_path / "mesh.glb")
    assert not list(tmp_path.iterdir())


class TestMetallicRoughness:
    """What files and trimesh objects say of the surface."""

    def material(self, size: int = 4, value: tuple[int, int, int] = (9, 100, 200), **factors: float):
        image = Image.new("RGB", (size, size), value)
        return trimesh.visual.material.PBRMaterial(metallicRoughnessTexture=image, **factors)

    def square(self, material, offset: float = 0.0) -> trimesh.Trimesh:
        corners = np.array([[-1, 1, 0], [1, 1, 0], [-1, -1, 0], [1, -1, 0]], float) + [offset, 0, 0]
        uv = np.array([[0, 1], [1, 1], [0, 0], [1, 0]], float)
        visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        return trimesh.Trimesh(corners, [[0, 2, 1], [1, 2, 3]], visual=visual, process=False)

    def test_factors_multiply_the_image(self) -> None:
        mesh = from_trimesh(self.square(self.material(roughnessFactor=0.5, metallicFactor=0.25)))
        assert (mesh.metallic_roughness[0, 0] * 255).round().tolist() == [9, 50, 50]
        mesh = from_trimesh(self.square(self.material()))
        assert (mesh.metallic_roughness[0, 0] * 255).round().tolist() == [9, 100, 200]

    def test_parts_share_an_atlas(self) -> None:
        color = Image.new("RGB", (8, 8), (10, 20, 30))
        plain = trimesh.visual.material.PBRMaterial(baseColorTexture=color, roughnessFactor=0.5)
        mesh = from_trimesh(trimesh.Scene([self.square(self.material()), self.square(plain, 5.0)]))
        assert mesh.texture.shape == mesh.metallic_roughness.shape
        for face, texels in ((0, [(255, 255, 255), (9, 100, 200)]), (2, [(10, 20, 30), (255, 128, 0)])):
            u, v = mesh.uvs[mesh.faces[face].long()].mean(dim=0).tolist()
            height, width = mesh.texture.shape[:2]
            for image, texel in zip((mesh.texture, mesh.metallic_roughness), texels, strict=True):
                assert (image[int(v * height), int(u * width)] * 255).round().tolist() == list(texel)

    def test_one_picture_with_other_factors_is_no_atlas(self) -> None:
        color = Image.new("RGB", (8, 8), (10, 20, 30))
        make = trimesh.visual.material.PBRMaterial
        parts = [self.square(make(baseColorTexture=color, roughnessFactor=f), f) for f in (0.1, 0.9)]
        mesh = from_trimesh(trimesh.Scene(parts))
        assert mesh.texture.shape == (8, 8, 3) and mesh.metallic_roughness is None


class TestApply:
    """Textures onto a mesh."""

    def test_layouts(self) -> None:
        torus = replace(sample_mesh("torus"), vertex_colors=torch.zeros(97 * 49, 3))
        color, surface = torch.rand(8, 8, 4), torch.rand(4, 4, 3)
        found = apply_textures(torus, color, surface)
        assert torch.equal(found.texture, color[..., :3]) and found.vertex_colors is None
        assert torch.equal(found.metallic_roughness[..., 1], surface[..., 1])  # roughness
        assert torch.equal(found.metallic_roughness[..., 2], surface[..., 0])  # metallic
        assert torch.equal(apply_textures(torus, color, surface, "gltf ORM").metallic_roughness, surface)
        assert apply_textures(found, color).metallic_roughness is found.metallic_roughness
        assert torus.metallic_roughness is None and torus.vertex_colors is not None

    def test_complaints(self) -> None:
        torus, color = sample_mesh("torus"), torch.rand(8, 8, 3)
        with pytest.raises(ValueError, match="has no UV coordinates"):
            apply_textures(Mesh(torus.vertices, torus.faces), color)
        with pytest.raises(ValueError, match="mr_layout: is 'RGB', expected one of hunyuan3d, gltf ORM"):
            apply_textures(torus, color, color, "RGB")
        with pytest.raises(ValueError, match=r"base_color: is \[8, 8\], expected an image"):
            apply_textures(torus, color[..., 0])
        with pytest.raises(ValueError, match=r"metallic_roughness: is \[8, 8, 1\], expected an image"):
            apply_textures(torus, color, color[..., :1])


@pytest.mark.parametrize("suffix", SAVED_SUFFIXES)
def test_tensors_that_numpy_cannot_read_at_once(torus: Mesh, tmp_path: Path, suffix: str) -> None:
    odd = replace(torus, vertices=torch._neg_view(-torus.vertices), uvs=torus.uvs.clone().requires_grad_())
    found, wanted = tmp_path / f"found{suffix}", tmp_path / f"wanted{suffix}"
    save_mesh(odd, found)
    save_mesh(torus, wanted)
    assert torch.equal(load_mesh(found).vertices, load_mesh(wanted).vertices)


@pytest.mark.parametrize("suffix", SAVED_SUFFIXES)
def test_a_face_of_no_vertex_is_not_saved(torus: Mesh, tmp_path: Path, suffix: str) -> None:
    wrong = torus.faces.clone()
    wrong[3, 1] = len(torus.vertices)
    with pytest.raises(ValueError, match="mesh faces: face 3 is .* but the mesh has"):
        save_mesh(replace(torus, faces=wrong), tmp_path / f"mesh{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_quantized_glb_takes_half_and_is_the_same_within_half_a_step(torus: Mesh, tmp_path: Path) -> None:
    colors = torch.rand(len(torus.vertices), 4, generator=torch.Generator().manual_seed(1))
    mesh = replace(torus, vertices=torus.vertices * 2.5 + 3, vertex_colors=colors, normal_map=torus.texture)
    save_mesh(mesh, tmp_path / "plain.glb")
    assert save_mesh(mesh, tmp_path / "small.glb", quantize=True) == [tmp_path / "small.glb"]
    plain, found = load_mesh(tmp_path / "plain.glb"), load_mesh(tmp_path / "small.glb")
    step = float((mesh.bounds()[1] - mesh.bounds()[0]).max()) / 65534
    assert torch.equal(found.faces, plain.faces) and found.name == plain.name and found.material == plain.material
    assert step * 0.3 < (found.vertices - mesh.vertices).abs().max() <= step * 0.51 + 5e-7
    assert 0.3 / 65535 < (found.uvs - mesh.uvs).abs().max() <= 0.51 / 65535
    assert (found.normals - mesh.normals).abs().max() < 1 / 32767
    for name in ("vertex_colors", "texture", "metallic_roughness", "normal_map"):
        assert torch.equal(getattr(found, name), getattr(plain, name)), name
    sizes = [(tmp_path / name).stat().st_size for name in ("plain.glb", "small.glb")]
    assert sizes[0] - sizes[1] == pytest.approx(len(mesh.vertices) * 12 + len(mesh.faces) * 6, abs=600)


def test_quantized_where_integers_do_not_reach(torus: Mesh, tmp_path: Path) -> None:
    mesh = Mesh(torus.vertices, torus.faces, torus.uvs * 3 - 1)
    save_mesh(mesh, tmp_path / "wide.glb", quantize=True)
    torch.testing.assert_close(load_mesh(tmp_path / "wide.glb").uvs, mesh.uvs, rtol=0, atol=1e-6)
    many = Mesh(torch.rand(70_000, 3), torch.tensor([[0, 1, 69_999]], dtype=torch.int32))
    save_mesh(many, tmp_path / "many.glb", quantize=True)
    assert load_mesh(tmp_path / "many.glb").faces.tolist() == [[0, 1, 69_999]]
    with pytest.raises(ValueError, match=r"quantize .*'.obj', expected .glb"):
        save_mesh(mesh, tmp_path / "wide.obj", quantize=True)
    broken = replace(mesh, vertices=mesh.vertices.clone().fill_(torch.nan))
    with pytest.raises(ValueError, match="NaN or infinite"):
        save_mesh(broken, tmp_path / "broken.glb", quantize=True)
    assert not (tmp_path / "broken.glb").exists()
