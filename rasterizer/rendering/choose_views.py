"""More views of a mesh, chosen for what the ones there are do not show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..cameras.views import View
from ..contract.checks import check_integer
from ..meshes.mesh import Mesh
from ..runtime.progress import counted
from .raster import rasterize_mesh

MOST_EXTRA = 24
"""Candidates there are: every 30 degrees around, 20 degrees up and down."""

_WEIGHT = 0.01
_ELEVATIONS = (20.0, -20.0)
_LEAST_SHARE = 0.01  # of the surface that a view must newly show
_SIZE = 1024


def add_views(
    mesh: Mesh,
    views: Sequence[View],
    most: int,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[View, ...]:
    """``views``, and up to ``most`` more that show other parts of the mesh, as Hunyuan3D 2.1 chooses them.

    Candidates go around the mesh every 30 degrees at elevations of 20 and -20, through the lens of the first view, with
    a weight of 0.01: they fill in, and change little where another view sees the surface. The one that newly shows the
    largest area is added, and so on, until none shows 1 % of the surface that no view has shown. A face counts as shown
    when a pixel of 1024 x 1024 is its own. The choice depends on the mesh and on ``views`` only.

    Args:
        mesh: what they look at.
        views: the ones to add to, at least one.
        most: 0 to :data:`MOST_EXTRA`.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: ``most`` out of range, or no views.
    """
    most = check_integer(most, 0, MOST_EXTRA, "extra_views")
    if not views:
        raise ValueError("views: are none, expected at least one to add to")
    if not most:
        return tuple(views)
    candidates = [
        replace(views[0], azimuth=float(azimuth), elevation=elevation, weight=_WEIGHT)
        for elevation in _ELEVATIONS
        for azimuth in range(0, 360, 30)
    ]
    every = [*views, *candidates]
    report = counted("view", len(every), on_progress or (lambda share: None))
    shown = []
    for number, view in enumerate(every):
        report(number / len(every))
        shown.append(_shown(mesh, view))
    a, b, c = mesh.vertices[mesh.faces.long()].unbind(1)
    areas = torch.linalg.cross(b - a, c - a).norm(dim=1) / 2
    areas = torch.where(areas < torch.inf, areas, 0.0)  # a face with a corner that is not finite is never drawn
    areas = areas / areas.sum().clamp(min=1e-30)
    missing = areas * ~torch.stack(shown[: len(views)]).any(dim=0)
    fresh = torch.stack(shown[len(views) :])
    added: list[View] = []
    while len(added) < most:
        gain, best = (fresh * missing).sum(dim=1).max(dim=0)
        if float(gain) <= _LEAST_SHARE:
            break
        added.append(candidates[int(best)])
        missing = missing * ~fresh[best]
    report(1.0)
    return (*views, *added)


def _shown(mesh: Mesh, view: View) -> Tensor:
    """``[M]`` bool: faces that have a pixel of their own."""
    findices = rasterize_mesh(mesh, [view.camera()], (_SIZE, _SIZE)).findices.view(-1).long()
    found = torch.zeros(len(mesh.faces) + 1, dtype=torch.int32, device=findices.device)
    return found.index_fill_(0, findices, 1)[1:] > 0
