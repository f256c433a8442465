"""Files and trimesh objects become meshes: placement, winding, UVs, colours, textures, errors."""

import base64
import io
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from rasterizer.meshes.files import SUPPORTED_SUFFIXES, from_trimesh, load_mesh, to_trimesh
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from tests.support.measures import signed_volume
from tests.support.paths import ROOT

# Texels of a 2 x 2 image: top left, top right, bottom left, bottom right.
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)
CORNERS = np.array([[RED, GREEN], [BLUE, GREY]], np.uint8)

SQUARE = [[-1, 1, 0], [1, 1, 0], [-1, -1, 0], [1, -1, 0]]
SQUARE_FACES = [[0, 2, 1], [1, 2, 3]]
SQUARE_UVS = [[0, 0], [1, 0], [0, 1], [1, 1]]
"""Corners in the order of the texels of CORNERS, v = 0 at the top."""


def image_of(texels: np.ndarray, size: int = 16) -> Image.Image:
    """Each texel enlarged, so that filters and half a texel more or less make no difference."""
    return Image.fromarray(np.repeat(np.repeat(texels, size, axis=0), size, axis=1))


def textured_square(material, offset=(0, 0, 0), uvs=SQUARE_UVS) -> trimesh.Trimesh:
    flipped = np.array(uvs, float) * [1, -1] + [0, 1]
    return trimesh.Trimesh(
        np.add(SQUARE, offset), SQUARE_FACES, visual=TextureVisuals(uv=flipped, material=material), process=False
    )


def color_at(mesh: Mesh, point) -> list[int]:
    """The texel, as bytes, under a point of the surface in the z = 0 plane: nearest, repeating."""
    point = torch.tensor(point, dtype=torch.float64)
    for face in mesh.faces.long():
        a, b, c = mesh.vertices[face, :2].double()
        st = torch.linalg.solve(torch.stack([b - a, c - a], dim=1), point - a)
        weights = torch.stack([1 - st.sum(), st[0], st[1]])
        if weights.min() >= -1e-9:
            u, v = (weights @ mesh.uvs[face].double()) % 1.0
            height, width = mesh.texture.shape[:2]
            return (mesh.texture[int(v * height), int(u * width)] * 255).round().int().tolist()
    raise AssertionError(f"no face at {point}")


def quadrants(mesh: Mesh, center=(0, 0)) -> list[list[int]]:
    """Colours in the four quarters of a square of side 2, in the order of the texels of CORNERS."""
    return [color_at(mesh, (center[0] + x, center[1] + y)) for y in (0.4, -0.6) for x in (-0.4, 0.6)]


def srgb(linear: float) -> int:
    return round(255 * (linear * 12.92 if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055))


def write_gltf(path, primitive=None, **header):
    """A glTF written by hand: the square with UVs and the texture CORNERS, except for ``primitive`` and ``header``."""
    png = io.BytesIO()
    image_of(CORNERS).save(png, "PNG")
    arrays = [
        (np.array(SQUARE, np.float32), 5126, "VEC3"),
        (np.array(SQUARE_FACES, np.uint16).ravel(), 5123, "SCALAR"),
        (np.array(SQUARE_UVS, np.float32), 5126, "VEC2"),
        (np.full((4, 2), 0.01, np.float32), 5126, "VEC2"),
        (np.array([[0.25, 0.5, 1]] * 4, np.float32), 5126, "VEC3"),
        (np.full((4, 2), 100, np.uint16), 5123, "VEC2"),
        (np.array(SQUARE, np.float32)[np.ravel(SQUARE_FACES)], 5126, "VEC3"),
        (np.array(SQUARE_UVS, np.float32)[np.ravel(SQUARE_FACES)], 5126, "VEC2"),
    ]
    blob, views, accessors = b"", [], []
    for index, (array, component, kind) in enumerate(arrays):
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": array.nbytes})
        accessors.append({"bufferView": index, "componentType": component, "count": len(array), "type": kind})
        blob += array.tobytes()

    def uri(kind, data):
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"

    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "buffers": [{"uri": uri("application/octet-stream", blob), "byteLength": len(blob)}],
        "bufferViews": views,
        "accessors": accessors,
        "images": [{"uri": uri("image/png", png.getvalue())}],
        "textures": [{"source": 0}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "meshes": [
            {"primitives": [primitive or {"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}]}
        ],
    }
    path.write_text(json.dumps({**document, **header}))
    return path


class TestScenes:
    def test_nodes_place_instances_and_mirrors_keep_the_outside_out(self, tmp_path):
        box = trimesh.creation.box((1, 1, 1))
        box.vertex_normals = box.vertices / np.linalg.norm(box.vertices, axis=1, keepdims=True)
        scene = trimesh.Scene()
        turned = trimesh.transformations.rotation_matrix(np.pi / 2, (0, 0, 1))
        turned[:3, 3] = (10, 0, 0)
        scene.add_geometry(box, geom_name="box", transform=turned @ np.diag([2.0, 1, 1, 1]))
        mirror = np.diag([-3.0, 1, 1, 1])
        mirror[:3, 3] = (-10, 0, 0)
        scene.graph.update("mirrored", matrix=mirror, geometry="box")
        scene.export(tmp_path / "two.glb")

        mesh = load_mesh(tmp_path / "two.glb")
        assert mesh.name == "box"
        assert (len(mesh.vertices), len(mesh.faces)) == (16, 24)
        low, high = mesh.bounds()
        assert low.tolist() == pytest.approx([-11.5, -1, -0.5])
        assert high.tolist() == pytest.approx([10.5, 1, 0.5])
        left = mesh.vertices[:, 0] < 0
        for part, volume in ((left, 3), (~left, 2)):
            faces = mesh.faces[part[mesh.faces[:, 0].long()]]
            center = mesh.vertices[part].mean(0)
            assert signed_volume(Mesh(mesh.vertices - center, faces)) == pytest.approx(volume, rel=1e-5)
            assert ((mesh.vertices[part] - center) * mesh.normals[part]).sum(1).min() > 0

    def test_normals_follow_a_squeeze_as_the_surface_does(self):
        square = trimesh.Trimesh(SQUARE, SQUARE_FACES, vertex_normals=[[0, 0.6, 0.8]] * 4, process=False)
        scene = trimesh.Scene()
        scene.add_geometry(square, transform=np.diag([1.0, 0.5, 1, 1]))
        slanted = np.array([0, 0.6 / 0.5, 0.8]) / np.hypot(1.2, 0.8)
        np.testing.assert_allclose(from_trimesh(scene).normals.numpy(), [slanted] * 4, rtol=1e-6)

    def test_without_file_normals_there_are_none(self, tmp_path):
        trimesh.Trimesh(SQUARE, SQUARE_FACES, process=False).export(tmp_path / "flat.glb")
        assert load_mesh(tmp_path / "flat.glb").normals is None

    def test_points_beside_a_mesh_are_left_out(self):
        scene = trimesh.Scene([trimesh.creation.box(), trimesh.PointCloud([[9.0, 9, 9]])])
        assert from_trimesh(scene).bounds()[1].tolist() == [0.5, 0.5, 0.5]


class TestGltf:
    def test_texture_is_the_right_way_up(self, tmp_path):
        mesh = load_mesh(write_gltf(tmp_path / "square.gltf"))
        assert mesh.uvs.tolist() == SQUARE_UVS
        assert mesh.faces.tolist() == SQUARE_FACES
        assert quadrants(mesh) == [list(RED), list(GREEN), list(BLUE), list(GREY)]

    def test_external_buffers_and_images(self, tmp_path):
        path = write_gltf(tmp_path / "square.gltf")
        document = json.loads(path.read_text())
        for entry, name in ((document["buffers"][0], "my data.bin"), (document["images"][0], "tex.png")):
            (tmp_path / name).write_bytes(base64.b64decode(entry["uri"].split(",")[1]))
            entry["uri"] = name.replace(" ", "%20")
        path.write_text(json.dumps(document))
        assert quadrants(load_mesh(path)) == [list(RED), list(GREEN), list(BLUE), list(GREY)]

    def test_uvs_without_a_material_are_kept(self, tmp_path):
        primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1}
        mesh = load_mesh(write_gltf(tmp_path / "square.gltf", primitive))
        assert mesh.uvs.tolist() == SQUARE_UVS
        assert mesh.texture is None
        assert mesh.vertex_colors is None

    def test_the_material_picks_the_uv_set(self, tmp_path):
        primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 3, "TEXCOORD_1": 2}, "indices": 1, "material": 0}
        second = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "texCoord": 1}}}]
        assert load_mesh(write_gltf(tmp_path / "s.gltf", primitive, materials=second)).uvs.tolist() == SQUARE_UVS

    def test_corners_without_indices(self, tmp_path):
        primitive = {"attributes": {"POSITION": 6, "TEXCOORD_0": 7}, "material": 0}
        mesh = load_mesh(write_gltf(tmp_path / "square.gltf", primitive))
        assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert quadrants(mesh) == [list(RED), list(GREEN), list(BLUE), list(GREY)]

    @pytest.mark.parametrize("material", [{}, {"material": 0}])
    def test_vertex_colors_are_linear(self, tmp_path, material):
        primitive = {"attributes": {"POSITION": 0, "COLOR_0": 4}, "indices": 1, **material}
        colors = load_mesh(write_gltf(tmp_path / "square.gltf", primitive)).vertex_colors
        np.testing.assert_allclose(colors.numpy(), [[0.25, 0.5, 1]] * 4, atol=1e-6)


class TestMaterials:
    def test_two_textures_share_an_atlas(self, tmp_path):
        swapped = CORNERS[::-1, ::-1].copy()
        scene = trimesh.Scene(
            [
                textured_square(PBRMaterial(baseColorTexture=image_of(CORNERS))),
                textured_square(PBRMaterial(baseColorTexture=image_of(swapped, size=40)), offset=(3, 0, 0)),
            ]
        )
        scene.export(tmp_path / "two.glb")
        mesh = load_mesh(tmp_path / "two.glb")
        assert quadrants(mesh) == [list(RED), list(GREEN), list(BLUE), list(GREY)]
        assert quadrants(mesh, (3, 0)) == [list(GREY), list(BLUE), list(GREEN), list(RED)]
        assert mesh.uvs.min() > 0
        assert mesh.uvs.max() < 1

    def test_many_textures_lie_on_shelves_without_overlap(self):
        colors = [(25 * index, 255 - 25 * index, 100) for index in range(9)]
        squares = [
            textured_square(
                SimpleMaterial(image=Image.new("RGB", (10 + 7 * index, 40 - 4 * index), color)), (3 * index, 0, 0)
            )
            for index, color in enumerate(colors)
        ]
        mesh = from_trimesh(trimesh.Scene(squares))
        for index, color in enumerate(colors):
            assert quadrants(mesh, (3 * index, 0)) == [list(color)] * 4
        assert 1 / 3 < mesh.texture.shape[0] / mesh.texture.shape[1] < 3

    @pytest.mark.parametrize("shift", [(0, 0), (-3, 2)])
    def test_repeating_uvs_survive_the_atlas(self, shift):
        repeated = np.array(SQUARE_UVS) * [2, 3] + shift
        scene = [
            textured_square(SimpleMaterial(image=image_of(CORNERS)), uvs=repeated),
            textured_square(SimpleMaterial(image=image_of(CORNERS[:, ::-1].copy())), offset=(3, 0, 0)),
        ]
        mesh = from_trimesh(trimesh.Scene(scene))
        # Two repeats across and three down: cells of 1/2 by 1/3 of the square's side of 2, of which the first is taken.
        cell = [color_at(mesh, (-1 + x, 1 - y)) for y in (0.2, 0.5) for x in (0.3, 0.7)]
        assert cell == [list(RED), list(GREEN), list(BLUE), list(GREY)]
        assert [color_at(mesh, (x, 1 - 0.2)) for x in (-0.7, 0.3)] == [list(RED)] * 2
        assert [color_at(mesh, (-0.7, 1 - y)) for y in (0.2, 0.2 + 2 / 3, 0.2 + 4 / 3)] == [list(RED)] * 3
        assert quadrants(mesh, (3, 0))[:2] == [list(GREEN), list(RED)]

    def test_endless_repeats_stay_within_the_limit(self):
        scene = [
            textured_square(SimpleMaterial(image=image_of(CORNERS)), uvs=np.array(SQUARE_UVS) * 100_000),
            textured_square(SimpleMaterial(image=image_of(CORNERS)), offset=(3, 0, 0)),
        ]
        mesh = from_trimesh(trimesh.Scene(scene))
        assert max(mesh.texture.shape) <= 8192
        assert color_at(mesh, (0.1, 0.1)) == pytest.approx(CORNERS.reshape(-1, 3).mean(0).tolist(), abs=2)
        assert quadrants(mesh, (3, 0)) == [list(RED), list(GREEN), list(BLUE), list(GREY)]

    def test_one_texture_is_kept_as_it_is(self):
        material = PBRMaterial(baseColorTexture=image_of(CORNERS))
        scene = trimesh.Scene([textured_square(material), textured_square(material, offset=(3, 0, 0))])
        mesh = from_trimesh(scene)
        assert mesh.uvs.tolist() == SQUARE_UVS * 2
        assert torch.equal((mesh.texture * 255).round().byte(), torch.from_numpy(np.array(image_of(CORNERS))))

    def test_a_factor_beside_textures_becomes_a_flat_place_in_the_atlas(self):
        plain = trimesh.Trimesh(np.add(SQUARE, (3, 0, 0)), SQUARE_FACES, process=False)
        plain.visual = TextureVisuals(material=PBRMaterial(baseColorFactor=[0.2, 0.4, 1.0, 1.0]))
        mesh = from_trimesh(trimesh.Scene([textured_square(PBRMaterial(baseColorTexture=image_of(CORNERS))), plain]))
        assert quadrants(mesh) == [list(RED), list(GREEN), list(BLUE), list(GREY)]
        assert quadrants(mesh, (3, 0)) == [[srgb(0.2), srgb(0.4), 255]] * 4

    def test_a_factor_on_a_texture_multiplies_in_linear_light(self, tmp_path):
        factor = [0.2, 1.0, 0.6, 1.0]
        material = PBRMaterial(baseColorTexture=image_of(CORNERS), baseColorFactor=factor)
        textured_square(material).export(tmp_path / "tinted.glb")
        grey = ((128 / 255 + 0.055) / 1.055) ** 2.4
        expected = [srgb(0.2), 0, 0], [0, 255, 0], [0, 0, srgb(0.6)], [srgb(grey * 0.2), 128, srgb(grey * 0.6)]
        assert np.abs(np.subtract(quadrants(load_mesh(tmp_path / "tinted.glb")), expected)).max() <= 1

    def test_factors_alone_become_vertex_colors_and_no_uvs(self, tmp_path):
        factors = [[1.0, 0.0, 0.0, 1.0], [0.0, 0.2, 1.0, 1.0]]
        primitives = [{"attributes": {"POSITION": 0}, "indices": 1, "material": index} for index in (0, 1)]
        materials = [{"pbrMetallicRoughness": {"baseColorFactor": factor}} for factor in factors]
        path = write_gltf(tmp_path / "two.gltf", meshes=[{"primitives": primitives}], materials=materials)
        mesh = load_mesh(path)
        assert mesh.texture is None
        assert mesh.uvs is None
        colors = {tuple(round(x, 4) for x in color) for color in mesh.vertex_colors.tolist()}
        assert colors == {(1.0, 0.0, 0.0), (0.0, 0.2, 1.0)}

    def test_vertex_colors_stay_beside_a_texture_and_are_white_elsewhere(self):
        colored = trimesh.Trimesh(np.add(SQUARE, (3, 0, 0)), SQUARE_FACES, process=False)
        colored.visual = ColorVisuals(colored, vertex_colors=[[51, 102, 255, 255]] * 4)
        mesh = from_trimesh(trimesh.Scene([textured_square(PBRMaterial(baseColorTexture=image_of(CORNERS))), colored]))
        np.testing.assert_allclose(mesh.vertex_colors.numpy(), [[1, 1, 1]] * 4 + [[0.2, 0.4, 1]] * 4, atol=1e-6)
        assert quadrants(mesh, (3, 0)) == [[255, 255, 255]] * 4

    def test_the_grey_stand_ins_of_trimesh_are_no_colors(self):
        square = trimesh.Trimesh(SQUARE, SQUARE_FACES, visual=TextureVisuals(uv=SQUARE_UVS), process=False)
        mesh = from_trimesh(square)
        assert mesh.texture is None
        assert mesh.vertex_colors is None
        square.visual = TextureVisuals(uv=SQUARE_UVS, material=SimpleMaterial())
        assert from_trimesh(square).vertex_colors is None

    def test_a_broken_image_is_reported(self):
        png = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(png, "PNG")
        image = Image.open(io.BytesIO(png.getvalue()[:3000]))
        with pytest.raises(ValueError, match="texture that cannot be decoded"):
            from_trimesh(textured_square(SimpleMaterial(image=image)))


class TestOtherFormats:
    def write_obj(self, folder, texture="tex.png", kd=""):
        image_of(CORNERS).save(folder / "tex.png")
        (folder / "square.mtl").write_text(f"newmtl skin\n{kd}\n" + (f"map_Kd {texture}\n" if texture else ""))
        corners = "".join(f"v {x} {y} {z}\n" for x, y, z in SQUARE)
        uvs = "".join(f"vt {u} {1 - v}\n" for u, v in SQUARE_UVS)
        path = folder / "square.obj"
        path.write_text(f"mtllib square.mtl\n{corners}{uvs}vn 0 0 1\nusemtl skin\nf 1/1/1 3/3/1 4/4/1 2/2/1\n")
        return path

    @pytest.mark.parametrize("texture", ["tex.png", ".\\tex.png", "C:\\art\\tex.png"])
    def test_obj_quad_with_material(self, tmp_path, texture):
        mesh = load_mesh(self.write_obj(tmp_path, texture, kd="Kd 0 0 0"))
        assert (len(mesh.vertices), len(mesh.faces)) == (4, 2)
        assert quadrants(mesh) == [list(RED), list(GREEN), list(BLUE), list(GREY)]
        assert mesh.face_normals().tolist() == [[0, 0, 1]] * 2
        assert mesh.normals.tolist() == [[0, 0, 1]] * 4

    def test_obj_with_a_missing_texture_warns_and_loads(self, tmp_path, caplog):
        mesh = load_mesh(self.write_obj(tmp_path, "gone.png"))
        assert mesh.texture is None
        assert "gone.png" in caplog.text

    def test_obj_diffuse_color_is_srgb(self, tmp_path):
        mesh = load_mesh(self.write_obj(tmp_path, texture=None, kd="Kd 0.4 0.4 0.4"))
        assert mesh.vertex_colors.flatten().tolist() == pytest.approx([((0.4 + 0.055) / 1.055) ** 2.4] * 12)

    def test_obj_seams_duplicate_vertices(self, tmp_path):
        path = tmp_path / "seam.obj"
        corners = "".join(f"v {x} {y} {z}\n" for x, y, z in SQUARE)
        path.write_text(f"{corners}vt 0 0\nvt 1 0\nvt 0 1\nvt 0.5 0.5\nf 1/1 3/2 2/3\nf 2/1 3/4 4/3\n")
        mesh = load_mesh(path)
        assert len(mesh.vertices) == len(mesh.uvs) == 6
        assert len(torch.unique(mesh.vertices, dim=0)) == 4

    def test_obj_vertex_colors_are_srgb(self, tmp_path):
        path = tmp_path / "colors.obj"
        rows = "".join(f"v {x} {y} {z} 0.5 0 0\n" for x, y, z in SQUARE)
        path.write_text(f"{rows}f 1 3 4 2\n")
        linear = load_mesh(path).vertex_colors
        assert linear.shape == (4, 3)
        np.testing.assert_allclose(linear[:, 0], ((0.5 + 0.055) / 1.055) ** 2.4, atol=0.003)

    def test_ply_vertex_colors_are_srgb_and_keep_alpha(self, tmp_path):
        square = trimesh.Trimesh(SQUARE, SQUARE_FACES, vertex_colors=[[255, 128, 0, 128]] * 4, process=False)
        square.export(tmp_path / "square.ply")
        colors = load_mesh(tmp_path / "square.ply").vertex_colors
        expected = [1, ((128 / 255 + 0.055) / 1.055) ** 2.4, 0, 128 / 255]
        np.testing.assert_allclose(colors.numpy(), [expected] * 4, atol=1e-6)

    def test_face_colors_split_the_faces(self):
        square = trimesh.Trimesh(SQUARE, SQUARE_FACES, face_colors=[[255, 0, 0, 255], [0, 51, 0, 255]], process=False)
        mesh = from_trimesh(square)
        assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert mesh.vertices.tolist() == [SQUARE[i] for face in SQUARE_FACES for i in face]
        np.testing.assert_allclose(mesh.vertex_colors, [[1, 0, 0]] * 3 + [[0, 0.2, 0]] * 3, atol=1e-6)

    def test_stl_keeps_three_vertices_for_each_face(self, tmp_path):
        trimesh.creation.box().export(tmp_path / "box.stl")
        mesh = load_mesh(tmp_path / "box.stl")
        assert (len(mesh.vertices), len(mesh.faces)) == (36, 12)
        assert signed_volume(mesh) == pytest.approx(1)
        assert mesh.uvs is mesh.normals is mesh.vertex_colors is mesh.texture is None

    def test_off_polygons_become_triangles(self, tmp_path):
        angles = np.arange(5) * 2 * np.pi / 5
        rows = "".join(f"{np.cos(a)} {np.sin(a)} 0\n" for a in angles) + "0 0 1\n"
        (tmp_path / "tent.off").write_text(f"OFF\n6 3 0\n{rows}5 0 1 2 3 4\n4 0 1 2 5\n3 3 4 5\n")
        mesh = load_mesh(tmp_path / "tent.off")
        assert (len(mesh.vertices), len(mesh.faces)) == (6, 3 + 2 + 1)
        base = mesh.faces[(mesh.faces < 5).all(1)]
        area = sum(Mesh(mesh.vertices, base[i : i + 1]).face_normals()[0, 2] for i in range(3))
        assert area == pytest.approx(3)

    def test_faces_that_repeat_a_vertex_go_with_one_message(self, tmp_path, caplog):
        rows = "".join(f"{x} {y} {z}\n" for x, y, z in SQUARE)
        (tmp_path / "bad.off").write_text(f"OFF\n4 4 0\n{rows}3 0 2 1\n3 1 1 2\n3 1 2 3\n3 2 1 2\n")
        with caplog.at_level(logging.INFO, logger="torch_rasterizer"):
            mesh = load_mesh(tmp_path / "bad.off")
        assert mesh.faces.tolist() == SQUARE_FACES
        assert [r.getMessage() for r in caplog.records if "dropped 2 faces" in r.getMessage()] != []
        assert sum("dropped" in r.getMessage() for r in caplog.records) == 1


class TestErrors:
    def test_another_suffix_lists_the_supported(self, tmp_path):
        (tmp_path / "scene.fbx").write_bytes(b"x")
        with pytest.raises(ValueError, match=r"scene\.fbx: found suffix '\.fbx', expected one of \.glb, \.gltf"):
            load_mesh(tmp_path / "scene.fbx")

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nothing\.glb: found no such file"):
            load_mesh(tmp_path / "nothing.glb")

    @pytest.mark.parametrize("suffix", SUPPORTED_SUFFIXES)
    @pytest.mark.parametrize("content", [b"", b"\x00\xff garbage \x80" * 20, b"{}"])
    def test_damaged_files_name_path_and_finding(self, tmp_path, suffix, content):
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken\.\w+: (not readable as|found no triangles).*xpected"):
            load_mesh(path)

    def test_a_cut_off_glb(self, tmp_path):
        trimesh.creation.box().export(tmp_path / "whole.glb")
        (tmp_path / "cut.glb").write_bytes((tmp_path / "whole.glb").read_bytes()[:-100])
        with pytest.raises(ValueError, match=r"cut\.glb: not readable as \.glb"):
            load_mesh(tmp_path / "cut.glb")

    def test_a_missing_buffer_is_named(self, tmp_path):
        path = write_gltf(tmp_path / "square.gltf", buffers=[{"uri": "gone.bin", "byteLength": 400}])
        with pytest.raises(ValueError, match=r"square\.gltf: not readable.*gone\.bin"):
            load_mesh(path)

    def test_point_clouds_have_no_triangles(self, tmp_path):
        trimesh.PointCloud(np.eye(3)).export(tmp_path / "points.ply")
        with pytest.raises(ValueError, match=r"points\.ply: found no triangles in PointCloud"):
            load_mesh(tmp_path / "points.ply")

    def test_nothing_left_but_degenerate_faces(self):
        with pytest.raises(ValueError, match="found no triangles"):
            from_trimesh(trimesh.Trimesh(SQUARE, [[0, 0, 1]], process=False))

    @pytest.mark.parametrize("value", ["nan", "inf", "1e39"])
    def test_positions_beyond_float32_are_counted(self, tmp_path, value):
        path = tmp_path / "hole.off"
        path.write_text(f"OFF\n3 1 0\n0 0 0\n1 0 {value}\n0 1 0\n3 0 1 2\n")
        with pytest.raises(ValueError, match=r"hole\.off: found 1 of 3 vertices with NaN or infinite positions"):
            load_mesh(path)

    def test_nan_uvs_are_refused(self):
        uvs = np.array(SQUARE_UVS, float)
        uvs[2] = np.nan
        with pytest.raises(ValueError, match="found 1 of 4 vertices with NaN or infinite UVs"):
            from_trimesh(textured_square(PBRMaterial(baseColorTexture=image_of(CORNERS)), uvs=uvs))

    def test_faces_of_absent_vertices_are_refused(self, tmp_path):
        (tmp_path / "over.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n")
        with pytest.raises(ValueError, match=r"over\.off: (found faces with vertex indices 0\.\.7|not readable)"):
            load_mesh(tmp_path / "over.off")

    def test_other_objects_are_refused_by_type(self):
        with pytest.raises(ValueError, match="trimesh object: found no triangles in ndarray"):
            from_trimesh(np.eye(3))


class TestTrimesh:
    def full_mesh(self) -> Mesh:
        torch.manual_seed(0)
        mesh = sample_mesh("torus")
        count = len(mesh.vertices)
        return Mesh(
            mesh.vertices + torch.rand(count, 3) * 0.01,
            mesh.faces,
            uvs=torch.rand(count, 2) * 3 - 1,
            normals=mesh.normals,
            vertex_colors=torch.rand(count, 4),
            texture=torch.rand(40, 30, 3),
            name="torus",
        )

    def check_equal(self, result: Mesh, mesh: Mesh):
        assert torch.equal(result.vertices, mesh.vertices)
        assert torch.equal(result.faces, mesh.faces)
        torch.testing.assert_close(result.normals, mesh.normals)
        torch.testing.assert_close(result.vertex_colors, mesh.vertex_colors, atol=0.5 / 255 + 1e-6, rtol=0)
        torch.testing.assert_close(result.texture, mesh.texture, atol=0.5 / 255 + 1e-6, rtol=0)

    def test_round_trip(self):
        mesh = self.full_mesh()
        result = from_trimesh(to_trimesh(mesh), "torus")
        self.check_equal(result, mesh)
        assert torch.equal(result.uvs, mesh.uvs)
        assert result.name == "torus"

    def test_round_trip_through_glb(self, tmp_path):
        mesh = self.full_mesh()
        to_trimesh(mesh).export(tmp_path / "torus.glb")
        result = load_mesh(tmp_path / "torus.glb")
        self.check_equal(result, mesh)
        torch.testing.assert_close(result.uvs, mesh.uvs, atol=1e-6, rtol=0)

    def test_round_trip_of_the_least_mesh(self):
        mesh = Mesh(torch.tensor(SQUARE).float(), torch.tensor(SQUARE_FACES).int())
        result = from_trimesh(to_trimesh(mesh))
        assert torch.equal(result.vertices, mesh.vertices)
        assert torch.equal(result.faces, mesh.faces)
        assert result.uvs is result.normals is result.vertex_colors is result.texture is None

    def test_colors_without_uvs(self):
        colors = torch.tensor([[0.2, 0.4, 1.0]] * 4)
        mesh = Mesh(torch.tensor(SQUARE).float(), torch.tensor(SQUARE_FACES).int(), vertex_colors=colors)
        torch.testing.assert_close(from_trimesh(to_trimesh(mesh)).vertex_colors, colors)

    def test_the_source_is_left_as_it_is(self):
        scene = trimesh.Scene(
            [
                textured_square(PBRMaterial(baseColorTexture=image_of(CORNERS), baseColorFactor=[255, 0, 9, 255])),
                textured_square(SimpleMaterial(image=image_of(CORNERS[::-1].copy())), offset=(3, 0, 0)),
            ]
        )
        scene.graph.update(scene.graph.nodes_geometry[0], matrix=np.diag([-1.0, 1, 1, 1]))

        def state():
            return [
                (g.vertices.tolist(), g.faces.tolist(), g.visual.uv.tolist(), hash(g.visual.material))
                for g in scene.geometry.values()
            ]

        before = state()
        from_trimesh(scene)
        assert state() == before


@pytest.mark.slow
def test_importing_the_module_imports_neither_trimesh_nor_pillow():
    code = (
        "import importlib, sys; before = set(sys.modules); importlib.import_module('rasterizer.meshes.files');"
        "sys.exit(', '.join({'trimesh', 'PIL'} & (set(sys.modules) - before)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stderr.strip() == ""
