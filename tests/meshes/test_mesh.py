"""Mesh: validation, normals, welding; and the built-in samples."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rasterizer.meshes.mesh import Mesh, weld_index
from rasterizer.meshes.sample_meshes import SAMPLES, sample_mesh
from rasterizer.rendering.maps import STYLES, render_maps
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing import apply_textures
from tests.support.measures import signed_volume

SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
TWO_FACES = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def cube(split: bool) -> Mesh:
    """The cube -1..1, with 8 shared vertices or with 24 of which three share each corner."""
    vertices = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    quads = torch.tensor([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    if split:
        vertices, quads = vertices[quads.flatten()], torch.arange(24).view(6, 4)
    faces = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).int()
    return Mesh(vertices, faces)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vertices", torch.zeros(4, 2)),
        ("vertices", torch.zeros(4, 3, dtype=torch.float64)),
        ("vertices", [[0.0, 0.0, 0.0]] * 4),
        ("faces", torch.zeros(2, 3, dtype=torch.int64)),
        ("faces", torch.zeros(2, 4, dtype=torch.int32)),
        ("uvs", torch.zeros(3, 2)),
        ("uvs", torch.zeros(4, 3)),
        ("normals", torch.zeros(2, 3)),
        ("vertex_colors", torch.zeros(4, 2)),
        ("vertex_colors", torch.zeros(4, 3, dtype=torch.uint8)),
        ("texture", torch.zeros(8, 8, 4)),
        ("texture", torch.zeros(1, 8, 8, 3)),
        ("name", 0),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(field, value):
    tensors = {"vertices": SQUARE, "faces": TWO_FACES, field: value}
    with pytest.raises(ValueError, match=rf"Mesh {field}: found .*expected"):
        Mesh(**tensors)


@pytest.mark.parametrize("channels", [3, 4])
def test_colors_with_and_without_alpha_are_accepted(channels):
    assert Mesh(SQUARE, TWO_FACES, vertex_colors=torch.ones(4, channels)).vertex_colors.shape == (4, channels)


def test_to_moves_every_tensor_and_keeps_the_rest():
    mesh = sample_mesh("torus").to("meta")
    for tensor in (mesh.vertices, mesh.faces, mesh.uvs, mesh.normals, mesh.texture):
        assert tensor.device.type == "meta"
    assert mesh.vertex_colors is None
    assert mesh.name == "torus"


def test_require_uvs_names_the_input_and_the_cure():
    with pytest.raises(ValueError, match=r"(?s)target_mesh 'box' has no UV.*expected uvs \[4, 2\].*Unwrap it first"):
        Mesh(SQUARE, TWO_FACES, name="box").require_uvs("target_mesh")
    with pytest.raises(ValueError, match="Unwrap UV between the mesh and Bake, Fill and Apply only: .* stay valid"):
        Mesh(SQUARE, TWO_FACES).require_uvs()
    uvs = torch.rand(4, 2)
    assert Mesh(SQUARE, TWO_FACES, uvs=uvs).require_uvs() is uvs


def test_bounds():
    low, high = Mesh(SQUARE * 3 - 1, TWO_FACES).bounds()
    assert low.tolist() == [-1, -1, -1]
    assert high.tolist() == [2, 2, -1]


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e8])
def test_face_normals_are_unit_at_any_scale(scale):
    normals = Mesh(SQUARE * scale, TWO_FACES).face_normals()
    torch.testing.assert_close(normals, torch.tensor([[0.0, 0, 1], [0, 0, 1]]))


def test_faces_without_area_have_zero_normals():
    faces = torch.tensor([[0, 1, 1], [0, 1, 2]], dtype=torch.int32)
    line = torch.tensor([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]])
    assert Mesh(line, faces).face_normals().tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("far", [float("nan"), float("inf"), 3e38])
def test_a_vertex_that_is_nowhere_spoils_no_other_normal(far):
    vertices = torch.cat((SQUARE, torch.tensor([[far, 0.0, 0.0]])))
    faces = torch.cat((TWO_FACES, torch.tensor([[0, 1, 4]], dtype=torch.int32)))
    normals = Mesh(vertices, faces).vertex_normals()
    assert torch.equal(normals[:4], Mesh(SQUARE, TWO_FACES).vertex_normals()) and not normals[4].any()


@pytest.mark.gpu
def test_welding_on_a_gpu_is_that_of_a_cpu():
    vertices = torch.randint(-3, 4, (500, 3), generator=torch.Generator().manual_seed(0)) * 0.5
    vertices[::7] *= -1  # some zeros become negative
    for some in (vertices, vertices[:1], vertices[:0]):
        assert torch.equal(weld_index(some.cuda()).cpu(), weld_index(some))


def test_welding_smooths_across_split_vertices():
    split = cube(split=True)
    corners = split.vertices / math.sqrt(3)
    # Each corner meets 2 + 2 + 1 or 1 + 1 + 1 triangles, so the diagonal is only nearly reached.
    welded = split.vertex_normals()
    assert ((welded * corners).sum(1) > 0.9).all()
    by_position = {tuple(p): n for p, n in zip(split.vertices.tolist(), welded.tolist(), strict=True)}
    assert [by_position[tuple(p)] for p in split.vertices.tolist()] == welded.tolist()

    creased = split.vertex_normals(weld=False)
    torch.testing.assert_close(creased[split.faces[:, 0].long()], split.face_normals())


def test_split_and_shared_vertices_give_the_same_normals():
    shared, split = cube(split=False), cube(split=True)
    expected = {tuple(p): n for p, n in zip(shared.vertices.tolist(), shared.vertex_normals(), strict=True)}
    for position, normal in zip(split.vertices.tolist(), split.vertex_normals(), strict=True):
        torch.testing.assert_close(normal, expected[tuple(position)])


def test_vertex_normals_do_not_weigh_by_area():
    vertices = torch.tensor([[0.0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0.1, 0], [0, 0, 0.1]])
    faces = torch.tensor([[0, 1, 2], [0, 3, 4]], dtype=torch.int32)
    normal = Mesh(vertices, faces).vertex_normals()[0]
    torch.testing.assert_close(normal, torch.tensor([1.0, 0, 1]) / math.sqrt(2))


def test_vertices_without_a_normal_get_zero():
    vertices = torch.cat([SQUARE, torch.tensor([[5.0, 5, 5]])])
    back_to_back = torch.tensor([[0, 1, 2], [0, 2, 1]], dtype=torch.int32)
    assert Mesh(vertices, back_to_back).vertex_normals().abs().max() == 0


def test_negative_zero_is_the_same_position():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-0.0, -0.0, -0.0], [0, 1, 0], [0, 0, 1]])
    normals = Mesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32)).vertex_normals()
    torch.testing.assert_close(normals[0], torch.tensor([1.0, 0, 1]) / math.sqrt(2))
    torch.testing.assert_close(normals[3], normals[0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([-2.5, -1e-30, 0.0, 1e-30, 3.0])] * 3), min_size=3, max_size=30))
def test_welding_equals_merging_equal_rows(rows):
    vertices = torch.tensor(rows)
    faces = torch.arange(len(rows) // 3 * 3, dtype=torch.int32).view(-1, 3)
    merged, index = torch.unique(vertices, dim=0, return_inverse=True)
    expected = Mesh(merged, index.int()[faces.long()]).vertex_normals(weld=False)[index]
    torch.testing.assert_close(Mesh(vertices, faces).vertex_normals(), expected)


@pytest.mark.parametrize("name", SAMPLES)
class TestSamples:
    def test_fits_the_unit_sphere_around_the_origin(self, name):
        mesh = sample_mesh(name)
        radii = mesh.vertices.norm(dim=1)
        assert radii.max() == pytest.approx(1, abs=1e-5)
        assert mesh.vertices.mean(0).abs().max() < 0.05

    def test_is_closed_and_counter_clockwise_from_outside(self, name):
        mesh = sample_mesh(name)
        _, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
        corners = index[mesh.faces.long()]
        edges = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
        assert len(torch.unique(edges, dim=0)) == len(edges)
        assert torch.equal(torch.unique(edges, dim=0), torch.unique(edges.flip(1), dim=0))
        assert signed_volume(mesh) > 0.3

    def test_normals_are_smooth_and_point_outwards(self, name):
        mesh = sample_mesh(name)
        torch.testing.assert_close(mesh.normals.norm(dim=1), torch.ones(len(mesh.normals)))
        assert ((mesh.normals * mesh.vertex_normals()).sum(1) > 0.999).all()

    def test_uvs_tile_their_square_once_and_unmirrored(self, name):
        mesh = sample_mesh(name)
        a, b, c = mesh.uvs[mesh.faces.long()].double().unbind(1)
        ab, ac = b - a, c - a
        area = (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]) / 2
        # v runs down, so counter-clockwise faces have negative areas.
        assert (area < 0).all()
        assert -area.sum() == pytest.approx(0.96**2, rel=1e-5)
        assert mesh.uvs.amin(0).tolist() == pytest.approx([0.02, 0.02])
        assert mesh.uvs.amax(0).tolist() == pytest.approx([0.98, 0.98])

    def test_texture_tells_u_by_hue_and_v_by_lightness(self, name):
        texture = sample_mesh(name).texture
        assert texture.shape == (512, 512, 3)
        assert 0 <= texture.min() < 0.4
        assert 0.6 < texture.max() <= 1
        columns = texture.mean(0)
        assert set(columns[20:490].argmax(1).tolist()) == {0, 1, 2}
        assert texture[20:140].mean() > texture[370:490].mean() + 0.05


def test_the_knot_does_not_run_into_itself():
    mesh = sample_mesh("trefoil knot")
    rings = mesh.vertices.view(201, 25, 3)[:-1, :-1]
    centers = rings.mean(1)
    radius = (rings[:, 0] - centers).norm(dim=1).max()
    along = torch.arange(200)
    gap = (along[:, None] - along).abs()
    apart = torch.minimum(gap, 200 - gap) > 30
    assert torch.cdist(centers, centers)[apart].min() > 2 * radius


def test_an_unknown_sample_lists_the_known():
    with pytest.raises(ValueError, match="'teapot' is unknown.*trefoil knot, torus"):
        sample_mesh("teapot")


@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_face_of_a_vertex_that_is_not_there_is_named(wrong: int) -> None:
    faces = TWO_FACES.clone()
    faces[1, 2] = wrong
    mesh = Mesh(SQUARE, faces)
    for call in (mesh.face_normals, mesh.vertex_normals, lambda: mesh.vertex_normals(weld=False)):
        with pytest.raises(ValueError, match=r"Mesh faces: face 1 is .* but the mesh has 4 vertices"):
            call()
    for style in STYLES:
        with pytest.raises(ValueError, match="face 1 is .* but the mesh has 4 vertices"):
            render_maps(mesh, resolution=(8, 8), style=style)


def test_a_mesh_without_faces_has_normals_and_is_not_drawn() -> None:
    mesh = Mesh(SQUARE, TWO_FACES[:0])
    assert mesh.face_normals().shape == (0, 3) and not mesh.vertex_normals().any()
    with pytest.raises(ValueError, match="mesh: has 4 vertices and no faces"):
        rasterize_mesh(mesh)
    with pytest.raises(ValueError, match="mesh: has no vertices and 2 faces"):
        rasterize_mesh(Mesh(SQUARE[:0], TWO_FACES))
    with pytest.raises(ValueError, match="layers: is 1.5"):
        rasterize_mesh(Mesh(SQUARE, TWO_FACES), layers=1.5)
    assert rasterize_mesh(Mesh(SQUARE, TWO_FACES), resolution=(8, 8), layers=2.0).findices.shape == (1, 2, 8, 8)


def test_textures_from_arrays() -> None:
    mesh = Mesh(SQUARE, TWO_FACES, SQUARE[:, :2].contiguous())
    made = apply_textures(mesh, np.full((4, 5, 3), 0.25), np.zeros((2, 2, 3), np.float32))
    assert made.texture.shape == (4, 5, 3) and (made.texture == 0.25).all() and made.texture.dtype == torch.float32
    for name, values in (("base_color", ("red",)), ("metallic_roughness", (np.zeros((4, 5, 3)), object()))):
        with pytest.raises(ValueError, match=f"{name}: is "):
            apply_textures(mesh, *values)
