"""Vertex attributes over rasterized faces."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends import registry
from ..backends.eager.interpolate import interpolate_out_of_place
from ..contract.checks import as_tensor, check_faces, check_findices, computed
from ..pictures.stored import as_numbers
from ..runtime.devices import working_device
from ..runtime.memory import with_less_memory
from .library import FUNCTIONS


def interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
    """Interpolate vertex attributes over rasterized faces.

    Args:
        col: ``[N, C]``, ``[1, N, C]`` or ``[B, N, C]`` attributes, of floating point, or uint8, whose 0..255 stand for
            0..1 as glTF's normalised bytes do.
        findices: ``[H, W]`` or ``[B, H, W]`` 1-based face indices, 0 = background; any dtype (callers hand float32
        too).
        barycentric: ``findices``' shape with a last dimension of 3; any strides.
        tri: ``[M, 3]`` indices into ``col``'s vertices; other ones than those rasterized with are allowed (UV faces).
            Where there are none, everything is background.

    Returns:
        ``[H, W, C]`` if neither ``col`` nor ``findices`` has a batch dimension, else ``[B, H, W, C]``: the sum over the
        corners of ``barycentric * col[corner]``, zeros on background. Differentiable in ``col`` and ``barycentric``.
        Working memory is bounded, whatever the image size.
    """
    if torch.compiler.is_compiling():
        from . import compiled  # nothing of it is needed elsewhere

        return compiled.interpolate(col, findices, barycentric, tri)
    col, findices = computed(as_tensor(col, "col"), "col"), as_tensor(findices, "findices")
    barycentric = computed(as_tensor(barycentric, "barycentric"), "barycentric")
    single = col.ndim == 2 and findices.ndim == 2
    col = col if col.ndim == 3 else col[None]
    if col.dtype == torch.uint8:
        col = as_numbers(col)
    if col.ndim != 3 or not col.is_floating_point():
        raise ValueError(
            f"col: is {list(col.shape)} {col.dtype}, expected floating-point or uint8 [N, C], [1, N, C] or [B, N, C]"
        )
    home = col.device
    faces = check_faces(tri, col.shape[1], home)
    images = check_findices(findices, faces)
    weights = barycentric if barycentric.ndim == 4 else barycentric[None]
    if weights.shape != (*images.shape, 3):
        raise ValueError(f"barycentric: shape is {list(barycentric.shape)}, expected {[*findices.shape, 3]}")
    if weights.device != home:
        raise ValueError(f"barycentric: is on {weights.device} but col is on {home}")
    views = images.shape[0]
    if col.shape[0] not in (1, views):
        raise ValueError(f"col: is a batch of {col.shape[0]}, expected 1 or the {views} images of findices")

    differentiable = torch.is_grad_enabled() and (col.requires_grad or weights.requires_grad)

    def run(device: torch.device, budget: int) -> Tensor:
        way = interpolate_out_of_place if differentiable else registry.usual("interpolate", device)
        if device == home:  # as in rasterize
            return way(col, images, weights, faces, budget)
        return way(col.to(device), images.to(device), weights.to(device), faces.to(device), budget)

    out = with_less_memory(run, working_device(home))
    if out.device != home:
        out = out.to(home)
    return out[0] if single else out


FUNCTIONS["interpolate"] = interpolate
