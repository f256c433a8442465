"""Fragments without barycentrics, which are found later to the bit."""

from __future__ import annotations

import pytest
import torch

import rasterizer
from rasterizer.backends.kernels import rasterize as kernels
from rasterizer.cameras.camera import orbit_camera
from rasterizer.contract import scenes
from rasterizer.contract.types import RasterOptions
from rasterizer.meshes.sample_meshes import sample_mesh, trefoil_knot
from rasterizer.rendering.face_ids import FaceIds
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.runtime.policy import force_policy
from rasterizer.texturing.texels import Layout
from tests.support.emulator import emulated
from tests.support.policies import POLICIES

CAMERAS = [orbit_camera(0, 0), orbit_camera(50, 20, ortho_scale=None), orbit_camera(90, -30)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("along", "size"), [(150, (64, 48)), (12, (70, 333))])
def test_barycentrics_of_views_are_the_rasters(policy: str, along: int, size: tuple[int, int]) -> None:
    mesh = trefoil_knot(along, 30)
    with force_policy(POLICIES[policy]):
        raster, ids = rasterize_mesh(mesh, CAMERAS, size), FaceIds.of_views(mesh, CAMERAS, size)
        assert torch.equal(ids.findices, raster.findices[:, 0]) and ids.findices.any()
        assert torch.equal(ids.barycentric(slice(1, 3)), raster.barycentric[1:, 0])
        assert torch.equal(ids.distance(slice(1, 2)), raster.distance()[1:2, 0])
        first, last = size[0] * size[1] - 5, size[0] * size[1] + 3 * size[1] + 7  # from one view into the next
        assert torch.equal(ids.weights(first, last), raster.barycentric.reshape(-1, 3)[first:last])
        assert torch.equal(FaceIds.of(raster).barycentric(slice(0, 2)), raster.barycentric[:2, 0])


@pytest.mark.parametrize("size", [(50, 61), (700, 900)])
def test_texels_of_a_layout_are_those_of_its_raster(size: tuple[int, int]) -> None:
    mesh = sample_mesh("torus")
    raster, layout = rasterize_mesh(mesh, resolution=size, space="uv"), Layout.of(mesh, size)
    index = raster.findices.view(-1).nonzero().squeeze(1)
    texels = layout.all()
    assert torch.equal(texels.index, index)
    assert torch.equal(texels.face, raster.findices.view(-1)[index].long() - 1)
    assert torch.equal(texels.weights, raster.barycentric.view(-1, 3)[index])
    cuts = layout.bounds(1000)
    counts = [len(layout.between(start, stop)) for start, stop in zip(cuts, cuts[1:], strict=False)]
    assert cuts[-1] == size[0] * size[1] and set(counts[:-1]) <= {1000} and 0 < counts[-1] <= 1000
    assert sum(counts) == len(index)
    every = (index // size[1] % 4 == 0) & (index % size[1] % 4 == 0)
    assert torch.equal(layout.some(4).index, index[every])


def test_rasterize_leaves_them_out() -> None:
    pos, tri = scenes.soup(200, 0.2, seed=1, behind=0.1)
    whole, bare = rasterizer.rasterize(pos, tri, (40, 50)), rasterizer.rasterize(pos, tri, (40, 50), barycentrics=False)
    assert torch.equal(whole.findices, bare.findices) and bare.barycentric.shape == (40, 50, 0)
    nothing = rasterizer.rasterize(pos, tri[:0], (4, 5), barycentrics=False)
    assert not nothing.findices.any() and nothing.barycentric.shape == (4, 5, 0)


def test_kernels_find_them_later() -> None:
    pos, tri = scenes.soup(300, 0.1, seed=1, behind=0.1)
    views, size = torch.stack((pos, pos * 0.9)), (90, 70)
    with emulated(kernels.PROGRAM):
        found, want, _ = kernels._run(views, tri, RasterOptions(size))
        ids, none, _ = kernels._run(views, tri, RasterOptions(size, barycentrics=False))
        assert torch.equal(ids, found) and none.shape == (2, *size, 0) and found.any()
        weigh = kernels._weighing(views, tri, size)
        assert torch.equal(weigh(ids.view(-1), 0), want.view(-1, 3))
        assert torch.equal(weigh(ids.view(-1)[6000:7777], 6000), want.view(-1, 3)[6000:7777])
