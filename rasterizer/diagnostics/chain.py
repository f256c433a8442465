"""From pictures to a whole texture, as something to time: each step, and the chain of them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..cameras.views import PRESETS
from ..meshes.sample_meshes import trefoil_knot
from ..rendering.maps import render_maps
from ..texturing import bake_views, fill_texture, spread
from ..texturing.unwrap.unwrap import unwrap_uv
from .fields import FIELDS, photograph

MAPS = "maps of six 1024² views"
FILL = "fill of 2048²"
GUTTERS = "gutters of 2048²"
CHAIN = "the whole chain to 2048²"
"""Maps of six 1024² views, their bake to 2048², the fill along the surface, and gutters; of 40 000 faces."""

CASES = dict.fromkeys((MAPS, FILL, GUTTERS, CHAIN), (1024, 2048))
"""Pixels a side and texels a side of what :func:`call` makes; of a trefoil knot of 40 000 faces."""

UNWRAPPING = "unwrapping of 40 k faces"
"""What comes before the chain where a mesh has no UVs."""

_SIZE = 800, 25  # of the knot: along and around


def call(device: torch.device, case: str) -> Callable[[], Tensor]:
    """What does one of :data:`CASES` and returns an image that two runs of it share."""
    pixels, texels = CASES[case]
    mesh = trefoil_knot(*_SIZE).to(device)
    cameras = [view.camera() for view in PRESETS["hunyuan3d-2"]]
    images = photograph(mesh, cameras, pixels, FIELDS["hard"], 1)
    baked = bake_views(mesh, images, cameras, texels)

    def maps() -> Tensor:
        return render_maps(mesh, cameras, (pixels, pixels)).normal

    def chain() -> Tensor:
        maps()
        made = bake_views(mesh, images, cameras, texels)
        return fill_texture(made.texture, made.painted, mesh)[0]

    steps: dict[str, Callable[[], Tensor]] = {
        MAPS: maps,
        FILL: lambda: fill_texture(baked.texture, baked.painted, mesh)[0],
        GUTTERS: partial(spread, baked.texture, baked.covered),
        CHAIN: chain,
    }
    return steps[case]


def unwrapping() -> float | None:
    """Milliseconds that a mesh of so many faces takes to unwrap, once; None without xatlas."""
    if importlib.util.find_spec("xatlas") is None:
        return None
    start = time.perf_counter()
    unwrap_uv(trefoil_knot(*_SIZE))
    return (time.perf_counter() - start) * 1e3
