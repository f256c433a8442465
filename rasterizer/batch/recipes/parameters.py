"""Parameters of recipes: what each may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...cameras.camera import Camera
from ...cameras.views import PRESETS, View, turntable, with_lens
from ...contract.checks import check_choice, check_integer, is_finite
from ...pictures.colors import parse_color

Check = Callable[[Any, str], Any]
"""Takes a value of JSON and the parameter's name; returns it as the recipe wants it, or raises a ValueError."""

AROUND = "turntable"
_VIEW = ("azimuth", "elevation", "weight", "distance", "ortho_scale", "fov")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a recipe."""

    default: Any
    check: Check


def whole(low: int, high: int) -> Check:
    """A whole number."""
    return lambda value, name: check_integer(value, low, high, name)


def whole_or_none(low: int, high: int) -> Check:
    """A whole number, or null."""
    return lambda value, name: None if value is None else check_integer(value, low, high, name)


def choice(*choices: str) -> Check:
    """One of several words."""
    return lambda value, name: check_choice(value, choices, name)


def flag(value: Any, name: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: is {value!r}, expected true or false")
    return value


def color(value: Any, name: str) -> str:
    """A colour, as text."""
    try:
        parse_color(value)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"{name}: is {value!r}, expected a colour such as #ffffff") from None
    return value


def lens(value: Any, name: str) -> float | None:
    """The vertical angle of perspective cameras in degrees, or null for what the cameras themselves say."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not is_finite(value) or not 0 < value < 180:
        raise ValueError(f"{name}: is {value!r}, expected degrees between 0 and 180, or null for orthographic cameras")
    return float(value)


def cameras(value: Any, name: str) -> Any:
    """Checks what :func:`cameras_of` takes where there are pictures."""
    _views(value, 1, name)
    return value


def cameras_alone(value: Any, name: str) -> Any:
    """The same where there are none."""
    _views(value, None, name)
    return value


def cameras_of(parameters: Mapping[str, Any], pictures: int | None = None) -> list[Camera]:
    """The cameras of :func:`views_of`."""
    return [view.camera() for view in views_of(parameters, pictures)]


def views_of(parameters: Mapping[str, Any], pictures: int | None = None) -> tuple[View, ...]:
    """The views that ``cameras`` and ``perspective`` stand for.

    ``cameras`` is a set of :data:`~rasterizer.cameras.views.PRESETS`; a number of views all around; ``turntable``,
    which is as many as there are pictures; or a list with ``{"azimuth": 30, "elevation": 20}`` for each view, and what
    else a :class:`~rasterizer.cameras.views.View` has, or with ``[30, 20]``.

    Args:
        parameters: of a recipe.
        pictures: how many pictures there are, one for each camera.

    Raises:
        ValueError: there are more or fewer cameras.
    """
    views = _views(parameters["cameras"], pictures, "cameras")
    if pictures is not None and len(views) != pictures:
        raise ValueError(
            f"views: are {pictures} pictures, expected {len(views)}, one for each of cameras "
            f"{parameters['cameras']!r}; {AROUND!r} takes any number"
        )
    if parameters["perspective"] is not None:
        views = with_lens(views, "perspective", fov=parameters["perspective"])
    return views


def _views(value: Any, count: int | None, name: str) -> tuple[View, ...]:
    if value == AROUND:
        if count is None:
            raise ValueError(f"{name}: is {AROUND!r} but there are no pictures to count; expected a number of views")
        return turntable(count)
    if isinstance(value, str) and value in PRESETS:
        return PRESETS[value]
    if isinstance(value, int) and not isinstance(value, bool):
        return turntable(check_integer(value, 1, 360, name))
    if isinstance(value, list) and value:
        return tuple(_view(each, f"{name} {number}") for number, each in enumerate(value, 1))
    raise ValueError(
        f"{name}: is {value!r}, expected one of {', '.join((*PRESETS, AROUND))}, a number of views around, or a list "
        'such as [{"azimuth": 30, "elevation": 20}]'
    )


def _view(value: Any, name: str) -> View:
    if isinstance(value, list) and len(value) == 2:
        value = {"azimuth": value[0], "elevation": value[1]}
    if not isinstance(value, dict) or not {"azimuth", "elevation"} <= set(value):
        raise ValueError(f'{name}: is {value!r}, expected {{"azimuth": 30, "elevation": 20}} or [30, 20], in degrees')
    if unknown := [key for key in value if key not in _VIEW]:
        raise ValueError(f"{name}: has {unknown[0]!r}, expected some of {', '.join(_VIEW)}")
    for key, number in value.items():
        if not (number is None and key == "ortho_scale") and not (is_finite(number) and not isinstance(number, bool)):
            raise ValueError(f"{name}: {key} is {number!r}, expected a number")
    view = View(**value)
    try:
        view.camera()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return view
