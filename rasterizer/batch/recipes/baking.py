"""What the recipes that bake share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...cameras.camera import Camera, orbit_camera
from ...meshes.mesh import Mesh
from ...pictures.files import load_images
from ...rendering.lit import render_mesh
from ...texturing import BLENDS, Baked, bake_views
from ..jobs import Job
from .parameters import Parameter, cameras, cameras_of, choice, flag, lens, whole

PARAMETERS = {
    "cameras": Parameter("hunyuan3d-2", cameras),
    "perspective": Parameter(None, lens),
    "size": Parameter(2048, whole(16, 16384)),
    "match_colors": Parameter(True, flag),
    "align_views": Parameter(3, whole(0, 100)),
    "blend": Parameter(BLENDS[0], choice(*BLENDS)),
}

_PREVIEW = 256


def baked(job: Job, mesh: Mesh, devices: Sequence[torch.device]) -> tuple[Baked, Tensor, list[Camera]]:
    """The job's pictures on its mesh, which has UVs, by devices; the pictures, and the cameras they were taken from."""
    given, views = job.parameters, cameras_of(job.parameters, len(job.views))
    images = load_images(job.views).to(mesh.vertices.device)
    made = bake_views(
        mesh,
        images,
        views,
        given["size"],
        match_colors=given["match_colors"],
        align_views=given["align_views"],
        blend=given["blend"],
        devices=devices,
    )
    return made, images, views


def preview(mesh: Mesh) -> Tensor:
    """A small lit picture of a finished mesh, ``[H, W, 3]``."""
    return render_mesh(mesh, [orbit_camera(30, 20)], (_PREVIEW, _PREVIEW), keep_on=torch.device("cpu")).color[0]


def share(part: Tensor, whole: Tensor) -> float:
    """How much of the layout's texels are set, 0..1."""
    return round(int((part > 0).sum()) / max(int((whole > 0).sum()), 1), 4)
