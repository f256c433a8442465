"""Adobe Lagrange's texture compositing, a screened Poisson blend across UV seams, of one bake of ours for each view."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from ...cameras.views import View
from ...meshes.mesh import Mesh
from ...texturing import bake_views, spread
from .hunyuan3d import PeerBake


def composite(mesh: Mesh, images: Tensor, views: Sequence[View], size: int) -> PeerBake:
    """Each view baked alone to ``size x size`` texels, and all composited by how far each is trusted.

    Args:
        mesh: with UVs, on the CPU.
        images: ``[V, N, N, 3]`` float32.
        views: where they were taken from.
        size: texels a side.
    """
    lagrange, texproc = (importlib.import_module(name) for name in ("lagrange", "lagrange.texproc"))
    start = time.perf_counter()
    colors, weights = [], []
    for view, image in zip(views, images, strict=True):
        baked = bake_views(mesh, image[None], [view.camera()], size)
        # Its first row is the lowest one.
        colors.append(baked.texture.flip(0).contiguous().numpy())
        weights.append((baked.confidence * view.weight).flip(0)[..., None].contiguous().numpy())
    there = torch.stack([torch.from_numpy(weight) for weight in weights]).amax(0)[..., 0].flip(0) > 0
    surface = lagrange.SurfaceMesh()
    surface.add_vertices(mesh.vertices.double().numpy())
    surface.add_triangles(mesh.faces.numpy().astype("uint32"))
    uv = mesh.require_uvs().double() * torch.tensor([1.0, -1.0]).double() + torch.tensor([0.0, 1.0]).double()
    surface.create_attribute(
        "uv",
        element=lagrange.AttributeElement.Vertex,
        usage=lagrange.AttributeUsage.UV,
        initial_values=uv.numpy(),
    )
    found = (
        torch.from_numpy(texproc.texture_compositing(surface, colors, weights, clamp_to_range=(0.0, 1.0)).copy())
        .flip(0)
        .contiguous()
    )
    middle = time.perf_counter()
    filled = spread(found, there)
    return PeerBake(found, there, filled, middle - start, time.perf_counter() - middle)
