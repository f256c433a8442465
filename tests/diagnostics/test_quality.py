"""The quality bench: its peers are what they say, and its figures tell good textures from bad ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rasterizer.cameras.projection import look_frame
from rasterizer.cameras.views import PRESETS, View
from rasterizer.diagnostics import quality
from rasterizer.diagnostics.fields import FIELDS, photograph
from rasterizer.diagnostics.layout import overlap
from rasterizer.diagnostics.peers.hunyuan3d import _sample, back_sample, find_peers, their_layout
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing import Texels
from tests.support.golden import load_golden
from tests.support.needs import needs_opencv, needs_xatlas

CAMERAS = [view.camera() for view in PRESETS["hunyuan3d-2"]]


@pytest.fixture(scope="module")
def folded() -> Mesh:
    """Both halves of the torus on the same texels, as mirrored models have it."""
    mesh = sample_mesh("torus")
    uvs = mesh.uvs[mesh.faces.long()]
    half = uvs[..., 0].mean(dim=1, keepdim=True) > 0.5
    uvs[..., 0] -= 0.48 * half
    corners = torch.cat((mesh.vertices[mesh.faces.long()], uvs), dim=-1).reshape(-1, 5)
    corners, faces = corners.unique(dim=0, return_inverse=True)
    return Mesh(corners[:, :3], faces.view(-1, 3).int(), uvs=corners[:, 3:], name="folded")


@pytest.fixture(scope="module")
def rows(folded: Mesh) -> list[quality.Row]:
    """What is measured of the torus, and of it folded."""
    return list(quality.measure(torch.device("cpu"), [sample_mesh("torus"), folded], 128))


@pytest.fixture(scope="module")
def plain(rows: list[quality.Row]) -> list[quality.Row]:
    """The part of the torus as it is."""
    return [row for row in rows if row.mesh == "torus"]


def test_antialiased_pictures_are_averages_around_the_same_pixel_centres() -> None:
    mesh, cameras = sample_mesh("torus"), CAMERAS[:1]
    plain, fine = (photograph(mesh, cameras, 64, lambda points: points, samples) for samples in (1, 3))
    mask = rasterize_mesh(mesh, cameras, (64, 64)).mask[:, None, 0]
    inside = torch.nn.functional.max_pool2d(1 - mask, 5, 1, 2) == 0
    assert inside.sum() > 200
    # Positions in the picture's plane are linear in it, whose averages are those at the centre.
    torch.testing.assert_close(plain[0, inside[0, 0]][:, :2], fine[0, inside[0, 0]][:, :2], rtol=0, atol=1e-4)
    assert ((fine == 1).all(-1) != (plain == 1).all(-1)).any()


@needs_opencv
def test_back_sample_is_that_of_hunyuan3d() -> None:
    golden = load_golden("back_sample_torus")  # in 256 x 256 pixels, baked by the MeshRender of Hunyuan3D 2.1
    texture, painted = torch.from_numpy(golden["texture"]).float() / 255, torch.from_numpy(golden["painted"])
    mesh = sample_mesh("torus")
    found = back_sample(mesh, photograph(mesh, CAMERAS, 256, FIELDS["smooth"], 1), PRESETS["hunyuan3d-2"])
    assert (found.painted != painted).sum() < 10
    both = found.painted & painted
    error = (found.texture - texture)[both].abs().amax(dim=1)
    assert error.quantile(0.999) < 0.6 / 255 and (error > 0.01).sum() < 10


def test_back_sample_reads_a_pixel_that_grows_to_one_off() -> None:
    size, view = 64, View(0, 0)
    mesh = sample_mesh("torus")
    camera = view.camera()
    raster = rasterize_mesh(mesh, [camera], (size, size))
    ramp = torch.arange(size, dtype=torch.float32).expand(size, size)[..., None]
    texels = Texels.of(their_layout(mesh, size), (size, size))
    points = texels.interpolate(look_frame(mesh.vertices, [camera])[0])
    color, trust = _sample(points, ramp, -raster.distance()[0, 0], raster.mask[0, 0], camera)
    seen = trust > 0
    right = points[:, 0] / 0.6  # -1..1
    assert seen.any() and not seen.all()
    # Bilinear on a ramp is exact: what is read is where it was looked up, and not where it was drawn.
    torch.testing.assert_close(color[seen, 0], (right[seen] * 0.5 + 0.5) * size, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_baked_textures_are_measured(plain: list[quality.Row]) -> None:
    assert {(row.field, row.method) for row in plain} >= {(field, "surface") for field in FIELDS}
    ours = {row.field: row for row in plain if row.method == "surface"}
    assert ours["smooth"].share > 0.8 and ours["smooth"].painted > 55 and ours["smooth"].whole > 35
    assert ours["smooth"].seam < 8
    text = quality.markdown(plain)
    assert sum(line.startswith("| torus") for line in text.splitlines()) == len(plain)
    assert "exact colour in every texel" in text


@pytest.mark.slow
def test_what_is_seen_stands_beside_what_a_texture_holds_at_best(plain: list[quality.Row]) -> None:
    def seen(field: str, method: str) -> float:
        return next(row.rendered for row in plain if (row.field, row.method) == (field, method))

    centres, means = "exact colour of texel centres", "exact, averaged over texels"
    assert seen("hard", means) > seen("hard", centres) + 1 > seen("hard, antialiased", "surface") - 1
    assert seen("fine", centres) > seen("fine", means) + 2
    assert seen("fine", "surface") > seen("fine", means)  # filtered, but not dimmed as by a box


@pytest.mark.slow
@needs_opencv
def test_peers_are_measured_beside_ours(plain: list[quality.Row]) -> None:
    assert {row.method for row in plain} >= set(find_peers()) >= {"back_sample"}
    smooth = {row.method: row for row in plain if row.field == "smooth"}
    ours, peer = smooth["surface"], smooth["back_sample"]
    assert ours.shared is None and peer.shared == pytest.approx(peer.painted, abs=1)
    assert peer.ours > peer.shared + 15 and ours.painted > peer.painted + 15
    assert ours.share > peer.share > 0.5 and ours.whole > peer.whole > 20 and ours.seam < peer.seam / 2


@pytest.mark.slow
def test_a_layout_that_overlaps_is_told_and_unwrapped(folded: Mesh, rows: list[quality.Row]) -> None:
    mesh = sample_mesh("torus")
    assert overlap(mesh) < 0.001 and quality.variants(mesh) == [mesh]
    assert overlap(folded) == pytest.approx(0.5, abs=0.01)
    plain, twice = (next(row for row in rows if row.mesh == name) for name in ("torus", "folded"))
    assert twice.seam_exact > 5 * plain.seam_exact and twice.seam > twice.seam_exact / 2
    text = quality.markdown(rows)
    assert "folded: 50% of its UV layout lies on other parts of it" in text and "torus:" not in text


@pytest.mark.slow
@needs_xatlas
def test_a_mesh_that_overlaps_is_measured_with_other_uvs_as_well() -> None:
    mesh = sample_mesh("torus")
    mesh = replace(mesh, uvs=mesh.uvs % 0.25)
    same, other = quality.variants(mesh)
    assert same is mesh and other.name == "torus unwrapped" and overlap(other) < 0.01
