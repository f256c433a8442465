"""Camera sockets to cameras of the library and back.

Cameras come as ComfyUI's dict of one camera (LOAD3D_CAMERA), as a list of such dicts, or as the dict of the Hunyuan3D
packs (HY3DCAMERA, HY3D21CAMERA).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ...rasterizer.cameras.camera import Camera, look_at, orbit_camera, orbit_quaternion, turned
from ...rasterizer.cameras.projection import normalization
from ...rasterizer.cameras.views import View
from ...rasterizer.meshes.mesh import Mesh
from .values import named

_VIEW_KEY = "torch_raster_view"  # in the dicts of write_cameras, beside what ComfyUI reads
_ORTHO_HEIGHT = 10.0  # what ComfyUI's orthographic viewer camera sees at zoom 1 when it does not say


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

    An extra key says which views the cameras are. Who does not know the key sees cameras that stand around ``mesh`` as
    it is, or around the normalised mesh where none is given; an orthographic camera seen in perspective frames the
    same.
    """
    centre, scale = (0.0, 0.0, 0.0), 1.0
    if mesh is not None:
        offset, factor = normalization(mesh.vertices)
        centre, scale = tuple(offset.tolist()), float(factor)
    return [_viewer_dict(view, centre, scale) for view in views]


def write_hunyuan_cameras(views: Sequence[View]) -> dict[str, Any]:
    """The dict of HY3DCAMERA and HY3D21CAMERA, which are orthographic always.

    Angles are whole numbers where they can be: the Hunyuan3D packs look angles up in tables.
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


def _own_camera(value: Mapping[str, Any], name: str) -> Camera:
    """A camera of :func:`write_cameras`; what another node has changed in the dict since counts."""
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
    if quaternion is not None:  # a quaternion says more than the target: a roll, too
        rotation = tuple(_number(_mapping(quaternion, f"{name}: quaternion"), axis, name, 0.0) for axis in "xyzw")
        target = tuple(here + 1.0 for here in position)  # any direction does: the rotation replaces it
    # 0, which no viewer sets, stands for the default, as a missing key does.
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
    with named(name):
        camera = look_at(position, target, near=near, far=far, **lens)
        return camera if quaternion is None else turned(camera, rotation)


def _viewer_dict(view: View, centre: tuple[float, float, float], scale: float) -> dict[str, Any]:
    """A view as ComfyUI's dict, in the frame of which ``centre`` and ``scale`` make the normalised mesh's."""
    camera = view.camera()
    place = [c + p / scale for c, p in zip(centre, camera.position, strict=True)]
    value = {
        "position": dict(zip("xyz", place, strict=True)),
        "target": dict(zip("xyz", centre, strict=True)),
        # At the poles, position and target do not say which way is up.
        "quaternion": dict(zip("xyzw", orbit_quaternion(view.azimuth, view.elevation), strict=True)),
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
