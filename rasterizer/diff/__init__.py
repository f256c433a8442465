"""Differentiable rasterization primitives: rasterize, interpolate, texture, antialias, and their gradients.

The interface is that of nvdiffrast, its conventions too; written from its behaviour, without its code, in PyTorch
operators for every device and in GPU kernels for CUDA and ROCm.

>>> import torch
>>> from rasterizer import diff
>>> pos = torch.tensor([[[-1.0, -1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]]], requires_grad=True)
>>> tri = torch.tensor([[0, 1, 2]], dtype=torch.int32)
>>> rast, rast_db = diff.rasterize(pos, tri, (64, 64))
>>> color, _ = diff.interpolate(torch.eye(3)[None], rast, tri)
>>> diff.antialias(color, rast, pos, tri).sum().backward()
>>> tuple(pos.grad.shape)
(1, 3, 4)
"""

from .antialias import Topology, antialias, antialias_construct_topology_hash
from .errors import ArgumentError, KindError, ModeError
from .interpolate import interpolate
from .rasterize import Peeling, rasterize
from .texture import Mipmaps, texture, texture_construct_mip

__all__ = [
    "ArgumentError",
    "KindError",
    "Mipmaps",
    "ModeError",
    "Peeling",
    "Topology",
    "antialias",
    "antialias_construct_topology_hash",
    "interpolate",
    "rasterize",
    "texture",
    "texture_construct_mip",
]
