"""Meshes with fewer faces: closed ones stay closed, textures stay where they were, and the work can be stopped."""

from __future__ import annotations

import importlib.util
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from rasterizer.cameras.views import turntable
from rasterizer.meshes.mesh import TEXTURES, Mesh, weld_index
from rasterizer.meshes.sample_meshes import sample_mesh, trefoil_knot
from rasterizer.meshes.simplify import simplify_mesh
from rasterizer.rendering.attributes import attribute_image
from rasterizer.rendering.raster import rasterize_mesh
from tests.support.measures import signed_volume
from tests.support.needs import needs_simplification


@pytest.fixture(scope="module")
def knot() -> Mesh:
    """A knot with every attribute; its colours follow its positions."""
    knot = trefoil_knot(120, 24)
    return replace(knot, vertex_colors=knot.vertices / 2 + 0.5, metallic_roughness=torch.rand(4, 4, 3))


def bare(mesh: Mesh) -> Mesh:
    """The surface alone."""
    return Mesh(mesh.vertices, mesh.faces)


def one_sided_edges(mesh: Mesh) -> int:
    """Edges, by positions, that are not run through as often in the one direction as in the other."""
    faces = weld_index(mesh.vertices)[mesh.faces.long()]
    starts, ends = faces.flatten(), faces.roll(-1, 1).flatten()
    _, edge = torch.stack((torch.minimum(starts, ends), torch.maximum(starts, ends))).unique(dim=1, return_inverse=True)
    return int((edge.bincount((ends - starts).sign().float()) != 0).sum())


def drawn(mesh: Mesh, attribute: str) -> tuple[torch.Tensor, torch.Tensor]:
    raster = rasterize_mesh(mesh, [view.camera() for view in turntable(3, 20)], (256, 256))
    return attribute_image(raster, attribute), raster.findices > 0


def difference(one: Mesh, other: Mesh, attribute: str) -> float:
    """PSNR where both are drawn, in dB."""
    (first, here), (second, there) = drawn(one, attribute), drawn(other, attribute)
    return float(-10 * torch.log10((first - second)[here & there].square().mean()))


@needs_simplification
def test_a_closed_mesh_stays_closed_and_keeps_its_shape(knot: Mesh) -> None:
    found = simplify_mesh(bare(knot), 1000)
    assert len(found.faces) == 1000 and len(found.vertices) == 500  # Euler's formula for a torus
    assert one_sided_edges(bare(knot)) == one_sided_edges(found) == 0
    assert signed_volume(found) == pytest.approx(signed_volume(knot), rel=0.02)
    (_, here), (_, there) = drawn(knot, "position"), drawn(found, "position")
    assert (here != there).float().mean() < 0.02
    assert found.faces.dtype == torch.int32 and found.vertices.dtype == torch.float32 and found.normals is None


@needs_simplification
def test_textures_stay_and_no_seam_opens(knot: Mesh) -> None:
    found = simplify_mesh(knot, 2000)
    assert len(found.faces) == 2000 and one_sided_edges(found) == 0
    assert all(getattr(found, name) is getattr(knot, name) for name in TEXTURES)
    assert difference(knot, found, "texture") > 30
    # Each vertex of a seam is one of those there were, UVs and all.
    place = weld_index(found.vertices)
    seam = place.bincount()[place] > 1
    before = {tuple(row) for row in torch.cat((knot.vertices, knot.uvs), 1).tolist()}
    after = [tuple(row) for row in torch.cat((found.vertices, found.uvs), 1)[seam].tolist()]
    assert len(after) > 2 * 120 and before.issuperset(after)


@needs_simplification
def test_seams_set_a_limit_which_dropping_the_uvs_lifts(knot: Mesh) -> None:
    kept, dropped = simplify_mesh(knot, 200), simplify_mesh(knot, 200, keep_uvs=False)
    assert 200 < len(kept.faces) < 1000 and kept.uvs is not None
    assert len(dropped.faces) == 200 and dropped.uvs is None
    assert all(getattr(dropped, name) is None for name in TEXTURES) and not dropped.occlusion_in_mr


@needs_simplification
@pytest.mark.parametrize("keep_uvs", [True, False])
def test_colours_and_normals_are_those_of_the_place(knot: Mesh, keep_uvs: bool) -> None:
    found = simplify_mesh(knot, 2000, keep_uvs)
    error = (found.vertex_colors * 2 - 1 - found.vertices).norm(dim=1)
    assert error.max() < 0.01  # the way to the old surface, where the colour is taken
    assert torch.equal(found.normals, found.vertex_normals())
    assert difference(knot, found, "normal") > 30


@needs_simplification
def test_open_borders_stay() -> None:
    line = torch.linspace(0, 1, 30)
    plane = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2)
    index = torch.arange(900, dtype=torch.int32).view(30, 30)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = torch.cat([torch.stack(corners, -1).view(-1, 3) for corners in ((a, b, c), (a, c, d))])
    sheet = Mesh(torch.nn.functional.pad(plane, (0, 1)), faces)
    found = simplify_mesh(sheet, 4)
    border = {tuple(row) for row in sheet.vertices.tolist() if {0.0, 1.0} & set(row[:2])}
    assert border <= {tuple(row) for row in found.vertices.tolist()}
    assert len(border) - 2 <= len(found.faces) < 200
    a, b, c = found.vertices[found.faces.long()].unbind(1)
    assert torch.linalg.cross(b - a, c - a)[:, 2].sum() / 2 == pytest.approx(1, abs=1e-5)


@needs_simplification
@pytest.mark.parametrize("name", ["each face twice", "both sides"])
def test_seams_stay_closed_where_more_than_two_faces_meet(knot: Mesh, name: str) -> None:
    faces = knot.faces if name == "each face twice" else knot.faces.flip(1)
    found = simplify_mesh(replace(knot, faces=torch.cat((knot.faces, faces))), 2000)
    assert len(found.faces) == 2000 and one_sided_edges(found) == 0


@needs_simplification
@pytest.mark.parametrize(("size", "place"), [(1e-12, 0.0), (1e18, 0.0), (1.0, 1e3)])
def test_size_and_place_do_not_matter(knot: Mesh, size: float, place: float) -> None:
    found = simplify_mesh(replace(knot, vertices=knot.vertices * size + place), 2000)
    assert len(found.faces) == 2000 and found.vertices.isfinite().all()
    there = replace(found, vertices=(found.vertices - place) / size)
    assert signed_volume(there) == pytest.approx(signed_volume(knot), rel=0.02)
    assert difference(knot, there, "texture") > 30


@needs_simplification
def test_an_extent_beyond_float32_does_no_harm(knot: Mesh) -> None:
    huge = bare(knot).vertices / knot.vertices.abs().max() * 3e38
    found = simplify_mesh(Mesh(huge, knot.faces, uvs=knot.uvs), 2000)
    assert len(found.faces) == 2000 and found.vertices.isfinite().all()
    assert found.uvs is not None and float(found.uvs.min()) >= 0 and float(found.uvs.max()) <= 1


@needs_simplification
def test_what_is_no_proper_mesh_does_no_harm(knot: Mesh) -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.tensor([[0, 0, 1], [5, 7, 5]], dtype=torch.int32)
    strip = torch.arange(50, dtype=torch.int32)[:, None] + torch.arange(3, dtype=torch.int32)
    line = torch.linspace(0, 1, 52)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    for name, mesh in {
        "faces without area": replace(knot, faces=torch.cat((flat, knot.faces))),
        "unused vertices": Mesh(torch.cat((torch.full((9, 3), 7.0), knot.vertices)), knot.faces + 9),
        "any faces": Mesh(
            torch.rand(99, 3, generator=generator), torch.randint(99, (999, 3), generator=generator, dtype=torch.int32)
        ),
        "a line": Mesh(line, strip),
        "corners of their own": Mesh(
            knot.vertices[knot.faces.long()].view(-1, 3), torch.arange(3 * len(knot.faces)).int().view(-1, 3)
        ),
        "triangles apart": Mesh(
            torch.rand(300, 3, generator=generator), torch.arange(300, dtype=torch.int32).view(-1, 3)
        ),
    }.items():
        found = simplify_mesh(mesh, 40)
        assert 40 <= len(found.faces) <= len(mesh.faces) or name == "corners of their own", name
        assert found.vertices.isfinite().all() and found.faces.max() < len(found.vertices), name
        assert found.faces.unique().numel() == len(found.vertices), name


def test_few_faces_pass_as_they_are(knot: Mesh) -> None:
    assert simplify_mesh(knot, len(knot.faces)) is knot


def test_what_cannot_be_is_refused(knot: Mesh) -> None:
    holed = knot.vertices.clone()
    holed[7, 1] = torch.nan
    for mesh, target, words in (
        (knot, 3, "target_faces: is 3, expected a whole number from 4"),
        (replace(knot, faces=knot.faces[:0]), 9, "mesh: found 3025 vertices and no faces"),
        (replace(knot, vertices=holed), 9, "mesh: found positions that are not finite"),
        (replace(knot, faces=knot.faces[:, [0, 0, 1]]), 9, "mesh: found 5760 faces without area"),
        (replace(knot, faces=knot.faces + 1), 9, "mesh: face .* but the mesh has 3025 vertices"),
    ):
        if "without area" in words and importlib.util.find_spec("fast_simplification") is None:
            continue
        with pytest.raises(ValueError, match=words):
            simplify_mesh(mesh, target)


@needs_simplification
def test_progress_and_a_stop(knot: Mesh) -> None:
    class StopError(Exception):
        pass

    shares: list[float] = []
    simplify_mesh(knot, 2000, on_progress=shares.append)
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1 and len(shares) > 2

    def report(share: float) -> None:
        raise StopError

    start = time.perf_counter()
    with pytest.raises(StopError):
        simplify_mesh(sample_mesh("trefoil knot"), 100, on_progress=report)
    assert time.perf_counter() - start < 1


def test_without_the_library_it_says_what_to_do(knot: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="fast-simplification, which is not installed.*pip install fast-simplif.*"):
        simplify_mesh(knot, 100)


@needs_simplification
def test_other_numbers_of_another_version_are_noticed(knot: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    import fast_simplification

    from rasterizer.meshes import decimation

    def other(*arguments: object, **options: object) -> tuple[np.ndarray, ...]:
        points, faces, collapses = simplify(*arguments, **options)
        return points[::-1], len(points) - 1 - faces, collapses

    simplify = fast_simplification.simplify
    monkeypatch.setattr(fast_simplification, "simplify", other)
    faces = weld_index(knot.vertices)[knot.faces.long()].int().numpy()
    vertices = np.zeros((faces.max() + 1, 3), np.float32)
    vertices[weld_index(knot.vertices)] = knot.vertices
    with pytest.raises(RuntimeError, match="numbers vertices in another way"):
        decimation.work(vertices, faces, np.zeros(0, np.int64), np.array(1000))
