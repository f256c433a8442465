"""Conditioning maps: Hunyuan3D's own, and its formulas at points that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rasterizer.cameras.camera import orbit_camera
from rasterizer.cameras.projection import normalization
from rasterizer.cameras.views import PRESETS
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.maps import Maps, render_maps
from rasterizer.rendering.raster import rasterize_mesh
from tests.support.golden import load_golden

SIX = [view.camera() for view in PRESETS["hunyuan3d-2"]]


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """Maps that Hunyuan3D's MeshRender made on the native module."""
    return load_golden("hy3dgen_maps")


@pytest.fixture(scope="module")
def golden_mesh(golden: dict[str, np.ndarray]) -> Mesh:
    return Mesh(
        torch.from_numpy(golden["vertices"]).float(),
        torch.from_numpy(golden["faces"]).int(),
        torch.from_numpy(golden["uv"]).float(),
    )


@pytest.fixture(scope="module")
def maps(golden: dict[str, np.ndarray], golden_mesh: Mesh) -> Maps:
    """Ours of the same views."""
    assert golden["azim"].tolist() == [view.azimuth for view in PRESETS["hunyuan3d-2"]]
    assert golden["elev"].tolist() == [view.elevation for view in PRESETS["hunyuan3d-2"]]
    size = int(golden["size"])
    return render_maps(golden_mesh, SIX, (size, size))


@pytest.mark.parametrize("name", ["position", "depth"])
def test_hunyuan3d_maps(golden: dict[str, np.ndarray], maps: Maps, name: str) -> None:
    want = golden[name]
    np.testing.assert_allclose(getattr(maps, name).numpy()[..., : want.shape[-1]], want, rtol=0, atol=2e-5)


def test_hunyuan3d_normals_away_from_seams(golden: dict[str, np.ndarray], golden_mesh: Mesh, maps: Maps) -> None:
    # Its normals crease along seams, where ours are the mean over all vertices at one position.
    same = (golden_mesh.vertex_normals() - golden_mesh.vertex_normals(weld=False)).abs().amax(dim=1) < 1e-6
    size = int(golden["size"])
    face = rasterize_mesh(golden_mesh, SIX, (size, size)).findices[:, 0].long() - 1
    away = (face < 0) | same[golden_mesh.faces.long()].all(dim=1)[face.clamp(min=0)]
    assert 0.5 < same.float().mean() < 1 and away.float().mean() > 0.8
    difference = (maps.normal - torch.from_numpy(golden["normal_world"])).abs().amax(dim=-1)
    assert difference[away].max() < 2e-5
    assert difference[~away].max() > 1e-3


def test_backgrounds_and_mask(maps: Maps) -> None:
    empty = maps.mask == 0
    assert 0.1 < maps.mask.mean() < 0.9 and set(maps.mask.unique().tolist()) == {0, 1}
    assert (maps.normal[empty] == 1).all() and (maps.position[empty] == 1).all() and (maps.depth[empty] == 0).all()
    for view, depth in enumerate(maps.depth):
        seen = depth[~empty[view]]
        assert seen.min() == 0 and seen.max() == 1


@pytest.mark.parametrize("style", ["hunyuan3d-2", "hunyuan3d-2.1"])
def test_formulas_on_an_axis_aligned_box(style: str) -> None:
    corners = torch.tensor([[x, y, z] for x in (0.0, 2.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]  # -x +x -y +y -z +z
    faces = torch.tensor([corner for a, b, c, d in quads for corner in ((a, b, c), (a, c, d))], dtype=torch.int32)
    mesh = Mesh(corners, faces)
    if style == "hunyuan3d-2":  # smooth, so that a side is of one normal only where nothing is shared
        mesh = Mesh(corners[faces.long().flatten()] + 0, torch.arange(36, dtype=torch.int32).view(12, 3))
    found = render_maps(mesh, SIX, (65, 65), style)
    middle = found.normal[:, 32, 32] * 2 - 1
    if style == "hunyuan3d-2.1":
        # (nx, -nz, ny) of +z, +x, -z, -x, +y and -y
        want = torch.tensor([[0, -1, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]]).float()
        torch.testing.assert_close(middle, want, rtol=0, atol=1e-6)
    else:
        assert (middle.norm(dim=-1) < 0.99).all()  # welded corners, and not renormalised per pixel
    centre, scale = normalization(corners)
    x, y, z = ((torch.tensor([1.0, 0.5, 1.0]) - centre) * scale).tolist()  # the middle of the front
    want = torch.tensor([0.5 + x / 1.15, 0.5 - z / 1.15, 0.5 + y / 1.15])
    torch.testing.assert_close(found.position[0, 32, 32], want, rtol=0, atol=1e-6)


def test_own_normals_of_a_mesh_are_not_shown() -> None:
    torus = sample_mesh("torus")
    wrong = replace(torus, normals=-torus.normals)
    assert torch.equal(render_maps(wrong, None, (32, 32)).normal, render_maps(torus, None, (32, 32)).normal)


def test_views_in_a_batch_are_those_drawn_alone() -> None:
    torus = sample_mesh("torus")
    together = render_maps(torus, SIX, (48, 48))
    for number, camera in enumerate(SIX):
        for whole, part in zip(
            vars(together).values(), vars(render_maps(torus, [camera], (48, 48))).values(), strict=True
        ):
            assert torch.equal(whole[number], part[0])


def test_a_view_that_sees_nothing_is_background() -> None:
    found = render_maps(sample_mesh("torus"), [orbit_camera(0, 0, ortho_scale=1e-4)], (16, 16))  # through the hole
    assert not found.mask.any() and not found.depth.any() and (found.normal == 1).all()


def test_progress_rises_and_may_stop() -> None:
    shares: list[float] = []
    render_maps(sample_mesh("torus"), SIX, (16, 16), on_progress=shares.append)
    assert shares == sorted(shares) and shares[0] < 0.25 and 0.75 <= shares[-1] <= 1

    def stop(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_maps(sample_mesh("torus"), SIX, (16, 16), on_progress=stop)
    with pytest.raises(ValueError, match="style: is 'hunyuan3d-3', expected one of hunyuan3d-2, hunyuan3d-2.1"):
        render_maps(sample_mesh("torus"), style="hunyuan3d-3")


@pytest.mark.parametrize("style", ["hunyuan3d-2", "hunyuan3d-2.1"])
@pytest.mark.parametrize("far", [float("nan"), float("inf")])
def test_a_vertex_that_is_nowhere_leaves_a_hole_and_no_more(far: float, style: str) -> None:
    mesh = sample_mesh("torus")
    vertices = mesh.vertices.clone()
    vertices[int(mesh.vertices[:, 2].argmax())] = far
    want = render_maps(mesh, None, (96, 96), style)
    found = render_maps(replace(mesh, vertices=vertices), None, (96, 96), style)
    change = (found.normal - want.normal).abs().amax(-1)
    assert change.amax() > 0.1 and (change < 0.01).float().mean() > 0.98
    assert all(image.isfinite().all() for image in (found.normal, found.position, found.depth))
