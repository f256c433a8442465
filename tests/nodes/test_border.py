"""From sockets to objects of the library and back: every version of MESH, TRIMESH, every camera, every complaint."""

from __future__ import annotations

import copy
import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

VERTICES = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
EYE = {"position": {"x": 0.0, "y": 0.0, "z": 5.0}, "target": {"x": 0.0, "y": 0.0, "z": 0.0}}


class OldMesh:
    """MESH before 0.9: it may lack everything else."""

    def __init__(self, vertices: Any, faces: Any) -> None:
        self.vertices, self.faces = vertices, faces


class NewMesh(OldMesh):
    """MESH since then."""

    def __init__(self, vertices: Any, faces: Any, **attributes: Any) -> None:
        super().__init__(vertices, faces)
        for name in (
            "uvs",
            "normals",
            "vertex_colors",
            "texture",
            "metallic_roughness",
            "vertex_counts",
            "face_counts",
        ):
            setattr(self, name, attributes.pop(name, None))
        assert not attributes


def attributes(count: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    """Every attribute for ``count`` vertices, different for each seed."""
    make = torch.Generator().manual_seed(seed)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=make), dim=-1)
    return {
        "uvs": torch.rand(count, 2, generator=make),
        "normals": normals,
        "vertex_colors": torch.rand(count, 4, generator=make),
        "texture": torch.rand(5, 6, 3, generator=make),
    }


def padded(rows: list[torch.Tensor]) -> torch.Tensor:
    """One block per item, zeros below the shorter ones."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def ragged_batch() -> tuple[NewMesh, list[dict[str, torch.Tensor]]]:
    """A zero-padded batch of two meshes, and what is in it."""
    items = [
        {"vertices": VERTICES, "faces": FACES, **attributes(4, 1)},
        {"vertices": VERTICES[:3] * 2, "faces": FACES[:1], **attributes(3, 2)},
    ]
    names = ("uvs", "normals", "vertex_colors")
    batch = NewMesh(
        padded([item["vertices"] for item in items]),
        padded([item["faces"] for item in items]),
        **{name: padded([item[name] for item in items]) for name in names},
        texture=torch.stack([item["texture"] for item in items]),
        vertex_counts=torch.tensor([4, 3]),
        face_counts=torch.tensor([4, 1]),
    )
    return batch, items


def same(mesh: Any, expected: dict[str, torch.Tensor]) -> None:
    """Assert that a mesh has these values and no others."""
    for name in ("vertices", "faces", "uvs", "normals", "vertex_colors", "texture"):
        value = getattr(mesh, name)
        if name not in expected:
            assert value is None, name
            continue
        assert value.dtype == (torch.int32 if name == "faces" else torch.float32), name
        torch.testing.assert_close(value, expected[name].to(value.dtype), rtol=0, atol=0, msg=name)


class TestReadMeshes:
    """MESH and TRIMESH in."""

    @pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32])
    def test_only_vertices_and_faces(self, pack: SimpleNamespace, dtype: torch.dtype) -> None:
        (mesh,) = pack.border.read_meshes(OldMesh(VERTICES[None], FACES[None].to(dtype)))
        same(mesh, {"vertices": VERTICES, "faces": FACES})

    def test_class_of_the_running_version(self, pack: SimpleNamespace) -> None:
        (mesh,) = pack.border.read_meshes(pack.compat.new_mesh(VERTICES[None], FACES[None]))
        same(mesh, {"vertices": VERTICES, "faces": FACES})

    def test_all_attributes(self, pack: SimpleNamespace) -> None:
        given = attributes()
        value = NewMesh(VERTICES[None], FACES[None], **{name: tensor[None] for name, tensor in given.items()})
        (mesh,) = pack.border.read_meshes(value)
        same(mesh, {"vertices": VERTICES, "faces": FACES, **given})

    def test_half_precision_becomes_float32(self, pack: SimpleNamespace) -> None:
        (mesh,) = pack.border.read_meshes(OldMesh(VERTICES[None].half(), FACES[None]))
        same(mesh, {"vertices": VERTICES, "faces": FACES})

    def test_padding_is_cut_off(self, pack: SimpleNamespace) -> None:
        batch, items = ragged_batch()
        for mesh, item in zip(pack.border.read_meshes(batch), items, strict=True):
            same(mesh, item)

    def test_lists_of_tensors(self, pack: SimpleNamespace) -> None:
        _, items = ragged_batch()
        value = OldMesh([item["vertices"] for item in items], [item["faces"] for item in items])
        for mesh, item in zip(pack.border.read_meshes(value), items, strict=True):
            same(mesh, {"vertices": item["vertices"], "faces": item["faces"]})

    def test_without_batch_dimension(self, pack: SimpleNamespace) -> None:
        given = attributes()
        (mesh,) = pack.border.read_meshes(NewMesh(VERTICES, FACES, **given))
        same(mesh, {"vertices": VERTICES, "faces": FACES, **given})

    def test_one_texture_for_all_and_alpha_dropped(self, pack: SimpleNamespace) -> None:
        texture = torch.rand(1, 4, 5, 4, generator=torch.Generator().manual_seed(3))
        vertices = torch.stack([VERTICES, VERTICES + 1])
        value = NewMesh(vertices, torch.stack([FACES, FACES]), texture=texture)
        for mesh in pack.border.read_meshes(value):
            torch.testing.assert_close(mesh.texture, texture[0, ..., :3], rtol=0, atol=0)

    def test_trimesh(self, pack: SimpleNamespace) -> None:
        uvs = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.9]])
        value = trimesh.Trimesh(VERTICES.numpy(), FACES.numpy(), visual=trimesh.visual.TextureVisuals(uv=uvs))
        (mesh,) = pack.border.read_meshes(value)
        assert torch.equal(mesh.vertices, VERTICES)
        assert torch.equal(mesh.faces, FACES.int())
        # v counts from the bottom there and from the top here
        np.testing.assert_allclose(mesh.uvs.numpy(), uvs * [1, -1] + [0, 1], atol=1e-6)

    def test_class_derived_from_trimesh(self, pack: SimpleNamespace) -> None:
        class Special(trimesh.Trimesh):
            pass

        (mesh,) = pack.border.read_meshes(Special(VERTICES.numpy(), FACES.numpy(), process=False))
        assert torch.equal(mesh.faces, FACES.int())

    def test_input_is_left_as_it_is(self, pack: SimpleNamespace) -> None:
        batch, _ = ragged_batch()
        before = copy.deepcopy(vars(batch))
        for mesh in pack.border.read_meshes(batch):
            pack.border.write_mesh(mesh)
        assert vars(batch).keys() == before.keys()
        for name, value in vars(batch).items():
            assert value is None if before[name] is None else torch.equal(value, before[name]), name

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            pytest.param("a string", "thing: is a str, expected a MESH, a TRIMESH or a 3D file", id="wrong type"),
            pytest.param(None, "thing: is empty: the node before it gave nothing", id="nothing"),
            pytest.param(
                OldMesh(None, FACES[None]), "thing: has no vertices, expected a mesh with both", id="no tensor"
            ),
            pytest.param(
                OldMesh(VERTICES[None], None), "thing: has no faces, expected a mesh with both", id="no faces"
            ),
            pytest.param(OldMesh([], []), "thing: is an empty batch, expected at least one mesh", id="empty batch"),
            pytest.param(
                OldMesh(VERTICES[None], FACES[None, :0]),
                "thing: has 4 vertices and 0 faces, expected at least one triangle",
                id="0 faces",
            ),
            pytest.param(
                OldMesh(torch.tensor([[[0.0, 0, 0], [math.nan, 0, 0], [0, math.inf, 0]]]), FACES[None, :1]),
                "thing: 2 of 3 vertices are NaN or infinite, expected finite positions",
                id="NaN",
            ),
            pytest.param(
                OldMesh(VERTICES[None], FACES[None] + 2),
                "thing: faces name vertices 2 to 5, expected 0 to 3, the mesh has 4",
                id="index too high",
            ),
            pytest.param(
                OldMesh(VERTICES[None], FACES[None] - 1),
                "thing: faces name vertices -1 to 2, expected 0 to 3",
                id="index below 0",
            ),
            pytest.param(
                OldMesh(torch.stack([VERTICES, VERTICES / 0]), torch.stack([FACES, FACES])),
                "thing 1 of 2: 4 of 4 vertices are NaN",
                id="second of a batch",
            ),
            pytest.param(
                OldMesh(torch.zeros(1, 4, 2), FACES[None]), "thing: Mesh vertices: found [4, 2]", id="2-D positions"
            ),
            pytest.param(
                NewMesh(VERTICES[None], FACES[None], uvs=torch.zeros(1, 3, 2)),
                "thing: Mesh uvs: found [3, 2]",
                id="uvs",
            ),
            pytest.param(
                OldMesh(VERTICES.expand(3, 4, 3), FACES.expand(2, 4, 3)),
                "thing: has 3 blocks of vertices but 2 of faces, expected as many, or 1 for all",
                id="unequal batch",
            ),
            pytest.param(
                NewMesh(VERTICES.expand(2, 4, 3), FACES.expand(2, 4, 3), vertex_counts=[4], face_counts=[4]),
                "thing: has 1 vertex_counts for 2 meshes, expected one for each",
                id="too few counts",
            ),
            pytest.param(
                NewMesh(VERTICES[None], FACES[None], vertex_counts=[4], face_counts=[9]),
                "thing: face_counts of mesh 0 is 9, expected 0 to 4, the rows of faces",
                id="count too high",
            ),
            pytest.param(trimesh.Trimesh(), "thing: trimesh object: found no triangles", id="empty trimesh"),
        ],
    )
    def test_complaints(self, pack: SimpleNamespace, value: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            pack.border.read_meshes(value, "thing")


class TestWriteMesh:
    """MESH out."""

    def test_round_trip(self, pack: SimpleNamespace) -> None:
        given = attributes()
        mesh = pack.mesh.Mesh(vertices=VERTICES, faces=FACES.int(), **given)
        value = pack.border.write_mesh(mesh)
        assert value.vertices.shape == (1, 4, 3)
        assert value.texture.shape == (1, 5, 6, 3)
        (back,) = pack.border.read_meshes(value)
        same(back, {"vertices": VERTICES, "faces": FACES, **given})

    def test_a_picture_alone_is_not_copied(self, pack: SimpleNamespace) -> None:
        rgba = torch.rand(5, 6, 4)
        for texture, copied in ((torch.rand(5, 6, 3), False), (rgba[..., :3], True)):
            mesh = pack.mesh.Mesh(vertices=VERTICES, faces=FACES.int(), texture=texture)
            value = pack.border.write_mesh(mesh)
            assert value.texture.is_contiguous() and torch.equal(value.texture[0], texture)
            assert (value.texture.data_ptr() != texture.data_ptr()) == copied
            assert value.vertices.data_ptr() != VERTICES.data_ptr()

    def test_nothing_is_made_up(self, pack: SimpleNamespace) -> None:
        value = pack.border.write_mesh(pack.mesh.Mesh(vertices=VERTICES, faces=FACES.int()))
        for name in ("uvs", "normals", "vertex_colors", "texture"):
            assert getattr(value, name, None) is None


class TestReadCameras:
    """Every camera socket."""

    def test_nothing_connected(self, pack: SimpleNamespace) -> None:
        assert pack.border.read_cameras(None) is None

    def test_viewer_with_the_least_keys(self, pack: SimpleNamespace) -> None:
        (camera,) = pack.border.read_cameras({"position": EYE["position"]})
        assert camera.position == (0, 0, 5)
        assert camera.forward == (0, 0, -1)
        assert camera.right == (1, 0, 0)
        assert camera.up == (0, 1, 0)
        assert camera.half_height is None
        assert camera.fov == pytest.approx(40)
        assert (camera.near, camera.far) == (0.01, 1000)
        assert not camera.normalized

    def test_viewer_with_all_keys(self, pack: SimpleNamespace) -> None:
        value = {
            "position": {"x": 3, "y": 4, "z": 5},
            "target": {"x": 3, "y": 4, "z": -5},
            "zoom": 2,
            "cameraType": "perspective",
            "fov": 60,
            "near": 0.5,
            "far": 50,
            "aspect": 1.5,
        }
        (camera,) = pack.border.read_cameras(value)
        assert camera.position == (3, 4, 5)
        assert camera.forward == (0, 0, -1)
        # Zoom 2 shows half of what is seen in the image plane.
        assert math.tan(math.radians(camera.fov / 2)) == pytest.approx(math.tan(math.radians(30)) / 2)
        assert (camera.near, camera.far) == (0.5, 50)

    @pytest.mark.parametrize(
        ("extra", "half_height"),
        [
            pytest.param({"frustum": {"left": -4, "right": 4, "top": 3, "bottom": -3}}, 3, id="frustum"),
            pytest.param({"frustum": {"top": 3, "bottom": -1}, "zoom": 4}, 0.5, id="frustum and zoom"),
            pytest.param({}, 5, id="no frustum"),
        ],
    )
    def test_orthographic_viewer(self, pack: SimpleNamespace, extra: dict[str, Any], half_height: float) -> None:
        (camera,) = pack.border.read_cameras({**EYE, "cameraType": "orthographic", **extra})
        assert camera.half_height == pytest.approx(half_height)

    def test_list_keeps_its_order(self, pack: SimpleNamespace) -> None:
        values = [{**EYE, "position": {"x": x, "y": 0, "z": 5}} for x in (1, 2, 3)]
        assert [camera.position[0] for camera in pack.border.read_cameras(values)] == [1, 2, 3]

    def test_vectors_as_lists(self, pack: SimpleNamespace) -> None:
        (camera,) = pack.border.read_cameras({"position": [0, 0, 5], "target": (0, 0, 1)})
        assert (camera.position, camera.forward) == ((0, 0, 5), (0, 0, -1))

    def test_hunyuan3d_2(self, pack: SimpleNamespace) -> None:
        value = {
            "selected_camera_azims": [0, 90],
            "selected_camera_elevs": [0, 30],
            "selected_view_weights": [1.0, 0.1],
            "camera_distance": 2.5,
            "ortho_scale": 1.1,
        }
        orbit = pack.cameras.orbit_camera
        assert pack.border.read_cameras(value) == [
            orbit(0, 0, 2.5, ortho_scale=1.1, weight=1.0),
            orbit(90, 30, 2.5, ortho_scale=1.1, weight=0.1),
        ]

    def test_hunyuan3d_21_has_no_distance(self, pack: SimpleNamespace) -> None:
        value = {
            "selected_camera_azims": [180],
            "selected_camera_elevs": [-20],
            "selected_view_weights": [0.5],
            "ortho_scale": 1.0,
        }
        want = pack.cameras.orbit_camera(180, -20, 1.45, ortho_scale=1.0, weight=0.5)
        assert pack.border.read_cameras(value) == [want]
        assert want.normalized

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            pytest.param(5, "eyes: is int, expected a camera, or a list with at least one camera", id="number"),
            pytest.param("front", "eyes: is str, expected a camera", id="string"),
            pytest.param([], "eyes: is list, expected a camera, or a list with at least one camera", id="empty list"),
            pytest.param([EYE, 5], "eyes: is list, expected a camera", id="mixed list"),
            pytest.param(
                [EYE, {"target": EYE["target"]}], "eyes 1: position is None, expected x, y and z", id="no place"
            ),
            pytest.param(
                {"position": {"x": 1, "y": 2}}, "eyes 0: position is {'x': 1, 'y': 2}, expected x, y", id="no z"
            ),
            pytest.param({"position": "here"}, "eyes 0: position is 'here', expected x, y and z", id="words"),
            pytest.param({**EYE, "target": EYE["position"]}, "eyes 0: camera: position (0.0, 0.0, 5.0)", id="no way"),
            pytest.param({**EYE, "fov": "wide"}, "eyes 0: fov is 'wide', expected a number", id="fov in words"),
            pytest.param(
                {"selected_camera_azims": [0, 90], "selected_camera_elevs": [0], "selected_view_weights": [1, 1]},
                "eyes: has 2 azimuths, 1 elevations and 2 weights, expected the same number of each",
                id="unequal",
            ),
            pytest.param(
                {"selected_camera_azims": [], "selected_camera_elevs": []},
                "eyes: has 0 azimuths, 0 elevations and 0 weights, expected the same number of each, at least one",
                id="no view",
            ),
        ],
    )
    def test_complaints(self, pack: SimpleNamespace, value: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            pack.border.read_cameras(value, "eyes")
