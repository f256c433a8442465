"""What can be done with each mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..jobs import Job
from . import bake, maps, render, texture
from .parameters import Parameter


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        parameters: by their names.
        run: makes a job's files in a folder on the first of the devices given, and shares its views out among them
            (:mod:`rasterizer.runtime.several`); returns what else ``done.json`` is to say of the files. It raises a
            ValueError, OSError, RuntimeError or MemoryError where that cannot be done.
        views: whether it takes pictures, at least one.
    """

    parameters: Mapping[str, Parameter]
    run: Callable[[Job, Path, Sequence[torch.device]], Mapping[str, Any]]
    views: bool = False


RECIPES: dict[str, Recipe] = {
    "render": Recipe(render.PARAMETERS, render.run),
    "maps": Recipe(maps.PARAMETERS, maps.run),
    "texture": Recipe(texture.PARAMETERS, texture.run, views=True),
    "bake": Recipe(bake.PARAMETERS, bake.run, views=True),
}


def complete(recipe: str, given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All parameters of a recipe: those given, else those of ``base``, else the recipe's own.

    Raises:
        ValueError: the recipe has no parameter of a name, or it cannot be that; the text names it.
    """
    known = RECIPES[recipe].parameters
    if unknown := [name for name in given if name not in known]:
        raise ValueError(
            f"{unknown[0]!r} is unknown, expected id, mesh, views, or of recipe {recipe}: {', '.join(known)}"
        )
    full = {name: parameter.default for name, parameter in known.items()} | dict(base or {})
    return full | {name: known[name].check(value, name) for name, value in given.items()}
