"""What the GPU kernels must pass before they are used on a device."""

from __future__ import annotations

import torch

from ..meshes.sample_meshes import trefoil_knot
from . import kernels, operators
from .axis_views import peel
from .surface_samples import Views


def check_kernels(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators on a small mesh.

    Raises:
        RuntimeError: an output differs.
    """
    mesh = trefoil_knot(60, 12)
    peeled = peel(mesh, mesh.vertices * (0.9 / mesh.vertices.abs().amax()), 16, 12)
    views = Views(peeled.positions, peeled.normals).to(device)
    got, want = (way.build(views, 4, 16, False, lambda share: None) for way in (kernels, operators))
    if got is None:
        raise RuntimeError("self-test: the kernels did not take the views")
    for number, (one, other) in enumerate(zip(got.levels, want.levels, strict=True)):
        for name in ("cells", "downsample", "corners", "neighbors"):
            values = getattr(one, name), getattr(other, name)
            if values[1] is not None and not torch.equal(*values):
                raise RuntimeError(f"self-test: {name} of level {number} differ")
