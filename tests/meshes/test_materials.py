"""Names, normal maps and occlusion: what files say of a material is read, joined, written and read again."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from rasterizer.meshes.files import from_trimesh, load_mesh, load_mesh_data, save_mesh, to_trimesh
from rasterizer.meshes.mesh import TEXTURES, Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from tests.fuzz.mesh_seeds import document, embedded, glb, with_parts


def dressed(seed: int = 0, **changes: Any) -> Mesh:
    """The torus with every texture, each of another size, and names."""
    made = torch.Generator().manual_seed(seed)
    images = {name: (torch.rand(8 << n, 16, 3, generator=made) * 255).round() / 255 for n, name in enumerate(TEXTURES)}
    named = {"name": "Büste α", "material": "Dark wood", "occlusion_in_mr": True}
    return replace(sample_mesh("torus"), **images, **{**named, **changes})


def header_of(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])


def same_images(found: Mesh, mesh: Mesh) -> None:
    for name in TEXTURES:
        torch.testing.assert_close(getattr(found, name), getattr(mesh, name), rtol=0, atol=1e-6)
    assert found.occlusion_in_mr == mesh.occlusion_in_mr


@pytest.mark.parametrize("occluded", [False, True])
def test_glb_brings_back_names_and_pictures(tmp_path: Path, occluded: bool) -> None:
    mesh = dressed(occlusion_in_mr=occluded)
    for _ in range(2):
        save_mesh(mesh, tmp_path / "file.glb")
        mesh = load_mesh(tmp_path / "file.glb")
        assert (mesh.name, mesh.material) == ("Büste α", "Dark wood")
    same_images(mesh, dressed(occlusion_in_mr=occluded))
    header = header_of(tmp_path / "file.glb")
    assert [entry["name"] for entry in header["meshes"]] == ["Büste α"]
    assert "Büste α" in [node["name"] for node in header["nodes"]]
    assert [entry["name"] for entry in header["materials"]] == ["Dark wood"]
    assert not header["meshes"][0].get("extras", {}).get("name")
    assert len(header["images"]) == 3, "a picture is there twice"


def test_what_a_message_quotes_of_a_file_stays_within_its_line(tmp_path: Path) -> None:
    header, data = document()
    del header["buffers"][0]["uri"]
    header["images"] = [{"uri": "gone\x1b[2J\n ERROR: all is lost.png", "name": "skin\r\n\u202eERROR"}]
    header["textures"] = [{"source": 0}]
    header["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    for primitive in header["meshes"][0]["primitives"]:
        primitive["material"] = 0
    warnings: list[str] = []
    assert load_mesh_data(glb(json.dumps(header).encode(), data), ".glb", on_warning=warnings.append).texture is None
    header["materials"][0]["normalTexture"] = {"index": 0, "scale": "\x1b[2J\n"}
    with pytest.raises(ValueError, match="its normal scale is") as refused:
        load_mesh_data(glb(json.dumps(header).encode(), data), ".glb")
    assert len(warnings) == 1 and "'skin ERROR'" in warnings[0]
    assert all(text.isprintable() for text in (*warnings, str(refused.value)))


def test_a_mesh_without_names_gets_the_files(tmp_path: Path) -> None:
    save_mesh(dressed(name="", material=""), tmp_path / "vase.obj")
    assert load_mesh(tmp_path / "vase.obj").name == "vase"
    save_mesh(dressed(name="", material=""), tmp_path / "jug.glb")
    found = load_mesh(tmp_path / "jug.glb")
    assert (found.name, found.material) == ("jug", "")


def test_obj_brings_back_names_and_names_the_normal_map(tmp_path: Path) -> None:
    files = save_mesh(dressed(), tmp_path / "file.obj")
    found = load_mesh(tmp_path / "file.obj")
    assert (found.name, found.material) == ("Büste α", "Dark wood")
    lines = (tmp_path / "file.mtl").read_text(encoding="utf-8").splitlines()
    assert "newmtl Dark wood" in lines and "norm file_normal.png" in lines and "map_Bump file_normal.png" in lines
    assert tmp_path / "file_normal.png" in files
    normals = np.asarray(Image.open(tmp_path / "file_normal.png")) / 255
    np.testing.assert_allclose(normals, dressed().normal_map.numpy(), atol=1e-6)


def test_through_trimesh_and_back() -> None:
    found = from_trimesh(to_trimesh(dressed()))
    assert (found.name, found.material) == ("Büste α", "Dark wood")
    same_images(found, dressed())


@pytest.mark.parametrize("name", ["a\nb\x00c", "x" * 5000, "geometry_0", "world", "\ud800", " ", "o\u2028v 0 0 0"])
def test_names_of_strangers_are_one_line(tmp_path: Path, name: str) -> None:
    for suffix in (".glb", ".obj"):
        save_mesh(dressed(name=name, material=name), tmp_path / f"file{suffix}")
        found = load_mesh(tmp_path / f"file{suffix}")
        for text in (found.name, found.material):
            assert len(text) <= 200 and (text.isprintable() and text.encode()) or text == ""
        assert len(found.faces) == len(dressed().faces)


def scene_of(names: list[tuple[str | None, str | None]], root: str | None = None) -> bytes:
    """A GLB of triangles, each with the names of its mesh and its material, under one root if that has a name."""
    header, data = document()
    data = embedded(header, data, with_parts({}), "views")
    del header["buffers"][0]["uri"]

    def called(name: str | None) -> dict[str, Any]:
        return {} if name is None else {"name": name}

    primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2}
    meshes = [{"primitives": [primitive | {"material": n}], **called(name)} for n, (name, _) in enumerate(names)]
    materials = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, **called(name)} for _, name in names]
    nodes = [{"mesh": n} for n in range(len(names))]
    roots = list(range(len(names)))
    if root is not None:
        nodes, roots = [*nodes, {"name": root, "children": roots}], [len(names)]
    header.update(meshes=meshes, materials=materials, nodes=nodes, scenes=[{"nodes": roots}])
    return glb(json.dumps(header).encode(), data)


@pytest.mark.parametrize(
    ("names", "root", "expected"),
    [
        ([("Chair", "Wood")], None, ("Chair", "Wood")),
        ([("Chair", "Wood"), ("Chair", "Wood")], "Room", ("Chair", "Wood")),
        ([("Seat", "Wood"), ("Leg", "Steel")], "Chair", ("Chair", "")),
        ([("Seat", "Wood"), ("Leg", "Wood")], None, ("given", "Wood")),
        ([("Seat", None), ("Leg", "Wood")], "world", ("given", "")),
        ([(None, None)], "Chair", ("Chair", "")),
    ],
)
def test_which_names_of_a_scene_are_taken(names: Any, root: str | None, expected: tuple[str, str]) -> None:
    found = load_mesh_data(scene_of(names, root), ".glb", name="given")
    assert (found.name, found.material) == expected


def picture(texels: Any, size: tuple[int, int] = (4, 4)) -> Image.Image:
    return Image.fromarray(np.broadcast_to(np.asarray(texels, np.uint8), (*size, 3)).copy())


def gltf(material: dict[str, Any], images: list[Image.Image], parts: int = 1, **others: Any) -> bytes:
    """A GLB of squares beside one another with ``material`` on the first, and a plain one on those after it."""
    header, data = document()
    for name in ("images", "textures", "samplers"):
        header.pop(name)
    del header["buffers"][0]["uri"]
    header["images"] = []
    for image in images:
        file = io.BytesIO()
        image.save(file, "PNG")
        header["images"].append({"bufferView": len(header["bufferViews"]), "mimeType": "image/png"})
        header["bufferViews"].append({"buffer": 0, "byteOffset": len(data), "byteLength": len(file.getvalue())})
        data += file.getvalue() + b"\0" * (-len(file.getvalue()) % 4)
    header["buffers"][0]["byteLength"] = len(data)
    header["textures"] = [{"source": number} for number in range(len(images))]
    primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1, "TEXCOORD_1": 1}, "indices": 2}
    header["meshes"] = [{"primitives": [primitive | {"material": min(n, 1)} for n in range(parts)]}]
    header["materials"] = [material, others or {"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}]
    header.update(nodes=[{"mesh": 0}], scenes=[{"nodes": [0]}])
    return glb(json.dumps(header).encode(), data)


def texels(image: torch.Tensor) -> list[list[int]]:
    """The values that an image consists of, as bytes."""
    return torch.unique((image * 255).round().int().flatten(0, 1), dim=0).tolist()


class TestOcclusion:
    ORM = {"metallicRoughnessTexture": {"index": 0}}

    def test_shared_picture(self) -> None:
        material = {"pbrMetallicRoughness": self.ORM, "occlusionTexture": {"index": 0}}
        found = load_mesh_data(gltf(material, [picture([10, 20, 30])]), ".glb")
        assert found.occlusion_in_mr and texels(found.metallic_roughness) == [[10, 20, 30]]

    def test_picture_of_its_own_goes_into_red(self) -> None:
        material = {"pbrMetallicRoughness": self.ORM, "occlusionTexture": {"index": 1}}
        pictures = [picture([10, 20, 30]), picture([100, 5, 5], (8, 2))]
        found = load_mesh_data(gltf(material, pictures), ".glb")
        assert found.occlusion_in_mr and found.metallic_roughness.shape == (8, 4, 3)
        assert texels(found.metallic_roughness) == [[100, 20, 30]]

    def test_strength_and_factors(self) -> None:
        material = {
            "pbrMetallicRoughness": {**self.ORM, "roughnessFactor": 0.5, "metallicFactor": 0.0},
            "occlusionTexture": {"index": 0, "strength": 0.5},
        }
        found = load_mesh_data(gltf(material, [picture([55, 20, 30])]), ".glb")
        assert texels(found.metallic_roughness) == [[155, 10, 0]]  # 1 + 0.5 (55 / 255 - 1)

    def test_alone_it_keeps_the_factors(self) -> None:
        material = {"pbrMetallicRoughness": {"roughnessFactor": 0.2}, "occlusionTexture": {"index": 0}}
        found = load_mesh_data(gltf(material, [picture([55, 0, 0])]), ".glb")
        assert found.occlusion_in_mr and texels(found.metallic_roughness) == [[55, 51, 0]]

    def test_without_it_red_is_what_the_picture_has(self) -> None:
        found = load_mesh_data(gltf({"pbrMetallicRoughness": self.ORM}, [picture([10, 20, 30])]), ".glb")
        assert not found.occlusion_in_mr and texels(found.metallic_roughness) == [[10, 20, 30]]

    def test_other_parts_are_open(self) -> None:
        material = {"pbrMetallicRoughness": self.ORM, "occlusionTexture": {"index": 0}}
        found = load_mesh_data(gltf(material, [picture([10, 20, 30])], parts=2), ".glb")
        assert {tuple(row) for row in texels(found.metallic_roughness)} == {(0, 0, 0), (10, 20, 30), (255, 255, 0)}

    def test_on_other_uvs_it_is_left_out(self) -> None:
        material = {"pbrMetallicRoughness": self.ORM, "occlusionTexture": {"index": 1, "texCoord": 1}}
        said: list[str] = []
        data = gltf(material, [picture([10, 20, 30]), picture([0, 0, 0])])
        found = load_mesh_data(data, ".glb", on_warning=said.append)
        assert not found.occlusion_in_mr and "occlusion on other UVs" in said[0]

    @pytest.mark.parametrize("strength", ["1", None, float("inf"), [1], True])
    def test_strength_that_is_none(self, strength: Any) -> None:
        material = {"pbrMetallicRoughness": self.ORM, "occlusionTexture": {"index": 0, "strength": strength}}
        with pytest.raises(ValueError, match="occlusion strength is .*expected a number"):
            load_mesh_data(gltf(material, [picture([10, 20, 30])]), ".glb")


class TestNormalMap:
    def test_read_and_scaled(self) -> None:
        normal = np.array([0.6, 0.0, 0.8])
        coded = np.rint((normal + 1) * 127.5)
        material = {"normalTexture": {"index": 0}}
        found = load_mesh_data(gltf(material, [picture(coded)]), ".glb")
        assert texels(found.normal_map) == [coded.astype(int).tolist()] and texels(found.texture) == [[255, 255, 255]]
        material["normalTexture"]["scale"] = 0.5
        halved = load_mesh_data(gltf(material, [picture(coded)]), ".glb").normal_map[0, 0] * 2 - 1
        expected = torch.tensor([0.3, 0.0, 0.8]) / (0.3**2 + 0.8**2) ** 0.5
        torch.testing.assert_close(halved, expected, rtol=0, atol=0.01)

    def test_other_parts_are_flat(self) -> None:
        material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "normalTexture": {"index": 1}}
        pictures = [picture([9, 9, 9], (4, 8)), picture([200, 128, 220], (2, 2))]
        found = load_mesh_data(gltf(material, pictures, parts=2), ".glb")
        assert found.normal_map.shape == found.texture.shape
        assert {tuple(row) for row in texels(found.normal_map)} == {(0, 0, 0), (200, 128, 220), (128, 128, 255)}


class TestSurfaceOfNumbers:
    BASE = {"baseColorTexture": {"index": 0}, "metallicFactor": 1.0, "roughnessFactor": 0.2}

    def test_is_kept_beside_a_texture(self, tmp_path: Path) -> None:
        found = load_mesh_data(gltf({"pbrMetallicRoughness": self.BASE}, [picture([9, 9, 9])]), ".glb")
        save_mesh(found, tmp_path / "chrome.glb")
        again = load_mesh(tmp_path / "chrome.glb")
        assert texels(again.metallic_roughness) == [[255, 51, 255]] and again.metallic_roughness.shape == (1, 1, 3)

    def test_that_differs_does_not_multiply_the_base_colour(self) -> None:
        other = {"pbrMetallicRoughness": {**self.BASE, "roughnessFactor": 0.9}}
        found = load_mesh_data(gltf({"pbrMetallicRoughness": self.BASE}, [picture([9, 9, 9])], 2, **other), ".glb")
        assert found.metallic_roughness is None and found.texture.shape == (4, 4, 3)


def test_from_memory_nothing_beside_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = with_parts({})
    header, data = document()
    for name, content in {**files, "mesh.bin": data}.items():
        (tmp_path / name).write_bytes(content)
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match="mesh data 'x': .*'mesh.bin' is a file of its own.*GLB"):
        load_mesh_data(text, ".gltf", name="x")
    assert len(load_mesh_data(text, ".gltf", path=tmp_path / "any.gltf").faces)
    said: list[str] = []
    lines = b"mtllib a.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n"
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd base.png\n")
    assert load_mesh_data(lines, ".obj", on_warning=said.append).texture is None
    assert "a.mtl" in said[0] and "file of its own" in said[0]


@pytest.mark.parametrize("suffix", [".fbx", ".USDZ", ".splat", ".xyz", ""])
def test_other_formats_are_answered_with_what_to_do(suffix: str) -> None:
    with pytest.raises(ValueError, match=rf"found suffix '{suffix}', expected one of .glb.*\. \w+.*\.") as found:
        load_mesh_data(b"", suffix)
    assert ("Blender" in str(found.value)) == (suffix in (".fbx", ".USDZ"))


def test_trimesh_scene_of_two_keeps_shared_material() -> None:
    material = trimesh.visual.material.PBRMaterial(name="Clay", baseColorFactor=[9, 9, 9, 255])
    parts = [trimesh.creation.box(transform=np.diag([1.0, 1, n + 1, 1])) for n in range(2)]
    for part in parts:
        part.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(part.vertices), 2)), material=material)
    assert from_trimesh(trimesh.Scene(parts)).material == "Clay"
