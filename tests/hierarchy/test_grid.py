"""The hierarchy of a mesh: what its cells are, looking cells up, moving features through levels, and filling."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rasterizer.contract.scenes import grid_faces
from rasterizer.hierarchy import COLORINGS, GridHierarchy, build_hierarchy, fill_surface, voxel_mesh
from rasterizer.hierarchy.surface_graph import SurfaceGraph
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.raster import rasterize_mesh


@pytest.fixture(scope="module")
def torus() -> Mesh:
    return sample_mesh("torus")


@pytest.fixture(scope="module")
def hierarchy(torus: Mesh) -> GridHierarchy:
    return GridHierarchy.from_mesh(torus.vertices, torus.faces, 64, 4, 8)


def sheet(place: Tensor, rows: int, columns: int) -> Mesh:
    """A grid of quads with its vertices at ``place [(rows + 1) * (columns + 1), 3]``."""
    return Mesh(place.float(), grid_faces(rows, columns))


def joined(*meshes: Mesh) -> Mesh:
    offsets = [0]
    for mesh in meshes:
        offsets.append(offsets[-1] + len(mesh.vertices))
    faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=False)]
    return Mesh(torch.cat([mesh.vertices for mesh in meshes]), torch.cat(faces).to(torch.int32))


def plate(height: float, up: bool = True) -> Mesh:
    line = torch.linspace(-1, 1, 9)
    x, z = torch.meshgrid(line, line, indexing="ij")
    mesh = sheet(torch.stack((x, torch.full_like(x, height), z), dim=-1).view(-1, 3), 8, 8)
    return mesh if up else Mesh(mesh.vertices, mesh.faces.flip(1).contiguous())


def test_its_cells_lie_on_the_surface(hierarchy: GridHierarchy) -> None:
    own = hierarchy.original
    # A tube of radius 0.3 around the unit circle, scaled into the unit sphere.
    ring = hierarchy.positions[:, :2].norm(dim=1) * 1.3 - 1
    distance = (ring**2 + (hierarchy.positions[:, 2] * 1.3) ** 2).sqrt()
    assert (distance[own] - 0.3).abs().max() < 0.003  # that is how far its facets are
    assert (hierarchy.points()[own] - hierarchy.positions[own]).abs().max() <= hierarchy.cell_size * 0.5001
    assert hierarchy.complete and hierarchy.levels == 4
    for level in range(3):
        parents = hierarchy.downsamples[level]
        assert parents.min() >= 0 and parents.max() < hierarchy.count(level + 1)
        apart = (hierarchy.points(level) - hierarchy.points(level + 1)[parents]).abs().max()
        assert apart <= hierarchy.cell_size * 2**level * 0.5001
        assert (hierarchy.neighbors[level][:, 4] == torch.arange(hierarchy.count(level))).all()


def test_neighbors_are_one_step_away(hierarchy: GridHierarchy) -> None:
    for level in range(4):
        side = hierarchy.cell_size * 2**level
        points, around = hierarchy.points(level), hierarchy.neighbors[level]
        apart = ((points[around.clamp(min=0)] - points[:, None]).abs() / side).amax(dim=2)[around >= 0]
        assert (apart < 2.5).float().mean() > 0.97  # the rest are other sheets behind an edge


def test_every_corner_of_a_coarser_cell_is_there(hierarchy: GridHierarchy) -> None:
    for level in range(3):
        for flags in (hierarchy.even_corners, hierarchy.odd_corners):
            hit = torch.zeros(hierarchy.count(level + 1), dtype=torch.bool)
            hit[hierarchy.downsamples[level][flags[level]]] = True
            assert hit.all()


def test_too_few_layers_are_said(torus: Mesh, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        few = GridHierarchy.from_mesh(torus.vertices, torus.faces, 32, 3, 2)
    assert not few.complete
    assert "more than 2 surfaces" in caplog.text


def test_it_does_not_depend_on_where_the_mesh_is(torus: Mesh, hierarchy: GridHierarchy) -> None:
    moved = GridHierarchy.from_mesh(torus.vertices * 4 + 16, torus.faces, 64, 4, 8)
    assert abs(moved.count() - hierarchy.count()) < 0.01 * hierarchy.count()
    assert moved.cell_size == pytest.approx(4 * hierarchy.cell_size)


def test_pull_and_push_keep_constants(hierarchy: GridHierarchy) -> None:
    ones = torch.full((hierarchy.count(), 2), 0.25)
    for level in range(3):
        ones = hierarchy.pull(ones, level)
        torch.testing.assert_close(ones, torch.full((hierarchy.count(level + 1), 2), 0.25))
    for level in (2, 1, 0):
        ones = hierarchy.push(ones, level)
        torch.testing.assert_close(ones, torch.full((hierarchy.count(level), 2), 0.25))


def test_pull_averages_children(hierarchy: GridHierarchy) -> None:
    values = torch.rand(hierarchy.count(), 1, generator=torch.Generator().manual_seed(0))
    coarse = hierarchy.pull(values)
    for cell in (0, 17, hierarchy.count(1) - 1):
        torch.testing.assert_close(coarse[cell], values[hierarchy.downsamples[0] == cell].mean(dim=0))


def test_push_is_nearly_exact_on_what_is_linear(hierarchy: GridHierarchy) -> None:
    fine = hierarchy.push(hierarchy.points(1), 0)
    error = (fine - hierarchy.points(0))[hierarchy.original].abs().mean() / hierarchy.cell_size
    assert error < 0.35  # taking the coarser cell's own value errs by 0.5


def test_pull_and_push_are_differentiable(hierarchy: GridHierarchy) -> None:
    values = torch.rand(hierarchy.count(), 1, requires_grad=True)
    hierarchy.push(hierarchy.pull(values)).sum().backward()
    assert torch.isfinite(values.grad).all() and values.grad.abs().sum() > 0


def test_points_of_the_surface_find_their_cells(torus: Mesh, hierarchy: GridHierarchy) -> None:
    corners = torus.vertices[torus.faces.long()]
    weights = torch.rand(len(corners), 3, 1, generator=torch.Generator().manual_seed(1))
    points = (corners * weights).sum(dim=1) / weights.sum(dim=1)
    cells = hierarchy.find(points, torus.face_normals())
    assert (cells >= 0).all()
    assert hierarchy.original[cells].all()
    assert (hierarchy.positions[cells] - points).norm(dim=1).max() < 2.5 * hierarchy.cell_size
    far = hierarchy.find(torch.tensor([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]))
    assert far.tolist() == [-1, -1]


def test_two_sides_of_a_thin_wall_have_cells_of_their_own() -> None:
    mesh = joined(plate(0.0), plate(-0.003, up=False), plate(0.5))  # the third one moves the wall inside a cell
    thin = GridHierarchy.from_mesh(mesh.vertices, mesh.faces, 32, 3, 8)
    points = torch.tensor([[0.1, 0.0, 0.2], [0.1, -0.003, 0.2]])
    up = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    top, bottom = thin.find(points, up).tolist()
    assert top != bottom and thin.keys[0][top] == thin.keys[0][bottom]
    assert (thin.normals[[top, bottom], 1] * up[:, 1] > 0.99).all()


@pytest.mark.parametrize(("gap", "up"), [(0.1, True), (0.06, True), (0.003, False), (0.1, False)])
def test_color_does_not_jump_between_parallel_plates(gap: float, up: bool) -> None:
    # Cells are 0.067 wide.
    mesh = joined(plate(gap), plate(0.0, up=up))
    plates = GridHierarchy.from_mesh(mesh.vertices, mesh.faces, 32, 3, 8)
    upper = plates.positions[:, 1] > gap / 2
    features = torch.where(upper, 1.0, 0.25)[:, None]
    known = plates.original & (upper | (plates.positions[:, 0] < -0.8))
    filled, has = fill_surface(features, known, plates)
    assert has[plates.original].all()
    torch.testing.assert_close(filled[plates.original], features[plates.original], rtol=0, atol=1e-5)


def test_a_plate_that_nothing_is_known_of_stays_empty() -> None:
    mesh = joined(plate(0.2), plate(0.0))
    plates = GridHierarchy.from_mesh(mesh.vertices, mesh.faces, 32, 3, 8)
    upper = plates.positions[:, 1] > 0.1
    filled, has = fill_surface(torch.ones(plates.count(), 1), plates.original & upper, plates)
    lower = plates.original & ~upper
    assert has[plates.original & upper].all() and not has[lower].any()
    assert (filled[lower] == 0).all()


def fill_folded_strip(radius: float) -> tuple[Tensor, Tensor]:
    """Two legs of length 2 on top of each other, joined by a half circle; a ramp along it is known at its open ends.

    Returns the ramp and what the rest was filled with. Cells are 0.03 wide.
    """
    arc = math.pi * radius
    t = torch.linspace(0, 4 + arc, 161)
    angle = ((t - 2) / radius).clamp(0, math.pi)
    x = torch.where(t < 2, t - 1, torch.where(t < 2 + arc, 1 + radius * torch.sin(angle), 1 - (t - 2 - arc)))
    y = torch.where(t < 2, radius, torch.where(t < 2 + arc, radius * torch.cos(angle), -radius))
    z = torch.linspace(-0.2, 0.2, 9)
    place = torch.stack((x[:, None].expand(-1, 9), y[:, None].expand(-1, 9), z[None].expand(len(t), -1)), dim=-1)
    strip = sheet(place.reshape(-1, 3), 160, 8)
    folded = GridHierarchy.from_mesh(strip.vertices, strip.faces, 64, 4, 8)
    px, py = folded.positions[:, 0], folded.positions[:, 1]
    bend = torch.atan2((px - 1).clamp(min=0), py)
    along = torch.where(px > 1, 2 + radius * bend, torch.where(py > 0, px + 1, 3 - px + arc)) / (4 + arc)
    known = folded.original & ((along < 0.05) | (along > 0.95))
    filled, has = fill_surface(along[:, None], known, folded)
    assert has[folded.original].all()
    return along[folded.original], filled[folded.original, 0]


@pytest.mark.parametrize("radius", [0.15, 0.06, 0.03])
def test_color_follows_a_folded_strip_around_its_bend(radius: float) -> None:
    along, filled = fill_folded_strip(radius)
    assert (filled - along).abs().max() < 0.06  # the legs lie on one another: a jump would be up to 1


def test_color_does_not_cross_a_strip_folded_thinner_than_a_cell() -> None:
    along, filled = fill_folded_strip(0.01)
    assert filled[along < 0.48].max() < 0.51 and filled[along > 0.52].min() > 0.49


@pytest.mark.parametrize("name", ["trefoil knot", "torus"])
def test_all_of_a_sample_hangs_together(name: str) -> None:
    mesh = sample_mesh(name)
    grid = GridHierarchy.from_mesh(mesh.vertices, mesh.faces, 48, 3, 8)
    known = torch.zeros(grid.count(), dtype=torch.bool)
    known[0] = True
    filled, has = fill_surface(torch.full((grid.count(), 3), 0.7), known, grid)
    assert has[grid.original].all()
    torch.testing.assert_close(filled[grid.original], torch.full((int(grid.original.sum()), 3), 0.7))


@pytest.mark.parametrize(("share", "most", "mean"), [(0.5, 0.03, 0.008), (0.1, 0.05, 0.02)])
def test_what_is_filled_is_near_the_solution(
    hierarchy: GridHierarchy, share: float, most: float, mean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    along = hierarchy.positions[:, 0]
    known = (along > along.quantile(1 - share)) & hierarchy.original
    features = (hierarchy.positions * 3).sin()
    filled, _ = fill_surface(features, known, hierarchy)
    for level in ("FINEST", "COARSER"):
        monkeypatch.setattr(f"rasterizer.hierarchy.fill.{level}", (500, 1e-4))
    solution, _ = fill_surface(features, known, hierarchy)
    error = (filled - solution)[hierarchy.original & ~known].abs()
    assert error.max() < most and error.mean() < mean


def test_filling_is_the_same_every_time(hierarchy: GridHierarchy, device: torch.device) -> None:
    there = hierarchy.to(device)
    features = (hierarchy.positions * 3).sin()
    known = (hierarchy.positions[:, 0] > 0.1) & hierarchy.original
    runs = [fill_surface(features.to(device), known.to(device), there) for _ in range(2)]
    assert torch.equal(runs[0][0], runs[1][0])
    here, has = fill_surface(features, known, hierarchy)
    torch.testing.assert_close(runs[0][0].cpu(), here, rtol=0, atol=1e-4)
    assert torch.equal(runs[0][1].cpu(), has)


def test_it_is_built_on_the_device_of_the_mesh(torus: Mesh, device: torch.device) -> None:
    here = GridHierarchy.from_mesh(torus.vertices, torus.faces, 48, 3, 8)
    there = GridHierarchy.from_mesh(torus.vertices.to(device), torus.faces.to(device), 48, 3, 8)
    assert there.positions.device.type == there.neighbors[2].device.type == device.type
    # Interpolated positions differ in their last bit between devices, which moves a few samples to the next cell.
    for level in range(3):
        assert abs(here.count(level) - there.count(level)) <= 0.005 * here.count(level)
    cells = there.find(torus.vertices.to(device))
    assert (cells >= 0).all()


@pytest.mark.parametrize("coloring", COLORINGS)
@pytest.mark.parametrize("level", [0, 3])
def test_cells_can_be_looked_at(hierarchy: GridHierarchy, coloring: str, level: int) -> None:
    cubes = voxel_mesh(hierarchy, level, coloring)
    assert len(cubes.faces) % 12 == 0
    assert cubes.vertex_colors.min() >= 0 and cubes.vertex_colors.max() <= 1
    # Each cube's sides face outwards.
    corners = cubes.vertices[cubes.faces.long()]
    middle = cubes.vertices.view(-1, 24, 3).mean(dim=1).repeat_interleave(12, dim=0)
    assert ((corners.mean(dim=1) - middle) * cubes.face_normals()).sum(dim=1).min() > 0
    assert rasterize_mesh(cubes, resolution=(64, 64)).mask.mean() > 0.1


def test_bad_input_is_named(torus: Mesh, hierarchy: GridHierarchy) -> None:
    with pytest.raises(ValueError, match="resolution: is 4"):
        GridHierarchy.from_mesh(torus.vertices, torus.faces, 4)
    with pytest.raises(ValueError, match="levels: is 8, expected at most 7 for a resolution of 64"):
        GridHierarchy.from_mesh(torus.vertices, torus.faces, 64, 8)
    with pytest.raises(ValueError, match="vertices: the mesh is 0.0 wide"):
        GridHierarchy.from_mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    with pytest.raises(ValueError, match="tri|faces"):
        GridHierarchy.from_mesh(torus.vertices, torus.faces + 10**6)
    with pytest.raises(ValueError, match=r"features: found \[3, 1\]"):
        fill_surface(torch.zeros(3, 1), torch.zeros(3, dtype=torch.bool), hierarchy)
    with pytest.raises(ValueError, match=r"known: found \[3\]"):
        fill_surface(torch.zeros(hierarchy.count(), 1), torch.zeros(3, dtype=torch.bool), hierarchy)
    with pytest.raises(ValueError, match="level: is 3"):
        hierarchy.pull(torch.zeros(hierarchy.count(3), 1), 3)
    with pytest.raises(ValueError, match="level: is 4"):
        voxel_mesh(hierarchy, 4)
    with pytest.raises(ValueError, match="coloring: is 'rainbow'"):
        voxel_mesh(hierarchy, 0, "rainbow")


def test_whole_numbers_of_any_type_and_array_likes(torus: Mesh) -> None:
    want = GridHierarchy.from_mesh(torus.vertices, torus.faces, 16, 2, 6)
    arrays = torus.vertices.numpy(), torus.faces.numpy()
    for got in (
        GridHierarchy.from_mesh(torus.vertices, torus.faces, 16.0, 2.0, 6.0),
        GridHierarchy.from_mesh(*arrays, np.int64(16), np.int32(2), np.int64(6)),
    ):
        assert torch.equal(got.positions, want.positions) and torch.equal(got.neighbors[1], want.neighbors[1])
        assert got.resolution == 16 and got.levels == 2


def test_native_builds_with_whole_numbers_of_any_type() -> None:
    random = torch.Generator().manual_seed(0)
    positions = [torch.rand(2, 8, 8, 4, generator=random) * 1.9 - 0.95 for _ in range(3)]
    normals = [torch.randn(2, 8, 8, 3, generator=random) for _ in range(3)]
    want, got = build_hierarchy(positions, normals, 2, 16), build_hierarchy(positions, normals, 2.0, np.float64(16))
    assert torch.equal(got[0][0], want[0][0]) and torch.equal(got[1][1], want[1][1])


def test_arguments_that_are_no_mesh_are_named(torus: Mesh) -> None:
    with pytest.raises(ValueError, match="vertices: is str"):
        GridHierarchy.from_mesh("torus", torus.faces)
    with pytest.raises(ValueError, match=r"vertices: shape is \[3\], expected \[N, 3\]"):
        GridHierarchy.from_mesh(torch.zeros(3), torus.faces)
    with pytest.raises(ValueError, match=r"faces: shape is \[0, 3\], the mesh has no faces"):
        GridHierarchy.from_mesh(torus.vertices, torus.faces[:0])


@pytest.mark.filterwarnings("ignore")  # nested tensors are a prototype
def test_arguments_of_another_type_are_named(torus: Mesh, hierarchy: GridHierarchy) -> None:
    count, points = hierarchy.count(), torus.vertices
    features, known = torch.zeros(count, 2), torch.ones(count, dtype=torch.bool)
    for words, call in (
        ("level: is 'all'", lambda: hierarchy.count("all")),
        ("level: is 4", lambda: hierarchy.count(4)),
        ("level: is 0.5", lambda: hierarchy.pull(features, 0.5)),
        ("features: is str", lambda: hierarchy.pull("red")),
        (r"features: found \[.*torch.float8", lambda: hierarchy.pull(features.to(torch.float8_e4m3fn))),
        ("level: is None", lambda: hierarchy.push(features, None)),
        ("features: is a nested tensor", lambda: hierarchy.push(torch.nested.nested_tensor([features]))),
        (r"points: found \[3\]", lambda: hierarchy.find(points[0])),
        ("points: is NoneType", lambda: hierarchy.find(None)),
        ("normals: is on the device meta", lambda: hierarchy.find(points, points.to("meta"))),
        ("normals: found 2 rows for", lambda: hierarchy.find(points, points[:2])),
        ("known: is NoneType", lambda: fill_surface(features, None, hierarchy)),
        ("hierarchy: found dict, expected a GridHierarchy", lambda: fill_surface(features, known, {})),
    ):
        with pytest.raises(ValueError, match=f"^{words}"):
            call()
    single = GridHierarchy.from_mesh(torus.vertices, torus.faces, 16, 1)
    with pytest.raises(ValueError, match="level: is 0, but the hierarchy has level 0 only"):
        single.pull(torch.zeros(single.count(), 1))
    assert hierarchy.count(np.int64(1)) == hierarchy.count(-3)


def test_points_of_any_type_are_found(torus: Mesh, hierarchy: GridHierarchy) -> None:
    want = hierarchy.find(torus.vertices)
    assert torch.equal(hierarchy.find(torus.vertices.numpy()), want)
    assert torch.equal(hierarchy.find(torus.vertices.tolist()), want)
    halves = torus.vertices.half()
    assert torch.equal(hierarchy.find(halves), hierarchy.find(halves.float()))


def test_points_are_found_where_nothing_has_float64(torus: Mesh, hierarchy: GridHierarchy, policy: str) -> None:
    assert (hierarchy.find(torus.vertices, torus.vertex_normals()) >= 0).all()


@pytest.mark.parametrize("seed", range(24, 40))
def test_all_that_hangs_together_is_reached_from_one_cell(seed: int) -> None:
    # With seed 31 no two nodes join when the resolution is halved from 5 to 2, and all do in the step after.
    random = torch.Generator().manual_seed(seed)
    vertices, faces = torch.rand(9, 3, generator=random), torch.randint(9, (4, 3), generator=random)
    made = GridHierarchy.from_mesh(vertices, faces, int(torch.randint(8, 41, (1,), generator=random)), 1)
    graph, _ = SurfaceGraph.of(made)
    part = torch.arange(len(graph.points))
    for _ in range(len(part)):
        around = torch.where(graph.neighbors >= 0, part[graph.neighbors.clamp(min=0)], len(part)).amin(dim=1)
        part = torch.minimum(part, around)
    largest, cells = part == part.mode().values, made.original.nonzero().squeeze(1)
    known = torch.zeros(made.count(), dtype=torch.bool)
    known[cells[largest][0]] = True
    filled, reached = fill_surface(torch.full((made.count(), 2), 0.7), known, made)
    assert torch.equal(reached[cells], largest)
    torch.testing.assert_close(filled[cells[largest]], torch.full((int(largest.sum()), 2), 0.7), rtol=0, atol=1e-3)
