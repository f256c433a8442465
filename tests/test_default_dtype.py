"""Whatever PyTorch's default dtype is, which some packs set for the whole process, results keep their bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import rasterizer
from rasterizer.backends.kernels import quantized as quantized_kernels
from rasterizer.cameras.camera import orbit_camera, orbit_quaternion, turned
from rasterizer.cameras.views import turntable
from rasterizer.contract import scenes
from rasterizer.contract.reference import rasterize_reference
from rasterizer.diagnostics import selftest
from rasterizer.diagnostics.fields import FIELDS
from rasterizer.hierarchy import COLORINGS, GridHierarchy, fill_surface, voxel_mesh
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.quantized import quantize
from rasterizer.meshes.sample_meshes import SAMPLES, sample_mesh, trefoil_knot
from rasterizer.rendering.attributes import ATTRIBUTES, attribute_image
from rasterizer.rendering.choose_views import add_views
from rasterizer.rendering.lit import brdf, prefilter, render_mesh, studio
from rasterizer.rendering.maps import render_maps
from rasterizer.rendering.quantized import rasterize_quantized_mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing import METHODS, bake_views, fill_texture

pytestmark = pytest.mark.slow

DTYPES = [torch.float64, torch.float16, torch.bfloat16]
SOUPS = {"small": scenes.soup(400, 0.1, seed=1), "large": scenes.soup(30, 2.5, seed=2, behind=0.1)}
TORUS = sample_mesh("torus")
KNOT = trefoil_knot(60, 12)
VIEWS = [
    orbit_camera(0, 0),
    orbit_camera(140, 30, ortho_scale=None),
    turned(orbit_camera(0, 0), orbit_quaternion(9, 9)),
]


@pytest.fixture(params=DTYPES, ids=str)
def set_default(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Makes another dtype the default; when the test is over, it is float32 again."""
    yield lambda: torch.set_default_dtype(request.param)
    torch.set_default_dtype(torch.float32)


def tensors(value: object) -> list[Tensor]:
    """All tensors in what a function has returned, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in tensors(item)]
    return [tensor for item in vars(value).values() for tensor in tensors(item)] if hasattr(value, "__dict__") else []


def same(call: Callable[[], object], set_default: Callable[[], None]) -> None:
    """Compare what a call returns before and after."""
    want = tensors(call())
    set_default()
    got = tensors(call())
    assert len(got) == len(want) > 0
    for one, other in zip(got, want, strict=True):
        assert one.dtype == other.dtype and torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


@pytest.mark.parametrize("scene", SOUPS)
@pytest.mark.parametrize("mode", ["auto", "tiled", "batched"])
def test_rasterizing(scene: str, mode: str, policy: str, set_default) -> None:
    pos, tri = SOUPS[scene]

    def draw() -> object:
        first = rasterizer.rasterize(pos, tri, (90, 70), mode=mode)
        prior = rasterizer.interpolate(pos[:, 2:3], *first, tri)[..., 0]
        both = rasterizer.rasterize(torch.stack((pos, -pos)), tri, (40, 50), mode=mode, batch_size=64)
        return *first, *rasterizer.rasterize(pos, tri, (90, 70), mode=mode, depth_prior=prior), *both

    same(draw, set_default)


@pytest.mark.parametrize("channels", [2, 20])
def test_interpolating_and_gradients(channels: int, policy: str, set_default) -> None:
    pos, tri = SOUPS["small"]
    found, weights = rasterizer.rasterize(pos, tri, (60, 50))
    col = torch.rand(len(pos), channels, generator=torch.Generator().manual_seed(0))

    def run() -> object:
        leaf, corners = col.clone().requires_grad_(), pos.clone().requires_grad_()
        image = rasterizer.interpolate(leaf, *rasterizer.rasterize(corners, tri, (60, 50)), tri)
        image.sum().backward()
        return rasterizer.interpolate(col, found, weights, tri), leaf.grad, rasterizer.barycentrics(pos, tri, found)

    same(run, set_default)


def test_meshes_of_integers(set_default) -> None:
    def draw() -> object:
        small = quantize(KNOT)
        views = rasterize_quantized_mesh(small, VIEWS, (40, 50)), rasterize_quantized_mesh(small, space="uv")
        return small.positions, small.uvs, *map(tuple, views), quantized_kernels._views()

    same(draw, set_default)


def test_lists_of_numbers(set_default) -> None:
    pos, tri = SOUPS["small"]
    same(lambda: rasterizer.rasterize(pos.tolist(), tri.tolist(), [30, 40]), set_default)


def test_lists_of_numbers_to_objects(set_default) -> None:
    pos, tri = SOUPS["small"]
    same(lambda: rasterizer.PyTorchRasterizer("cpu").rasterize(pos.tolist(), tri.tolist(), (30, 40)), set_default)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples(name: str, set_default) -> None:
    same(lambda: sample_mesh(name), set_default)


def test_scenes(set_default) -> None:
    same(lambda: [scenes.sphere(100), scenes.uv_grid(50), scenes.soup(30, 0.5, behind=0.2)], set_default)


def test_reference(set_default) -> None:
    pos, tri = SOUPS["large"]
    same(lambda: [torch.from_numpy(a) for a in rasterize_reference(pos.numpy(), tri.numpy(), 20, 30)], set_default)


def test_selftest(set_default) -> None:
    set_default()
    assert all(check.passed for check in selftest.run(torch.device("cpu")))


def test_baking(set_default) -> None:
    images = torch.rand(len(VIEWS), 60, 50, 3, generator=torch.Generator().manual_seed(0))
    same(lambda: bake_views(TORUS, images, VIEWS, 64, masks=images[..., 0]), set_default)


@pytest.mark.parametrize("method", METHODS)
def test_filling(method: str, set_default) -> None:
    texture = torch.rand(96, 96, 3, generator=torch.Generator().manual_seed(0))
    same(lambda: fill_texture(texture, texture[..., 0] > 0.8, TORUS, method), set_default)


@pytest.mark.parametrize("style", ["hunyuan3d-2", "hunyuan3d-2.1"])
def test_maps(style: str, set_default) -> None:
    same(lambda: render_maps(TORUS, VIEWS, (50, 60), style), set_default)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_attributes(attribute: str, set_default) -> None:
    colored = Mesh(TORUS.vertices, TORUS.faces, TORUS.uvs, vertex_colors=TORUS.vertices.abs(), texture=TORUS.texture)
    same(lambda: attribute_image(rasterize_mesh(colored, VIEWS, (40, 50), layers=2), attribute), set_default)


def test_more_views(set_default, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rasterizer.rendering.choose_views._SIZE", 64)
    views = turntable(1)
    same(lambda: [torch.tensor([view.azimuth], dtype=torch.float64) for view in add_views(KNOT, views, 2)], set_default)


def test_hierarchy(set_default) -> None:
    def build() -> object:
        made = GridHierarchy.from_mesh(KNOT.vertices, KNOT.faces, 24, 3)
        filled = fill_surface(made.positions, made.original & (made.positions[:, 0] > 0), made)
        found = made.find(KNOT.vertices * 1.001, KNOT.normals)
        cubes = [voxel_mesh(made, 1, coloring) for coloring in COLORINGS]
        pulled = made.pull(made.positions)
        return made, filled, found, cubes, pulled, made.push(pulled)

    same(build, set_default)


@pytest.mark.parametrize("resolution", [16, 20])
def test_native_hierarchy(resolution: int, set_default) -> None:
    random = torch.Generator().manual_seed(0)
    positions = [torch.rand(3, 12, 12, 4, generator=random) * 1.9 - 0.95 for _ in range(3)]
    normals = [torch.randn(3, 12, 12, 3, generator=random) for _ in range(3)]
    same(lambda: rasterizer.build_hierarchy_with_feat(positions, normals, normals, 3, resolution), set_default)


@pytest.mark.parametrize("field", FIELDS)
def test_fields_of_the_quality_report(field: str, set_default) -> None:
    same(lambda: FIELDS[field](TORUS.vertices), set_default)


def test_lit_pictures(set_default: Callable[[], None]) -> None:
    generator = torch.Generator().manual_seed(1)
    panorama, bumps = (torch.rand(*size, 3, generator=generator) for size in ((8, 16), (32, 32)))

    def draw() -> object:
        studio._made.clear()
        brdf._table.cache_clear()
        mesh = replace(TORUS, normal_map=bumps, metallic_roughness=bumps)
        around = prefilter(panorama)
        return [
            render_mesh(mesh, VIEWS[:2], (40, 32)),
            render_mesh(mesh, VIEWS[:1], (40, 32), light="headlight", shading="flat", background="transparent"),
            render_mesh(mesh, VIEWS[1:2], (40, 32), environment=around, background="environment"),
        ]

    same(draw, set_default)
