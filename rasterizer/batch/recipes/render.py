"""Pictures of a mesh, lit or of one attribute: ``view_01.png`` and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...pictures.colors import parse_color
from ...pictures.files import save_image
from ...rendering.attributes import ATTRIBUTES, ENCODINGS, SHADINGS, attribute_image
from ...rendering.lit import LIGHTS, MOST_SAMPLES, render_mesh
from ...rendering.raster import rasterize_mesh
from ..jobs import Job
from .groups import groups
from .meshes import mesh_of
from .parameters import Parameter, cameras_alone, cameras_of, choice, color, flag, lens, whole

LIT = "lit"

PARAMETERS = {
    "cameras": Parameter("hunyuan3d-2", cameras_alone),
    "perspective": Parameter(None, lens),
    "size": Parameter(512, whole(1, 16384)),
    "attribute": Parameter(LIT, choice(LIT, *ATTRIBUTES)),
    "shading": Parameter("smooth", choice(*SHADINGS)),
    "encoding": Parameter("hunyuan3d", choice(*(name for name in ENCODINGS if name != "raw"))),
    "background": Parameter("#ffffff", color),
    "transparent": Parameter(False, flag),
    "light": Parameter("studio", choice(*LIGHTS)),
    "samples": Parameter(8, whole(1, MOST_SAMPLES)),
}

_RESULT = 32  # bytes of a pixel of an attribute: its fragment, colour and mask


def run(job: Job, folder: Path, devices: Sequence[torch.device]) -> Mapping[str, Any]:
    """Draw every view into a file of its own."""
    given = job.parameters
    mesh, views, size = mesh_of(job.mesh, devices[0]), cameras_of(given), (given["size"], given["size"])
    background = parse_color(given["background"])
    if given["attribute"] != LIT:
        for first, part in groups(len(views), size[0] * size[1], _RESULT, devices):
            raster = rasterize_mesh(mesh, views[part], size, devices=devices)
            image = attribute_image(raster, given["attribute"], given["shading"], given["encoding"], background)
            _save(image[:, 0], raster.mask[:, 0], first, given["transparent"], folder)
    else:
        drawn = render_mesh(
            mesh,
            views,
            size,
            light=given["light"],
            background="transparent" if given["transparent"] else "color",
            background_color=background,
            shading=given["shading"],
            samples=given["samples"],
            keep_on=torch.device("cpu"),
        )
        _save(drawn.color, drawn.alpha, 1, given["transparent"], folder)
    return {"faces": len(mesh.faces), "views": len(views)}


def _save(pictures: Tensor, alpha: Tensor, first: int, transparent: bool, folder: Path) -> None:
    for number, (picture, cover) in enumerate(zip(pictures, alpha, strict=True), first):
        image = torch.cat((picture, cover[..., None]), dim=-1) if transparent else picture
        save_image(image, folder / f"view_{number:02}.png")
