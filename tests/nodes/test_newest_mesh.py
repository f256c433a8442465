"""Every node with the newest MESH of ComfyUI, as it came after 0.33: all attributes, a padded batch, a camera list.

Where no ComfyUI of that age is at hand its class is written here from its documentation. What is checked: a batch gives
what its meshes give one by one, and no node changes what it was given.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh
from torch import Tensor

from tests.support.needs import needs_simplification, needs_xatlas
from tests.support.pack import RASTERIZE, SIZE, run

TEXELS = 64


class NewestMesh:
    """ComfyUI's MESH with all that it may hold."""

    def __init__(
        self,
        vertices: Tensor,
        faces: Tensor,
        *,
        uvs: Tensor | None = None,
        vertex_colors: Tensor | None = None,
        texture: Tensor | None = None,
        vertex_counts: Tensor | None = None,
        face_counts: Tensor | None = None,
        unlit: bool = False,
        normals: Tensor | None = None,
        metallic_roughness: Tensor | None = None,
        tangents: Tensor | None = None,
        normal_map: Tensor | None = None,
        emissive: Tensor | None = None,
        occlusion_in_mr: bool = False,
        material: dict[str, Any] | None = None,
    ) -> None:
        assert (vertex_counts is None) == (face_counts is None)
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})

    def _comfy_cache_tensors(self) -> list[Tensor]:
        return [value for value in vars(self).values() if isinstance(value, Tensor)]


def shapes(pack: SimpleNamespace) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Vertices, faces and UVs of two meshes, which are not of one size."""
    torus = pack.samples.sample_mesh("torus")
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.8)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)
    x, y, z = vertices.unbind(1)
    halves = torch.stack([x * 0.3 + 0.25 + 0.5 * (z > 0), y * 0.6 + 0.5], dim=1)  # front and back side by side
    return [(torus.vertices, torus.faces, torus.uvs), (vertices, torch.tensor(ball.faces), halves)]


def one(vertices: Tensor, faces: Tensor, uvs: Tensor, seed: int) -> NewestMesh:
    """A batch of one mesh with every attribute."""
    make = torch.Generator().manual_seed(seed)
    count = len(vertices)

    def image() -> Tensor:
        return torch.rand(1, 8, 12, 3, generator=make)

    def unit(width: int) -> Tensor:
        return torch.nn.functional.normalize(torch.randn(1, count, width, generator=make), dim=-1)

    return NewestMesh(
        vertices[None],
        faces[None].to(torch.int64),
        uvs=uvs[None],
        vertex_colors=torch.rand(1, count, 4, generator=make),
        texture=image(),
        normals=unit(3),
        metallic_roughness=image(),
        tangents=unit(4),
        normal_map=image(),
        emissive=image(),
        unlit=True,
        occlusion_in_mr=True,
        material={"base_color_factor": [0.5, 0.5, 0.5, 1.0], "metallic_factor": -1.0, "double_sided": True},
    )


def batch(parts: list[NewestMesh]) -> NewestMesh:
    """Rows padded with zeros, and counted."""
    rows = ("vertices", "faces", "uvs", "vertex_colors", "normals", "tangents")
    images = ("texture", "metallic_roughness", "normal_map", "emissive")
    pad = torch.nn.utils.rnn.pad_sequence
    tensors = {name: pad([getattr(part, name)[0] for part in parts], batch_first=True) for name in rows}
    return NewestMesh(
        **tensors,
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in images},
        vertex_counts=torch.tensor([part.vertices.shape[1] for part in parts]),
        face_counts=torch.tensor([part.faces.shape[1] for part in parts]),
        **{name: getattr(parts[0], name) for name in ("unlit", "occlusion_in_mr", "material")},
    )


CAMERAS = [
    {
        "position": {"x": x, "y": 0.4, "z": z},
        "target": {"x": 0.0, "y": 0.0, "z": 0.0},
        "zoom": 1.0,
        "cameraType": "perspective",
        "quaternion": None,
        "useCustomUp": False,
        "fov": 40.0,
        "aspect": 1.0,
        "near": 0.01,
        "far": 1000.0,
        "frustum": None,
    }
    for x, z in ((0.0, 4.0), (4.0, 0.0), (0.0, -4.0))
]


@pytest.fixture
def given(pack: SimpleNamespace) -> SimpleNamespace:
    """Two meshes of different sizes, alone and together; nothing that a test does may change them."""
    single = [one(*shape, seed) for seed, shape in enumerate(shapes(pack))]
    made = SimpleNamespace(single=single, batch=batch(single), cameras=copy.deepcopy(CAMERAS))
    before = copy.deepcopy(made)
    yield made
    assert made.cameras == before.cameras
    for mesh, old in zip([*made.single, made.batch], [*before.single, before.batch], strict=True):
        assert vars(mesh).keys() == vars(old).keys()
        for name, value in vars(old).items():
            now = getattr(mesh, name)
            assert torch.equal(now, value) if isinstance(value, Tensor) else now == value, name


def pictures(count: int) -> Tensor:
    """Different ones for each view."""
    return torch.rand(count, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(7))


def same_meshes(pack: SimpleNamespace, together: Any, alone: list[Any]) -> None:
    """A MESH holds what several hold."""
    found = pack.border.read_meshes(together)
    want = [pack.border.read_meshes(mesh)[0] for mesh in alone]
    for mesh, other in zip(found, want, strict=True):
        for name in ("vertices", "faces", "uvs", "normals", "vertex_colors", "texture", "metallic_roughness"):
            now, expected = getattr(mesh, name), getattr(other, name)
            assert (now is None) == (expected is None), name
            if now is not None:
                torch.testing.assert_close(now, expected, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("space", ["camera", "uv"])
@pytest.mark.parametrize("attribute", ["position", "normal", "uv", "vertex color", "texture", "face id"])
def test_rasterize_and_interpolate(pack: SimpleNamespace, given: SimpleNamespace, space: str, attribute: str) -> None:
    def images(mesh: Any) -> list[Tensor]:
        chosen = {"cameras": given.cameras, "layers": 2} if space == "camera" else {"layers": 1}
        inputs = {**RASTERIZE, "space": space, **chosen}
        raster, *drawn = run(pack, "Rasterize", mesh=mesh, **inputs)
        shown = run(
            pack,
            "Interpolate",
            raster=raster,
            attribute=attribute,
            shading="smooth",
            encoding="raw",
            background="#ffffff",
        )
        assert all(float(image.min()) < float(image.max()) for image in (drawn[0], *shown))
        return [*drawn, *shown]

    alone = [images(mesh) for mesh in given.single]
    for found, parts in zip(images(given.batch), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(found, torch.cat(parts), rtol=0, atol=0)


def test_render_maps(pack: SimpleNamespace, given: SimpleNamespace) -> None:
    def maps(mesh: Any) -> tuple[Tensor, ...]:
        return run(pack, "RenderMaps", mesh=mesh, cameras=given.cameras, size=SIZE, style="hunyuan3d-2")

    for found, *parts in zip(maps(given.batch), *map(maps, given.single), strict=True):
        assert len(found) == 2 * len(CAMERAS)
        torch.testing.assert_close(found, torch.cat(parts), rtol=0, atol=0)


def test_bake_refine_and_fill(pack: SimpleNamespace, given: SimpleNamespace) -> None:
    images = pictures(2 * len(CAMERAS))
    options = {"texture_size": TEXELS, "exponent": 4.0, "max_angle": 75.0, "border": 1}

    def textures(mesh: Any, part: slice) -> list[Tensor]:
        baked = run(pack, "BakeViews", mesh=mesh, images=images[part], cameras=given.cameras, **options)
        inputs = {"texture": baked[0], "painted": baked[1], "images": baked[5], "cameras": given.cameras}
        refining = {"steps": 2, "strength": 1.0, "exponent": 4.0, "max_angle": 75.0, "border": 1}
        refined = run(pack, "RefineTexture", mesh=mesh, **inputs, **refining)[0]
        filled = run(pack, "FillTexture", texture=refined, painted=baked[1], mesh=mesh, method="surface")
        return [*baked[:3], *baked[4:6], refined, *filled]

    count = len(CAMERAS)
    alone = [textures(mesh, slice(n * count, (n + 1) * count)) for n, mesh in enumerate(given.single)]
    for found, parts in zip(textures(given.batch, slice(None)), zip(*alone, strict=True), strict=True):
        assert float(found.max()) > 0
        torch.testing.assert_close(found, torch.cat(parts), rtol=0, atol=0)


@pytest.mark.slow
@needs_xatlas
def test_unwrap(pack: SimpleNamespace, given: SimpleNamespace) -> None:
    options = {"resolution": TEXELS, "padding": 1}
    assert run(pack, "UnwrapUV", mesh=given.batch, **options)[0] is given.batch, "it has UVs"
    options |= {"keep_existing": False, "texture_size": TEXELS}
    made = run(pack, "UnwrapUV", mesh=given.batch, **options)[0]
    same_meshes(pack, made, [run(pack, "UnwrapUV", mesh=mesh, **options)[0] for mesh in given.single])
    for mesh in pack.border.read_meshes(made):
        assert mesh.uvs is not None
        for name in ("texture", "metallic_roughness", "normal_map"):
            assert getattr(mesh, name).shape[0] == TEXELS, name
    assert getattr(made, "tangents", None) is None, "they belong to the old UVs"
    assert made.emissive.shape[0] == 2
    assert made.material["double_sided"]
    assert made.material["base_color_factor"] == [1.0] * 4, "it is in the vertex colours now"
    assert made.occlusion_in_mr


@pytest.mark.slow
@needs_simplification
@pytest.mark.parametrize("keep_uvs", [True, False])
def test_simplify(pack: SimpleNamespace, given: SimpleNamespace, keep_uvs: bool) -> None:
    options = {"target_faces": 300, "keep_uvs": keep_uvs}
    made = run(pack, "Simplify", mesh=given.batch, **options)[0]
    same_meshes(pack, made, [run(pack, "Simplify", mesh=mesh, **options)[0] for mesh in given.single])
    assert made.tangents is None, "they belong to the old vertices"
    white = [1.0] * 4  # the factor is in the vertex colours now
    assert made.unlit and made.material == {**given.batch.material, "base_color_factor": white}
    for name in ("texture", "metallic_roughness", "normal_map", "emissive"):
        assert getattr(made, name) is (getattr(given.batch, name) if keep_uvs else None), name


def test_apply(pack: SimpleNamespace, given: SimpleNamespace) -> None:
    base, surface = pictures(2), pictures(2).flip(0)

    def apply(mesh: Any, part: slice) -> tuple[Any, Any]:
        images = {"base_color": base[part], "metallic_roughness": surface[part], "mr_layout": "gltf ORM"}
        return run(pack, "ApplyTexture", mesh=mesh, **images)

    made, trimesh_value = apply(given.batch, slice(None))
    same_meshes(pack, made, [apply(mesh, slice(n, n + 1))[0] for n, mesh in enumerate(given.single)])
    assert torch.equal(made.texture, base)
    assert trimesh_value.visual.uv is not None
    for name in ("tangents", "emissive", "vertex_counts", "unlit", "occlusion_in_mr"):
        assert getattr(made, name) is getattr(given.batch, name), name
    # Its strength is in it by now.
    expected = torch.stack([mesh.normal_map for mesh in pack.border.read_meshes(given.batch)])
    assert torch.equal(made.normal_map, expected) and made.material.get("normal_scale", 1.0) == 1.0
    assert made.material["base_color_factor"] == [1.0] * 4
    assert made.material["double_sided"]


def test_mesh_to_images(pack: SimpleNamespace, given: SimpleNamespace) -> None:
    def take(mesh: Any) -> tuple[Any, ...]:
        return run(pack, "MeshToImages", mesh=mesh, size=TEXELS, layout_over="base color")

    together, alone = take(given.batch), [take(mesh) for mesh in given.single]
    for found, parts in zip(together[:-1], zip(*(each[:-1] for each in alone), strict=True), strict=True):
        torch.testing.assert_close(found, torch.cat(parts), rtol=0, atol=0)
    assert torch.equal(together[2], given.batch.normal_map)
    assert together[-1].count("Its vertex colours are in base_color.") == 2


def test_save(pack: SimpleNamespace, given: SimpleNamespace, folders: SimpleNamespace) -> None:
    paths, _ = run(pack, "SaveMesh", mesh=given.batch, filename_prefix="3d/newest", format="glb")
    assert len(paths) == 2
    for path, mesh in zip(paths, given.single, strict=True):
        (loaded,) = trimesh.load(folders.output / path).geometry.values()
        assert len(loaded.faces) == mesh.faces.shape[1]


def test_grid_hierarchy(pack: SimpleNamespace, given: SimpleNamespace) -> None:
    options = {"resolution": 16, "levels": 2, "max_layers": 8}

    def build(mesh: Any) -> tuple[Any, ...]:
        return run(pack, "GridHierarchy", mesh=mesh, **options)[0].hierarchies

    found, want = build(given.batch), [build(mesh)[0] for mesh in given.single]
    for made, alone in zip(found, want, strict=True):
        assert len(made.keys[0]) > 100
        assert torch.equal(made.positions, alone.positions)
        for keys, expected in zip(made.keys, alone.keys, strict=True):
            assert torch.equal(keys, expected)


def test_cameras_around_it(pack: SimpleNamespace, given: SimpleNamespace) -> None:
    values = {"preset": "turntable", "azimuths": "", "elevations": "", "weights": "", "views": 3}
    values |= {"projection": "perspective", "ortho_scale": 1.2, "distance": 1.45, "fov": 40.0}
    first = run(pack, "Cameras", mesh=given.single[0], **values)[0]
    assert run(pack, "Cameras", mesh=given.batch, **values)[0] == first, "they stand around the first one"
    assert first != run(pack, "Cameras", mesh=given.single[1], **values)[0]


def test_every_node_with_a_mesh_is_here(pack: SimpleNamespace) -> None:
    taking = {name for name, cls in pack.nodes.items() if any(field.id == "mesh" for field in cls.GET_SCHEMA().inputs)}
    textured = {"Simplify", "UnwrapUV", "BakeViews", "RefineTexture", "FillTexture", "ApplyTexture", "MeshToImages"}
    assert taking == textured | {"Rasterize", "RenderMaps", "Render", "SaveMesh", "GridHierarchy", "Cameras"}
