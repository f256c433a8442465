"""The public functions with arguments that work, and what must hold of their results."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import rasterizer
from rasterizer.cameras import camera as cameras
from rasterizer.cameras.views import View, custom_views, turntable, with_lens
from rasterizer.hierarchy import fill_surface, voxel_mesh
from rasterizer.meshes.files import SAVED_SUFFIXES, load_mesh, save_mesh
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.simplify import simplify_mesh
from rasterizer.rendering import attributes as shading
from rasterizer.rendering.choose_views import add_views
from rasterizer.rendering.maps import render_maps
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing import METHODS, apply_textures, bake_views, fill_texture
from rasterizer.texturing.unwrap.unwrap import unwrap_uv
from tests.fuzz.driver import Fault
from tests.fuzz.strategies import sheet

Arguments = dict[str, Any]
SIZE = (6, 8)

_POS = torch.tensor([[-0.9, -0.8, 0.1, 1.0], [0.9, -0.7, 0.2, 1.0], [0.1, 0.9, 0.3, 1.0], [0.8, 0.8, 0.4, 1.0]])
_TRI = torch.tensor([[0, 1, 2], [1, 3, 2]], dtype=torch.int32)
_FRAGMENTS = rasterizer.rasterize(_POS, _TRI, SIZE)
_HIERARCHY = rasterizer.GridHierarchy.from_mesh(sheet().vertices, sheet().faces, 8, 2)


@dataclass(frozen=True)
class Call:
    """A function; a key such as ``mesh.uvs`` in its arguments is an attribute of the mesh that it is given."""

    function: Callable[..., Any]
    variants: tuple[Callable[[], Arguments], ...]
    check: Callable[[Any, Arguments], None]


def assemble(arguments: Arguments) -> Arguments:
    """The arguments as the function takes them."""
    made = {name: value for name, value in arguments.items() if "." not in name}
    mesh = {name.removeprefix("mesh."): value for name, value in arguments.items() if name.startswith("mesh.")}
    camera = {name.removeprefix("camera."): value for name, value in arguments.items() if name.startswith("camera.")}
    if mesh:
        made["mesh"] = Mesh(**mesh)
    if camera:
        made["cameras"] = [cameras.orbit_camera(0.0, 0.0), cameras.orbit_camera(**camera)]
    return made


def _tensor(name: str, value: Any, shape: tuple[int, ...] | None, *dtypes: torch.dtype) -> None:
    if not isinstance(value, Tensor) or value.dtype not in (dtypes or (torch.float32,)):
        raise Fault(f"{name} is {getattr(value, 'dtype', type(value).__name__)}")
    if shape is not None and tuple(value.shape) != shape:
        raise Fault(f"{name} has another shape", f"{list(value.shape)}, expected {list(shape)}")
    if value.device.type != "cpu":
        raise Fault(f"{name} is on another device")


def _finite(name: str, value: Tensor) -> None:
    if not bool(torch.isfinite(value).all()):
        raise Fault(f"{name} is not finite")


def _fragments(found: Any, given: Arguments) -> None:
    height, width = given["resolution"] if "resolution" in given else (given["height"], given["width"])
    lead = tuple(torch.as_tensor(given.get("pos", given.get("V"))).shape[:-2])
    shape = (*lead, int(height), int(width))
    _tensor("findices", found.findices, shape, torch.int32)
    _tensor("barycentric", found.barycentric, (*shape, 3))
    faces = len(given.get("tri", given.get("F")))
    if found.findices.numel() and not 0 <= int(found.findices.min()) <= int(found.findices.max()) <= faces:
        raise Fault("findices name faces that are not there")
    if found.info.invalid_faces < 0:
        raise Fault("a negative number of invalid faces")
    if isinstance(given.get("resolution"), Tensor) and not given["resolution"].is_inference():
        given["resolution"].fill_(4)
        if tuple(rasterizer.rasterize(**given).findices.shape[-2:]) != (4, 4):
            raise Fault("a changed resolution is not seen")


def _barycentrics(found: Any, given: Arguments) -> None:
    findices = torch.as_tensor(given["findices"]).float()
    _tensor("barycentrics", found, (*findices.shape, 3), torch.float32, torch.float64)
    if findices.numel() and not 0 <= int(findices.min()) <= int(findices.max()) <= len(given["tri"]):
        raise Fault("barycentrics takes findices that name no face")


def _interpolated(found: Any, given: Arguments) -> None:
    if not isinstance(found, Tensor) or found.shape[-3:-1] != torch.as_tensor(given["findices"]).shape[-2:]:
        raise Fault("interpolate gives another shape")


def _raster(found: Any, given: Arguments) -> None:
    height, width = (int(side) for side in given["resolution"])
    if found.findices.dtype != torch.int32 or found.findices.shape[2:] != (height, width):
        raise Fault("rasterize_mesh gives another shape")
    absent = {"vertex color", "texture"} | ({"uv"} if found.mesh.uvs is None else set())
    for attribute in shading.ATTRIBUTES:
        if attribute not in absent and (attribute, found.cameras) != ("depth", ()):
            image = shading.attribute_image(found, attribute)
            _tensor(attribute, image, (*found.findices.shape, 3))


def _baked(found: Any, given: Arguments) -> None:
    size = given["texture_size"]
    try:
        height, width = size
    except TypeError:
        height = width = size
    shape = (int(height), int(width))
    _tensor("texture", found.texture, (*shape, torch.as_tensor(given["images"]).shape[-1]))
    _tensor("painted", found.painted, shape, torch.bool)
    _tensor("confidence", found.confidence, shape)
    _tensor("covered", found.covered, shape, torch.bool)
    if bool((found.painted & ~found.covered).any()):
        raise Fault("texels outside the layout are painted")


def _filled(found: Any, given: Arguments) -> None:
    texture, filled = found
    _tensor("texture", texture, tuple(torch.as_tensor(given["texture"]).shape))
    _tensor("filled", filled, tuple(torch.as_tensor(given["painted"]).shape), torch.bool)
    before = torch.as_tensor(given["texture"]).float()
    if bool((before.abs() < 1e15).all()):  # the squares of colours must fit into float32
        _finite("texture", texture)
        slack = 1e-4 * float(before.abs().max())
        if float(texture.max()) > float(before.max()) + slack or float(texture.min()) < float(before.min()) - slack:
            raise Fault("fill_texture gives colours that were not there")


def _maps(found: Any, given: Arguments) -> None:
    height, width = (int(side) for side in given["resolution"])
    views = len(given.get("cameras") or (0,))
    for field in fields(found):
        image = getattr(found, field.name)
        _tensor(field.name, image, (views, height, width, *([3] if field.name != "mask" else [])))
        if not 0 <= float(image.min()) <= float(image.max()) <= 1:
            raise Fault(f"{field.name} is not in 0..1")


def _hierarchy(found: Any, given: Arguments) -> None:
    _tensor("positions", found.positions, None)
    _finite("positions", found.positions)
    for level in range(found.levels):
        near = found.neighbors[level]
        if near.shape != (found.count(level), 9) or int(near.max()) >= found.count(level) or int(near.min()) < -1:
            raise Fault("neighbors are not there")
    colors = torch.rand(found.count(), 3)
    filled, reached = fill_surface(colors, found.original, found)
    _tensor("filled", filled, (found.count(), 3))
    voxel_mesh(found, 0)


def _mesh(found: Any, given: Arguments) -> None:
    if not isinstance(found, Mesh):
        raise Fault("no mesh comes back")
    for name in ("vertices", "uvs", "normals", "vertex_colors", "texture", "metallic_roughness"):
        value = getattr(found, name)
        if value is not None and not _odd_before(given, name):
            _finite(name, value)


def _odd_before(given: Arguments, name: str) -> bool:
    """Whether what a result is made of was not finite itself."""
    sources = [getattr(given.get("mesh"), name, None), given.get("base_color"), given.get("metallic_roughness")]
    return any(isinstance(value, Tensor) and not bool(torch.isfinite(value.float()).all()) for value in sources)


def _anything(found: Any, given: Arguments) -> None:
    if found is None:
        raise Fault("nothing comes back")


def _save_and_load(mesh: Mesh, suffix: str) -> Mesh:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mesh{suffix}"
        save_mesh(mesh, path)
        return load_mesh(path)


def _from_facade(device: Any, mode: Any, tile_size: Any, batch_size: Any, **given: Any) -> Any:
    made = rasterizer.create_optimized_rasterizer(mode, tile_size, batch_size, device)
    found = made.rasterize(**given)
    made.interpolate(given["pos"], *found, given["tri"])
    return found


def _image_from_facade(**given: Any) -> Any:
    return rasterizer.RasterizerWrapper(device="cpu").rasterize_image(**given)


def _image(channels: int, *lead: int) -> Tensor:
    return torch.rand(*lead, 6, 8, channels, generator=torch.Generator().manual_seed(7))


def _of_mesh(**more: Any) -> Arguments:
    mesh = sheet()
    return {"mesh.vertices": mesh.vertices, "mesh.faces": mesh.faces, "mesh.uvs": mesh.uvs, **more}


_CAMERA = {f"camera.{k}": v for k, v in [("azimuth", 30.0), ("elevation", 20.0), ("distance", 1.45), ("weight", 1.0)]}
_LENSES = ({"camera.ortho_scale": 1.2}, {"camera.ortho_scale": None, "camera.fov": 49.13})
_OPTIONS = {"mode": "auto", "tile_size": 8, "batch_size": 0}
_PRIOR = torch.full(SIZE, -4.0)


def _rasterize() -> Arguments:
    return {"pos": _POS, "tri": _TRI, "resolution": SIZE, "occlusion_truncation": 1e-6, "backend": "auto", **_OPTIONS}


def _native() -> Arguments:
    names = {"width": 8, "height": 6, "occlusion_truncation": 1e-6, "use_depth_prior": 1}
    return {"V": _POS, "F": _TRI, "D": _PRIOR, **names}


def _interpolate() -> Arguments:
    return {"col": _POS[:, :3], "findices": _FRAGMENTS[0], "barycentric": _FRAGMENTS[1], "tri": _TRI}


def _fill(method: str, texture: int = 16) -> Arguments:
    painted = torch.zeros(texture, texture, dtype=torch.bool)
    painted[4:9, 3:12] = True
    colors = torch.rand(texture, texture, 3, generator=torch.Generator().manual_seed(8))
    return _of_mesh(texture=colors, painted=painted, method=method)


def _bake(lens: Arguments) -> Arguments:
    more = {"exponent": 4.0, "max_angle": 75.0, "border": 0, "masks": torch.ones(2, 6, 8)}
    return _of_mesh(images=_image(3, 2), texture_size=16, **_CAMERA, **lens, **more)


def _in_empty(lead: tuple[int, ...]) -> Arguments:
    return {**_interpolate(), "findices": torch.zeros(lead, dtype=torch.int32), "barycentric": torch.zeros(*lead, 3)}


_EYE = {"position": (0.0, 0.0, 2.0), "target": (0.0, 0.0, 0.0), "half_height": None, "fov": 40.0, "near": 0.1}
_ORBIT = {name.removeprefix("camera."): value for name, value in _CAMERA.items()}

CALLS: dict[str, Call] = {
    "rasterize": Call(
        rasterizer.rasterize,
        (_rasterize, lambda: {**_rasterize(), "pos": torch.stack((_POS, _POS)), "depth_prior": _PRIOR}),
        _fragments,
    ),
    "rasterize_image": Call(rasterizer.rasterize_image, (_native,), _fragments),
    "RasterizerWrapper.rasterize_image": Call(_image_from_facade, (_native,), _fragments),
    "create_optimized_rasterizer": Call(
        _from_facade,
        (lambda: {"device": "cpu", "pos": _POS, "tri": _TRI, "resolution": SIZE, "depth_prior": _PRIOR, **_OPTIONS},),
        _fragments,
    ),
    "barycentrics": Call(
        rasterizer.barycentrics, (lambda: {"pos": _POS, "tri": _TRI, "findices": _FRAGMENTS[0]},), _barycentrics
    ),
    "interpolate": Call(
        rasterizer.interpolate,
        (_interpolate, lambda: _in_empty((0, 6, 8)), lambda: _in_empty((0, 8)), lambda: _in_empty((1, 6, 0))),
        _interpolated,
    ),
    "rasterize_mesh": Call(
        rasterize_mesh,
        (
            *(lambda lens=lens: _of_mesh(resolution=SIZE, layers=2, **_OPTIONS, **_CAMERA, **lens) for lens in _LENSES),
            lambda: _of_mesh(resolution=SIZE, space="uv", layers=1),
        ),
        _raster,
    ),
    "bake_views": Call(bake_views, tuple(lambda lens=lens: _bake(lens) for lens in _LENSES), _baked),
    "fill_texture": Call(fill_texture, tuple(lambda method=method: _fill(method) for method in METHODS), _filled),
    "render_maps": Call(
        render_maps,
        tuple(
            lambda style=style, lens=lens: _of_mesh(resolution=SIZE, style=style, **_CAMERA, **lens)
            for style, lens in zip(("hunyuan3d-2", "hunyuan3d-2.1"), _LENSES, strict=True)
        ),
        _maps,
    ),
    "GridHierarchy.from_mesh": Call(
        rasterizer.GridHierarchy.from_mesh,
        (
            lambda: {
                "vertices": sheet().vertices,
                "faces": sheet().faces,
                "resolution": 8,
                "levels": 2,
                "max_layers": 2,
            },
        ),
        _hierarchy,
    ),
    "GridHierarchy.pull": Call(
        _HIERARCHY.pull, (lambda: {"features": torch.rand(_HIERARCHY.count(), 3), "level": 0},), _anything
    ),
    "GridHierarchy.push": Call(
        _HIERARCHY.push, (lambda: {"features": torch.rand(_HIERARCHY.count(1), 3), "level": 0},), _anything
    ),
    "GridHierarchy.find": Call(
        _HIERARCHY.find, (lambda: {"points": sheet().vertices, "normals": sheet().vertex_normals()},), _anything
    ),
    "fill_surface": Call(
        fill_surface,
        (
            lambda: {
                "features": torch.rand(_HIERARCHY.count(), 3),
                "known": _HIERARCHY.original,
                "hierarchy": _HIERARCHY,
            },
        ),
        _anything,
    ),
    "apply_textures": Call(
        apply_textures,
        (lambda: _of_mesh(base_color=_image(3), metallic_roughness=_image(3), mr_layout="hunyuan3d"),),
        _mesh,
    ),
    "save_mesh": Call(
        _save_and_load,
        tuple(
            lambda suffix=suffix: _of_mesh(
                suffix=suffix,
                **{"mesh.normals": sheet().vertex_normals(), "mesh.texture": _image(3), "mesh.name": "mesh"},
                **{"mesh.vertex_colors": torch.rand(9, 4), "mesh.metallic_roughness": _image(3)},
            )
            for suffix in SAVED_SUFFIXES
        ),
        _mesh,
    ),
    "simplify_mesh": Call(simplify_mesh, (lambda: _of_mesh(target_faces=20),), _mesh),
    "unwrap_uv": Call(unwrap_uv, (lambda: _of_mesh(resolution=64, padding=2),), _mesh),
    "Mesh.vertex_normals": Call(lambda mesh: mesh.vertex_normals(), (_of_mesh,), _anything),
    "orbit_camera": Call(cameras.orbit_camera, (lambda: dict(_ORBIT),), _anything),
    "look_at": Call(cameras.look_at, (lambda: dict(_EYE),), _anything),
    "turned": Call(
        lambda quaternion: cameras.turned(cameras.orbit_camera(0, 0), quaternion),
        (lambda: {"quaternion": (0.0, 0.0, 0.0, 1.0)},),
        _anything,
    ),
    "turntable": Call(turntable, (lambda: {"count": 3, "elevation": 10.0},), _anything),
    "custom_views": Call(
        custom_views, (lambda: {"azimuths": "0, 90", "elevations": "0", "weights": "1, 1"},), _anything
    ),
    "with_lens": Call(
        lambda **lens: with_lens([View(0, 0)], **lens),
        (lambda: {"projection": "perspective", "ortho_scale": 1.2, "distance": 1.45, "fov": 49.13},),
        _anything,
    ),
    "add_views": Call(add_views, (lambda: _of_mesh(views=[View(0, 0)], most=1),), _anything),
}

RARE = {"unwrap_uv": 200, "simplify_mesh": 200, "add_views": 100}
"""How much rarer than others a function is called, because it takes long."""
