"""A textured mesh from pictures of a bare one: a GLB called as the job, and ``preview.png``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...meshes.files import save_mesh
from ...meshes.simplify import simplify_mesh
from ...pictures.files import save_image
from ...texturing import METHODS, apply_textures, fill_texture, refine_texture
from ...texturing.unwrap.unwrap import unwrap_uv
from ..jobs import Job
from . import baking
from .meshes import mesh_of
from .parameters import Parameter, choice, flag, whole, whole_or_none

PARAMETERS = {
    **baking.PARAMETERS,
    "faces": Parameter(None, whole_or_none(4, 100_000_000)),
    "refine": Parameter(0, whole(0, 10_000)),
    "method": Parameter(METHODS[0], choice(*METHODS)),
    "quantize": Parameter(False, flag),
}


def run(job: Job, folder: Path, devices: Sequence[torch.device]) -> Mapping[str, Any]:
    """Simplify if asked to, unwrap if needed, bake, refine if asked to, fill, and write the mesh."""
    given, mesh = job.parameters, mesh_of(job.mesh, devices[0])
    if given["faces"] is not None:
        mesh = simplify_mesh(mesh, given["faces"])
    if mesh.uvs is None:
        mesh = unwrap_uv(mesh, given["size"])
    made, images, views = baking.baked(job, mesh, devices)
    texture = made.texture
    if given["refine"]:
        agreed = images if made.agreement is None else made.agreement.apply(images)
        texture = refine_texture(mesh, texture, made.painted, agreed, views, steps=given["refine"]).texture
    texture, filled = fill_texture(texture, made.painted, mesh, given["method"])
    textured = apply_textures(mesh, texture)
    save_mesh(textured, folder / f"{job.id}.glb", given["quantize"])
    save_image(baking.preview(textured), folder / "preview.png")
    return {
        "faces": len(mesh.faces),
        "views": len(images),
        "painted": baking.share(made.painted, made.covered),
        "filled": baking.share(filled, made.covered),
    }
