"""Hunyuan3D's own renderer, as published on PyPI, on our modules: its results with the native module, to compare with.

It is fetched where it is not installed, without its dependencies, which are those of its models.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from rasterizer.diagnostics.peers.hunyuan3d import hy3dgen_renderer
from tests.support.borrowed import borrow
from tests.support.golden import load_golden

_MISSING = borrow("hy3dgen")
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)


@pytest.fixture
def mesh_render(finder: object) -> ModuleType:
    """Its renderer, on the modules that the finder serves."""
    return hy3dgen_renderer()


@pytest.fixture
def golden() -> SimpleNamespace:
    """Mesh, six views, and what hy3dgen made of them with the native module."""
    return SimpleNamespace(**load_golden("hy3dgen_maps"))


@pytest.fixture
def render(mesh_render: ModuleType, golden: SimpleNamespace) -> object:
    """A ``MeshRender`` with the golden mesh, made as the packs make it."""
    mesh = trimesh.Trimesh(
        golden.vertices, golden.faces, process=False, visual=trimesh.visual.TextureVisuals(uv=golden.uv)
    )
    render = mesh_render.MeshRender(
        default_resolution=int(golden.size),
        texture_size=int(golden.texture_size),
        **({"device": "cpu"} if torch.cuda.is_available() else {}),
    )
    render.load_mesh(mesh)
    return render


def _compare(name: str, found: object, want: np.ndarray) -> None:
    """Equal to the last bit where the golden file was made; elsewhere a camera's last bit may move an edge pixel."""
    error = np.abs(np.asarray(found, dtype=np.float64) - want)
    print(f"{name}: {(error > 0).sum()} of {error.size} values differ, at most by {error.max():.2g}")
    assert error.shape == want.shape
    assert (error > 1e-5).any(axis=-1).mean() < 1e-3


def test_it_runs_on_our_modules(mesh_render: ModuleType, render: object) -> None:
    assert render.raster is sys.modules["rasterizer.dropin.modules.custom_rasterizer"]
    assert mesh_render.meshVerticeInpaint is sys.modules["rasterizer.dropin.modules.mesh_processor"].meshVerticeInpaint
    assert render.device == "cpu"


def test_maps(render: object, golden: SimpleNamespace) -> None:
    for view, (elev, azim) in enumerate(zip(golden.elev.tolist(), golden.azim.tolist(), strict=True)):
        where = f"view {view}"
        world = render.render_normal(elev, azim, use_abs_coor=True, return_type="th")
        _compare(f"{where}, world normals", world, golden.normal_world[view])
        camera = render.render_normal(elev, azim, use_abs_coor=False, return_type="th")
        _compare(f"{where}, camera normals", camera, golden.normal_camera[view])
        _compare(f"{where}, positions", render.render_position(elev, azim, return_type="th"), golden.position[view])
        _compare(f"{where}, depth", render.render_depth(elev, azim, return_type="th"), golden.depth[view])


def test_bake(render: object, golden: SimpleNamespace) -> None:
    textures, weights = [], []
    views = zip(golden.images, golden.elev.tolist(), golden.azim.tolist(), golden.weights.tolist(), strict=True)
    for image, elev, azim, weight in views:
        texture, cosines, _ = render.back_project(torch.from_numpy(image), elev, azim)
        textures.append(texture)
        weights.append(weight * cosines**4)
    baked, trusted = render.fast_bake_texture(textures, weights)
    print(f"{int((trusted.numpy() != golden.trusted).sum())} texels are trusted here only, or there only")
    assert (trusted.numpy() != golden.trusted).mean() < 1e-3
    _compare("baked texture", baked, golden.baked)


def test_inpaint(render: object, golden: SimpleNamespace) -> None:
    painted = golden.trusted[..., 0]
    filled = render.uv_inpaint(torch.from_numpy(golden.baked), painted.astype(np.uint8) * 255)
    assert filled.shape == golden.baked.shape and filled.dtype == np.uint8
    assert (filled[~painted] > 0).any(axis=-1).mean() > 0.9
    kept = np.abs(filled.astype(int) - (golden.baked * 255).astype(int))[painted].max(axis=-1)
    assert (kept <= 1).mean() > 0.95  # the others are texels where vertices meet: their colours are made one


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA set_mesh is left as it is")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mesh_given_stays_the_same(mesh_render: ModuleType, golden: SimpleNamespace, dtype: type) -> None:
    # As the packs' UV nodes leave a mesh without texture: xatlas' own float32 array on colour visuals.
    mesh = trimesh.Trimesh(golden.vertices, golden.faces, process=False)
    mesh.visual.uv = golden.uv.astype(dtype)
    render = mesh_render.MeshRender()
    for _ in range(2):
        render.load_mesh(mesh)
        np.testing.assert_allclose(render.vtx_uv[:, 1], 1 - golden.uv[:, 1], atol=1e-6)
    render.set_texture(np.zeros((4, 4, 3), np.float32))
    np.testing.assert_array_equal(mesh.visual.uv, golden.uv.astype(dtype))
    np.testing.assert_allclose(render.save_mesh().visual.uv, golden.uv, atol=1e-6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA get_mesh is left as it is")
def test_its_mesh_stays_the_same(render: object, golden: SimpleNamespace) -> None:
    for _ in range(3):
        positions, faces, uv, _ = render.get_mesh()
        np.testing.assert_allclose(uv, golden.uv, atol=1e-6)
        np.testing.assert_array_equal(faces, golden.faces)
        centred = golden.vertices - (golden.vertices.max(0) + golden.vertices.min(0)) / 2
        scale = 1.15 / 2 / np.linalg.norm(centred, axis=1).max()
        np.testing.assert_allclose(positions, centred * scale, atol=1e-5)
