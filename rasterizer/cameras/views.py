"""Views to texture a mesh from: Hunyuan3D's own sets, a turntable, or lists typed by hand.

A :class:`View` holds what :func:`rasterizer.cameras.camera.orbit_camera` is called with; the formulas are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from ..contract.checks import check_choice, check_integer, is_finite
from .camera import Camera, orbit_camera

PROJECTIONS = ("orthographic", "perspective")


@dataclass(frozen=True)
class View:
    """One camera on a sphere around the normalised mesh.

    Attributes:
        azimuth, elevation: degrees; 0, 0 looks from the front, azimuth 90 from +X, elevation 90 from above.
        weight: of this view when baking.
        distance: from the centre of the mesh.
        ortho_scale: width and height that an orthographic camera sees; None for perspective.
        fov: vertical angle of a perspective camera, degrees.
    """

    azimuth: float
    elevation: float
    weight: float = 1.0
    distance: float = 1.45
    ortho_scale: float | None = 1.2
    fov: float = 49.13

    def camera(self) -> Camera:
        """The camera.

        Raises:
            ValueError: a number that no camera can have.
        """
        return orbit_camera(**asdict(self))


_SIX = (
    View(0, 0, 1.0),
    View(90, 0, 0.1),
    View(180, 0, 0.5),
    View(270, 0, 0.1),
    View(0, 90, 0.05),
    View(180, -90, 0.05),
)

PRESETS = {"hunyuan3d-2": _SIX, "hunyuan3d-2.1": _SIX}
"""The views each version of Hunyuan3D's paint model starts from. 2.1 adds some by the mesh.

:func:`rasterizer.rendering.choose_views.add_views` does that.
"""


def turntable(count: int, elevation: float = 0.0) -> tuple[View, ...]:
    """``count`` views all around at equal angles, the first from the front.

    Raises:
        ValueError: fewer than one view, or more than 360.
    """
    count = check_integer(count, 1, 360, "views")
    return tuple(View(number * 360 / count, elevation) for number in range(count))


def custom_views(azimuths: str, elevations: str, weights: str) -> tuple[View, ...]:
    """Views from three lists of numbers such as ``0, 90, 180``; one elevation or weight may serve all views.

    Raises:
        ValueError: no number where one is expected, lists of different lengths, or a negative weight.
    """
    columns = {"azimuths": azimuths, "elevations": elevations, "weights": weights}
    lists = {name: _numbers(text, name) for name, text in columns.items()}
    count = len(lists["azimuths"])
    for name, values in lists.items():
        if len(values) == 1:
            lists[name] = values * count
        elif len(values) != count:
            raise ValueError(
                f"{name}: has {len(values)} numbers for {count} azimuths, expected {count}, or 1 that serves all views"
            )
    if min(lists["weights"]) < 0:
        raise ValueError(f"weights: has {min(lists['weights']):g}, expected 0 or more")
    return tuple(View(*numbers) for numbers in zip(*lists.values(), strict=True))


def with_lens(
    views: Sequence[View], projection: str, ortho_scale: float = 1.2, distance: float = 1.45, fov: float = 49.13
) -> tuple[View, ...]:
    """The same directions and weights seen through another lens, from another distance.

    Args:
        views: the directions.
        projection: one of :data:`PROJECTIONS`.
        ortho_scale, distance, fov: as in :class:`View`; ``ortho_scale`` is not used in perspective.

    Raises:
        ValueError: another projection, or a number that no camera can have.
    """
    check_choice(projection, PROJECTIONS, "projection")
    for name, value in (("distance", distance), ("ortho_scale", ortho_scale)):
        if not (is_finite(value) and value > 0):
            raise ValueError(f"{name}: is {value!r}, expected a number above 0")
    scale = ortho_scale if projection == "orthographic" else None
    seen = tuple(replace(view, distance=distance, ortho_scale=scale, fov=fov) for view in views)
    for view in seen[:1]:
        view.camera()  # complains of a bad fov
    return seen


def _numbers(text: str, name: str) -> list[float]:
    if not isinstance(text, str):
        raise ValueError(f"{name}: is {text!r}, expected a text of numbers with commas between, like '0, 90, 180'")
    numbers = []
    for word in text.replace(";", ",").strip().strip(",").split(","):
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(
                f"{name}: has {word.strip()!r} in {text!r}, expected numbers with commas between, like 0, 90, 180"
            )
        numbers.append(number)
    return numbers
