"""Pictures of a mesh to its texture, with what no view shows left open: ``texture.png`` and ``painted.png``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...pictures.files import save_image
from ..jobs import Job
from . import baking
from .meshes import mesh_of

PARAMETERS = baking.PARAMETERS


def run(job: Job, folder: Path, devices: Sequence[torch.device]) -> Mapping[str, Any]:
    """Bake, and write the texture and which of its texels are painted."""
    mesh = mesh_of(job.mesh, devices[0])
    if mesh.uvs is None:
        raise ValueError("mesh: has no UVs, which recipe bake needs; recipe texture makes them and writes the mesh")
    made, images, _ = baking.baked(job, mesh, devices)
    save_image(made.texture, folder / "texture.png")
    save_image((made.painted > 0).to(made.texture.dtype), folder / "painted.png")
    return {"faces": len(mesh.faces), "views": len(images), "painted": baking.share(made.painted, made.covered)}
