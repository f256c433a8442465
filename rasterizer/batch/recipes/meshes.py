"""Meshes of jobs."""

from __future__ import annotations

import torch

from ...meshes.files import load_mesh
from ...meshes.mesh import Mesh
from ...meshes.sample_meshes import SAMPLES, sample_mesh


def mesh_of(name: str, device: torch.device) -> Mesh:
    """A built-in sample, or the mesh in a file.

    Raises:
        ValueError, FileNotFoundError: as :func:`~rasterizer.meshes.files.load_mesh`.
    """
    return (sample_mesh(name) if name in SAMPLES else load_mesh(name)).to(device)
