"""What views show of a mesh, drawn and weighed with the views shared out among devices.

Texels are blended on the first device, over all views in their order, so that a texture has the bits it has there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...cameras.projection import Frame
from ...meshes.mesh import Mesh
from ...rendering.face_ids import FaceIds
from ...rendering.raster import drawing_waits, mesh_copies
from ...runtime.progress import shares as parts_of
from ...runtime.several import Share, copies, over_devices
from .choice import kernels_work
from .pictures import prepare_pictures
from .view import Lens, Pictures

_TOGETHER = 32  # views at once, as many as GPU kernels take


def see_views(
    shares: Sequence[Share],
    mesh: Mesh,
    cameras: Sequence[Camera],
    frame: Frame,
    lenses: Sequence[Lens],
    images: Tensor,
    masks: Tensor | None,
    border: int,
    drawing: Callable[[float], None],
    weighing: Callable[[float], None],
) -> tuple[FaceIds, Pictures]:
    """The mesh as views see it, and their pictures made ready, both on the first device.

    Args:
        shares: which device takes which views; more than one.
        mesh, frame, images, masks: on the first device. Others are sent what they draw and weigh, but no colours.
        cameras, lenses: of the views.
        border: as for :func:`.pictures.prepare_pictures`.
        drawing, weighing: take the share done of each step; here both are done view by view, one half each of the work.
    """
    size, channels = (images.shape[1], images.shape[2]), images.shape[3]
    meshes, frames = mesh_copies(Mesh(mesh.vertices, mesh.faces), shares), copies(frame, shares)
    flats = copies(lenses[0].flat, shares)
    weights = [None if masks is None else masks[share.views].to(share.device) for share in shares]

    def see(number: int, views: slice, report: Callable[[float], None]) -> list[Tensor]:
        one, two = parts_of(report, 2)
        shown = FaceIds.of_views(meshes[number], cameras[views], size, one, frames[number])
        some = [replace(lens, flat=flats[number]) for lens in lenses[views]]
        start, mask = shares[number].views.start, weights[number]
        mask = None if mask is None else mask[views.start - start : views.stop - start]
        none = torch.empty((len(some), *size, 0), device=shares[number].device)
        seen = prepare_pictures(shown, some, none, mask, border, two)
        assert seen.fading is not None  # no one has joined it with colours
        return [shown.findices, seen.depth.view(-1, *size), seen.rough, seen.fading.view(-1, *size)]

    def tell(share: float) -> None:
        if share < 0.5:
            drawing(2 * share)
        else:
            weighing(2 * share - 1)

    waits = drawing_waits(shares) or not all(kernels_work(share.device) for share in shares)
    findices, depth, rough, fading = over_devices(shares, see, tell, waits=waits, together=_TOGETHER)
    color = images.reshape(-1, channels)
    pictures = Pictures(color, depth.view(-1), rough, channels, fading=fading.view(-1))
    return FaceIds(findices, None, mesh, tuple(cameras), frame), pictures
