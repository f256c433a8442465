"""The border: sockets to plain objects of the library, once, and back.

``MESH`` is ComfyUI's class in any version: attributes may be missing, a batch may be zero-padded with ``vertex_counts``
and ``face_counts``, faces may be float. ``TRIMESH`` is a ``trimesh.Trimesh``. Cameras come as ComfyUI's dict, as a list
of them, or as the dict of the Hunyuan3D packs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...rasterizer.cameras.camera import Camera, look_at, orbit_camera, orbit_quaternion, turned
from ...rasterizer.cameras.projection import normalization
from ...rasterizer.cameras.views import View
from ...rasterizer.hierarchy import GridHierarchy
from ...rasterizer.meshes.mesh import Mesh
from ...rasterizer.meshes.trimesh_objects import from_trimesh
from ...rasterizer.rendering.raster import Raster
from .versions import new_mesh

T = TypeVar("T")

_IMAGES = ("texture", "metallic_roughness")  # attributes of MESH with a height and a width
_VIEW_KEY = "torch_raster_view"  # in our camera dicts, beside what ComfyUI reads
_ORTHO_HEIGHT = 10.0  # what ComfyUI's orthographic viewer camera sees at zoom 1 when it does not say


@dataclass(frozen=True, eq=False)
class RasterValue:
    """Payload of a RASTER socket: one raster per mesh of the batch."""

    rasters: tuple[Raster, ...]

    def _comfy_cache_tensors(self) -> list[Tensor]:
        return [tensor for raster in self.rasters for tensor in (raster.findices, raster.barycentric)]

    def get_ram_usage(self) -> int:
        """Bytes, for ComfyUI's cache."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._comfy_cache_tensors())


@dataclass(frozen=True, eq=False)
class HierarchyValue:
    """Payload of a GRID_HIERARCHY socket: one hierarchy per mesh of the batch."""

    hierarchies: tuple[GridHierarchy, ...]

    def get_ram_usage(self) -> int:
        """Bytes, for ComfyUI's cache."""
        return sum(hierarchy.memory() for hierarchy in self.hierarchies)


def is_trimesh(value: Any) -> bool:
    """Whether it came from a TRIMESH socket; asked without importing trimesh."""
    return any(base.__module__.split(".")[0] == "trimesh" for base in type(value).__mro__)


def read_meshes(value: Any, name: str = "mesh") -> list[Mesh]:
    """The meshes on a MESH or TRIMESH socket, checked.

    Raises:
        ValueError: not a mesh, no faces, an index out of range, or positions that are not finite.
    """
    if is_trimesh(value):
        meshes = [_named(name, lambda: from_trimesh(value))]
    elif hasattr(value, "vertices") and hasattr(value, "faces"):
        meshes = [_item(value, number, name) for number in range(_batch_size(value))]
    else:
        raise ValueError(f"{name}: is a {type(value).__name__}, expected a MESH or a TRIMESH")
    if not meshes:
        raise ValueError(f"{name}: is an empty batch, expected at least one mesh")
    for number, mesh in enumerate(meshes):
        _check(mesh, f"{name} {number} of {len(meshes)}" if len(meshes) > 1 else name)
    return meshes


def uv_advice(meshes: list[Mesh]) -> str:
    """What to tell whoever has pictures painted of meshes that cannot be baked yet; empty if they can."""
    without = sum(mesh.uvs is None for mesh in meshes)
    if not without:
        return ""
    which = "The mesh has" if len(meshes) == 1 else f"{without} of {len(meshes)} meshes have"
    return (
        f"{which} no UVs, which Bake, Fill and Apply will need: connect Unwrap UV between the mesh and those three "
        "only. The views and pictures made here stay valid."
    )


def write_mesh(*meshes: Mesh) -> Any:
    """ComfyUI's MESH: one item for each mesh, rows padded with zeros and counted where the meshes differ in size.

    All have the same attributes, as those of a batch have. Where a version of ComfyUI knows an attribute not yet, its
    nodes do not look at it.
    """

    def batch(attribute: str) -> Tensor:
        values = [getattr(mesh, attribute) for mesh in meshes]
        # A picture may be the most of a mesh by far, and nobody changes it in place: one alone is not copied.
        if attribute in _IMAGES and len(values) == 1:
            return values[0][None].contiguous()
        return pad_sequence(values, batch_first=True)

    names = ("uvs", "normals", "vertex_colors", "texture", "metallic_roughness")
    present = {name: batch(name) for name in names if getattr(meshes[0], name) is not None}
    if len({(len(mesh.vertices), len(mesh.faces)) for mesh in meshes}) > 1:
        present["vertex_counts"] = torch.tensor([len(mesh.vertices) for mesh in meshes])
        present["face_counts"] = torch.tensor([len(mesh.faces) for mesh in meshes])
    return new_mesh(batch("vertices"), batch("faces"), **present)


def read_cameras(value: Any, name: str = "cameras") -> list[Camera] | None:
    """Cameras from any camera socket; None where nothing is connected."""
    if value is None:
        return None
    if isinstance(value, Mapping) and "selected_camera_azims" in value:
        return _hunyuan_cameras(value, name)
    dicts = [value] if isinstance(value, Mapping) else value
    if not isinstance(dicts, Sequence) or not dicts or not all(isinstance(item, Mapping) for item in dicts):
        raise ValueError(f"{name}: is {type(value).__name__}, expected a camera, or a list with at least one camera")
    return [
        _own_camera(item, f"{name} {number}") if _VIEW_KEY in item else _viewer_camera(item, f"{name} {number}")
        for number, item in enumerate(dicts)
    ]


def write_cameras(views: Sequence[View], mesh: Mesh | None = None) -> list[dict[str, Any]]:
    """ComfyUI's camera list, from which :func:`read_cameras` has the cameras of ``views`` again, bit for bit.

    An extra key says which views they are. Who does not know it sees cameras that stand around ``mesh`` as it is, or
    around the normalised mesh where none is given; an orthographic one seen in perspective frames the same.
    """
    centre, scale = (0.0, 0.0, 0.0), 1.0
    if mesh is not None:
        offset, factor = normalization(mesh.vertices)
        centre, scale = tuple(offset.tolist()), float(factor)
    return [_viewer_dict(view, centre, scale) for view in views]


def write_hunyuan_cameras(views: Sequence[View]) -> dict[str, Any]:
    """The dict of HY3DCAMERA and HY3D21CAMERA, which are orthographic always.

    Angles are whole numbers where they can be: the packs look them up in tables.
    """

    def whole(number: float) -> float:
        return int(number) if float(number).is_integer() else number

    return {
        "selected_camera_azims": [whole(view.azimuth) for view in views],
        "selected_camera_elevs": [whole(view.elevation) for view in views],
        "selected_view_weights": [float(view.weight) for view in views],
        "camera_distance": views[0].distance,
        "ortho_scale": View.ortho_scale if views[0].ortho_scale is None else views[0].ortho_scale,
    }


def _named(name: str, call: Callable[[], T]) -> T:
    """``call()``; what it says of bad data starts with the input's name."""
    try:
        return call()
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name}: {error}") from error


def _batch_size(value: Any) -> int:
    vertices = value.vertices
    return 1 if vertices is None or getattr(vertices, "ndim", 3) == 2 else len(vertices)


def _item(value: Any, number: int, name: str) -> Mesh:
    size = _batch_size(value)

    def rows(attribute: str, count: str | None = None) -> Tensor | None:
        batch = getattr(value, attribute, None)
        if batch is None:
            return None
        # A single mesh may come without a batch dimension; one texture may serve the whole batch.
        if getattr(batch, "ndim", None) == (3 if attribute in _IMAGES else 2):
            batch = batch[None]
        if len(batch) not in (1, size):
            raise ValueError(
                f"{name}: has {size} blocks of vertices but {len(batch)} of {attribute}, expected as many, or 1 for all"
            )
        tensor = torch.as_tensor(batch[min(number, len(batch) - 1)])
        counts = getattr(value, count, None) if count else None
        if counts is None:
            return tensor
        if len(counts) != size:
            raise ValueError(f"{name}: has {len(counts)} {count} for {size} meshes, expected one for each")
        length = int(counts[number])
        if not 0 <= length <= len(tensor):
            raise ValueError(
                f"{name}: {count} of mesh {number} is {length}, expected 0 to {len(tensor)}, the rows of {attribute}"
            )
        return tensor[:length]

    def floats(attribute: str, count: str | None = "vertex_counts") -> Tensor | None:
        tensor = rows(attribute, count)
        return None if tensor is None else tensor.detach().to(torch.float32)

    vertices, faces = floats("vertices"), rows("faces", "face_counts")
    if vertices is None or faces is None:
        raise ValueError(f"{name}: has no {'vertices' if vertices is None else 'faces'}, expected a mesh with both")
    home = vertices.device
    images = {key: floats(key, None) for key in _IMAGES}
    others = {key: floats(key) for key in ("uvs", "normals", "vertex_colors")}
    return _named(
        name,
        lambda: Mesh(
            vertices=vertices,
            faces=_narrow(faces.detach().to(home), len(vertices)),
            **{key: None if image is None else image[..., :3].to(home) for key, image in images.items()},
            **{key: None if tensor is None else tensor.to(home) for key, tensor in others.items()},
        ),
    )


def _narrow(faces: Tensor, vertices: int) -> Tensor:
    """Faces of any dtype as int32, checked while nothing can have been cut off."""
    whole = faces.to(torch.int64)
    if faces.is_floating_point() and not torch.equal(whole.to(faces.dtype), faces):
        raise ValueError("faces are not whole numbers, expected vertex indices")
    if len(whole) and not (int(whole.min()) >= 0 and int(whole.max()) < vertices):
        raise ValueError(
            f"faces name vertices {int(whole.min())} to {int(whole.max())}, expected 0 to {vertices - 1}, "
            f"the mesh has {vertices}"
        )
    return whole.to(torch.int32)


def _check(mesh: Mesh, name: str) -> None:
    if not len(mesh.faces) or not len(mesh.vertices):
        raise ValueError(
            f"{name}: has {len(mesh.vertices)} vertices and {len(mesh.faces)} faces, expected at least one triangle"
        )
    broken = int((~torch.isfinite(mesh.vertices)).any(dim=1).sum())
    if broken:
        raise ValueError(
            f"{name}: {broken} of {len(mesh.vertices)} vertices are NaN or infinite, expected finite positions"
        )


def _hunyuan_cameras(value: Mapping[str, Any], name: str) -> list[Camera]:
    def numbers(key: str) -> list[float]:
        try:
            return [float(number) for number in value.get(key) or ()]
        except (TypeError, ValueError):
            raise ValueError(f"{name}: {key} is {value[key]!r}, expected a list of numbers") from None

    azimuths, elevations = numbers("selected_camera_azims"), numbers("selected_camera_elevs")
    weights = numbers("selected_view_weights") or [1.0] * len(azimuths)
    if not azimuths or len(azimuths) != len(elevations) or len(azimuths) != len(weights):
        raise ValueError(
            f"{name}: has {len(azimuths)} azimuths, {len(elevations)} elevations and {len(weights)} weights, "
            "expected the same number of each, at least one"
        )
    distance, scale = _number(value, "camera_distance", name, 1.45), _number(value, "ortho_scale", name, 1.2)
    if not scale > 0:
        raise ValueError(f"{name}: ortho_scale is {scale}, expected more than 0")
    return [
        orbit_camera(azimuth, elevation, distance, ortho_scale=scale, weight=weight)
        for azimuth, elevation, weight in zip(azimuths, elevations, weights, strict=True)
    ]


def _viewer_dict(view: View, centre: tuple[float, float, float], scale: float) -> dict[str, Any]:
    """One of ours as ComfyUI's dict, in the frame of which ``centre`` and ``scale`` make the normalised mesh's."""
    camera = view.camera()
    place = [c + p / scale for c, p in zip(centre, camera.position, strict=True)]
    value = {
        "position": dict(zip("xyz", place, strict=True)),
        "target": dict(zip("xyz", centre, strict=True)),
        "quaternion": dict(zip("xyzw", orbit_quaternion(view.azimuth, view.elevation), strict=True)),  # at the poles
        "zoom": 1.0,
        "cameraType": "perspective",
        "fov": view.fov,
        "near": camera.near / scale,
        "far": camera.far / scale,
        _VIEW_KEY: {**asdict(view), "centre": list(centre), "scale": scale},
    }
    if camera.half_height is not None:
        side = camera.half_height / scale
        value["cameraType"] = "orthographic"
        value["frustum"] = {"left": -side, "right": side, "top": side, "bottom": -side}
        value["fov"] = 2 * math.degrees(math.atan(camera.half_height / view.distance))
    return value


def _own_camera(value: Mapping[str, Any], name: str) -> Camera:
    """A camera of :func:`write_cameras`; what another node has changed in it since counts."""
    try:
        settings = dict(value[_VIEW_KEY])
        centre, scale = settings.pop("centre"), settings.pop("scale")
        view = View(**settings)
        written = _viewer_dict(view, tuple(centre), scale)
    except (TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        raise ValueError(
            f"{name}: {_VIEW_KEY} is {value[_VIEW_KEY]!r} ({error}), expected what Camera Views makes"
        ) from error
    if all(value.get(key) == part for key, part in written.items()):
        return view.camera()
    seen = _viewer_camera(value, name)
    return replace(seen, weight=view.weight, normalized=(tuple(centre), scale) == ((0, 0, 0), 1))


def _viewer_camera(value: Mapping[str, Any], name: str) -> Camera:
    """ComfyUI's viewer camera; keys that older versions do not send have its viewer's defaults."""
    position, target = _vector(value, "position", name), _vector(value, "target", name, (0.0, 0.0, 0.0))
    quaternion = value.get("quaternion")
    if quaternion is not None:  # says more than the target: a roll, too
        rotation = tuple(_number(_mapping(quaternion, f"{name}: quaternion"), axis, name, 0.0) for axis in "xyzw")
        target = tuple(here + 1.0 for here in position)  # any direction does, it is replaced
    # 0 is no setting of a viewer either: it stands for the default, as a missing key does.
    zoom = _number(value, "zoom", name, 1.0) or 1.0
    if not zoom > 0:
        raise ValueError(f"{name}: zoom is {zoom}, expected more than 0")
    near, far = _number(value, "near", name, 0.01) or 0.01, _number(value, "far", name, 1000.0) or 1000.0
    if value.get("cameraType") == "orthographic":
        frustum = _mapping(value.get("frustum") or {}, f"{name}: frustum")
        top = _number(frustum, "top", f"{name} frustum", _ORTHO_HEIGHT / 2)
        height = top - _number(frustum, "bottom", f"{name} frustum", -_ORTHO_HEIGHT / 2)
        lens = {"half_height": height / 2 / zoom}
    else:
        angle = _number(value, "fov", name, 40.0) or 40.0
        if not 0 < angle < 180:
            raise ValueError(f"{name}: fov is {angle}, expected degrees between 0 and 180")
        lens = {"fov": 2 * math.degrees(math.atan(math.tan(math.radians(angle) / 2) / zoom))}
    camera = _named(name, lambda: look_at(position, target, near=near, far=far, **lens))
    return camera if quaternion is None else _named(name, lambda: turned(camera, rotation))


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r}, expected named numbers")
    return value


def _number(value: Mapping[str, Any], key: str, name: str, default: float) -> float:
    found = value.get(key)
    try:
        return default if found is None else float(found)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {key} is {found!r}, expected a number") from None


def _vector(value: Mapping[str, Any], key: str, name: str, default: Any = None) -> tuple[float, float, float]:
    found = value.get(key)
    found = default if found is None else found
    try:
        x, y, z = (found[axis] for axis in "xyz") if isinstance(found, Mapping) else found
        return float(x), float(y), float(z)
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"{name}: {key} is {found!r}, expected x, y and z") from None
