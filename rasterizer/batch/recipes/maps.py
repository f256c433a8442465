"""Conditioning maps: ``normal_01.png``, ``position_01.png``, ``depth_01.png``, ``mask_01.png`` and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...pictures.files import save_image
from ...rendering.maps import STYLES, render_maps
from ..jobs import Job
from .groups import groups
from .meshes import mesh_of
from .parameters import Parameter, cameras_alone, cameras_of, choice, lens, whole

PARAMETERS = {
    "cameras": Parameter("hunyuan3d-2", cameras_alone),
    "perspective": Parameter(None, lens),
    "size": Parameter(1024, whole(1, 16384)),
    "style": Parameter(STYLES[0], choice(*STYLES)),
}

_RESULT = 40  # bytes of a pixel of all maps


def run(job: Job, folder: Path, devices: Sequence[torch.device]) -> Mapping[str, Any]:
    """Draw the maps of all views."""
    mesh, views = mesh_of(job.mesh, devices[0]), cameras_of(job.parameters)
    size = job.parameters["size"]
    for first, part in groups(len(views), size * size, _RESULT, devices):
        maps = render_maps(mesh, views[part], (size, size), job.parameters["style"], devices=devices)
        for name in ("normal", "position", "depth", "mask"):
            for number, image in enumerate(getattr(maps, name), first):
                save_image(image, folder / f"{name}_{number:02}.png")
    return {"faces": len(mesh.faces), "views": len(views)}
