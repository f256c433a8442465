"""Meshes whose positions and UVs are integers of 16 bits: half the memory, and an error that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..contract.checks import as_tensor
from .mesh import Mesh

_MOST = 32767  # of the integers; -32768 is left out, so that both sides reach as far
_UV_STEPS, _UV_ZERO = 65535, 32768  # 0..1 is spread over all integers, as glTF's normalized ones are


@dataclass(frozen=True, eq=False)
class QuantizedMesh:
    """A triangle mesh of integers, for drawing (:func:`~rasterizer.rendering.quantized.rasterize_quantized_mesh`) and
    writing (:func:`~rasterizer.meshes.files.save_mesh` with ``quantize``).

    A position is off by half of :attr:`scale` in x, y and z each at most, a UV by half of :attr:`uv_step`, and nothing
    else is lost: faces, and what lies at the same place, stay as they are.

    Attributes:
        positions: ``[N, 3]`` int16; vertices are ``positions * scale + centre``.
        scale: the same in all directions, so that normals stay right: of the longest side of the mesh's box 1/65534.
        centre: of the box.
        faces: ``[M, 3]`` int32, as in :class:`~rasterizer.meshes.mesh.Mesh`.
        uvs: ``[N, 2]`` int16, ``(uvs + 32768) / 65535`` being those of a mesh; None where it has none, or any outside
            0..1.
    """

    positions: Tensor
    scale: float
    centre: tuple[float, float, float]
    faces: Tensor
    uvs: Tensor | None = None

    uv_step = 1 / _UV_STEPS
    """From one UV to the next: of a texture of 4096 texels a side, 1/16 texel."""

    @property
    def nbytes(self) -> int:
        """What it takes in memory, faces aside."""
        return self.positions.nbytes + (0 if self.uvs is None else self.uvs.nbytes)

    def vertices(self) -> Tensor:
        """``[N, 3]`` float32."""
        centre = torch.tensor(self.centre, dtype=torch.float32, device=self.positions.device)
        return self.positions.to(torch.float32).mul_(self.scale).add_(centre)

    def float_uvs(self) -> Tensor | None:
        """``[N, 2]`` float32, or None."""
        return None if self.uvs is None else self.uvs.to(torch.float32).add_(_UV_ZERO).div_(_UV_STEPS)

    def to(self, device: torch.device | str) -> QuantizedMesh:
        """The same on another device."""
        uvs = None if self.uvs is None else self.uvs.to(device)
        return replace(self, positions=self.positions.to(device), faces=self.faces.to(device), uvs=uvs)


def quantize(mesh: Mesh) -> QuantizedMesh:
    """The integers nearest to a mesh's positions and UVs.

    Raises:
        ValueError: a position is NaN or infinite, or the mesh has none.
    """
    vertices = as_tensor(mesh.vertices, "mesh vertices")
    if not len(vertices) or not bool(vertices.isfinite().all()):
        raise ValueError("mesh: has no vertices, or some that are NaN or infinite, expected finite numbers to quantize")
    low, high = (bound.cpu().double() for bound in mesh.bounds())
    centre, half = (low + high) / 2, float((high - low).max()) / 2
    scale = half / _MOST if half > 0 else 1.0
    middle = centre.to(torch.float32).to(vertices.device)
    # The centre as float32 has it, so that what is taken away here is what is added later.
    positions = ((vertices - middle) / scale).round_().clamp_(-_MOST, _MOST).to(torch.int16)
    x, y, z = (float(value) for value in middle.tolist())
    return QuantizedMesh(positions, scale, (x, y, z), mesh.faces, _quantized_uvs(mesh.uvs))


def _quantized_uvs(uvs: Tensor | None) -> Tensor | None:
    if uvs is None or not len(uvs) or not bool(((uvs >= 0) & (uvs <= 1)).all()):
        return None
    return (uvs * _UV_STEPS).round_().sub_(_UV_ZERO).to(torch.int16)
