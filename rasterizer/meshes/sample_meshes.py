"""Sample meshes made by code, to try the pack with no file at hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .mesh import Mesh

SAMPLES = ("trefoil knot", "torus")

_MARGIN = 0.02
_TEXTURE_SIZE = 512


def sample_mesh(name: str) -> Mesh:
    """A closed tube with seams, UVs, smooth normals and a texture that shows its orientation.

    Centred on the origin, touching the unit sphere from inside, its front towards +Z. UVs fill the square 0.02..0.98
    without overlap: u runs along the tube, v around it.

    Args:
        name: one of ``SAMPLES``.

    Raises:
        ValueError: another name.
    """
    if name == "trefoil knot":
        return trefoil_knot()
    if name == "torus":
        return _tube(name, _circle, radius=0.3, segments=96, sides=48, cells=(20, 6))
    raise ValueError(f"sample '{name}' is unknown; expected one of {', '.join(SAMPLES)}.")


def trefoil_knot(segments: int = 200, sides: int = 24, radius: float = 0.5 / 3) -> Mesh:
    """The sample of that name as a tube of ``segments x sides`` quads; ``radius`` is that of the tube before scaling.

    The strands pass each other at a distance of 0.55: from a radius of 0.275 on, they cut into each other.
    """
    return _tube("trefoil knot", _trefoil, radius=radius, segments=segments, sides=sides, cells=(36, 4))


def _trefoil(t: Tensor) -> Tensor:
    """The (2, 3) torus knot through the unit sphere, ``[N, 3]`` for ``[N]`` angles of one turn."""
    ring = 2 + torch.cos(3 * t)
    return torch.stack([ring * torch.cos(2 * t), ring * torch.sin(2 * t), torch.sin(3 * t)], dim=-1) / 3


def _circle(t: Tensor) -> Tensor:
    """The unit circle in the XY plane, ``[N, 3]`` for ``[N]`` angles."""
    return torch.stack([torch.cos(t), torch.sin(t), torch.zeros_like(t)], dim=-1)


def _tube(
    name: str, curve: Callable[[Tensor], Tensor], radius: float, segments: int, sides: int, cells: tuple[int, int]
) -> Mesh:
    """A tube around a closed curve of greatest radius 1, ``segments x sides`` quads, scaled into the unit sphere."""
    t = torch.linspace(0, 2 * math.pi, segments + 1, dtype=torch.float64)
    step = 1e-3
    before, center, after = curve(t - step), curve(t), curve(t + step)
    tangent = torch.nn.functional.normalize(after - before, dim=-1)
    # The Frenet frame closes on itself because neither curve is straight anywhere.
    binormal = torch.nn.functional.normalize(torch.linalg.cross(tangent, before - 2 * center + after), dim=-1)
    inward = torch.linalg.cross(binormal, tangent)

    angle = torch.linspace(0, 2 * math.pi, sides + 1, dtype=torch.float64)[:, None]
    normals = torch.cos(angle) * inward[:, None] + torch.sin(angle) * binormal[:, None]
    vertices = (center[:, None] + radius * normals) / (1 + radius)
    # The two ends of a seam are the same point, to the bit, so that they weld.
    for grid in (vertices, normals):
        grid[-1], grid[:, -1] = grid[0], grid[:, 0]

    lines = (torch.linspace(0, 1, count + 1, dtype=torch.float32) for count in (segments, sides))
    u, v = torch.meshgrid(*lines, indexing="ij")
    uvs = _MARGIN + (1 - 2 * _MARGIN) * torch.stack([u, v], dim=-1)

    index = torch.arange((segments + 1) * (sides + 1), dtype=torch.int32).view(segments + 1, sides + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = torch.stack([torch.stack([a, d, c], dim=-1), torch.stack([a, c, b], dim=-1)], dim=2)
    return Mesh(
        vertices=vertices.reshape(-1, 3).float(),
        faces=faces.reshape(-1, 3),
        uvs=uvs.reshape(-1, 2),
        normals=normals.reshape(-1, 3).float(),
        texture=_texture(*cells),
        name=name,
    )


def _texture(columns: int, rows: int) -> Tensor:
    """A pastel checker whose hue runs along u and whose lightness runs down v, ``[512, 512, 3]`` float32 sRGB."""
    texel = (torch.arange(_TEXTURE_SIZE, dtype=torch.float32) + 0.5) / _TEXTURE_SIZE
    # Periodic across the margin, so that sampling at the border of the layout finds the colour of the other side.
    place = (texel - _MARGIN) / (1 - 2 * _MARGIN)
    u, v = place[None, :], place[:, None]

    hue = 2 * math.pi * (u[..., None] + texel.new_tensor([0.0, -1 / 3, 1 / 3]))
    color = (0.74 + 0.2 * torch.cos(hue)).expand(_TEXTURE_SIZE, -1, -1)
    wave = torch.sin(math.pi * columns * u) * torch.sin(math.pi * rows * v)
    checker = 0.5 + 0.5 * (10 * wave).clamp(-1, 1)
    lightness = 1.0 - 0.28 * (v % 1.0)
    lines = torch.maximum(_line(u, columns // 4), _line(v, 1))
    shade = lightness * (0.78 + 0.22 * checker) * (1 - 0.55 * lines)
    return (color * shade[..., None]).clamp(0, 1).contiguous()


def _line(place: Tensor, count: int) -> Tensor:
    """1 on ``count`` thin soft lines at equal distances along ``place``, 0 between them."""
    distance = ((place * count + 0.5) % 1.0 - 0.5).abs() / count * _TEXTURE_SIZE
    return (2.0 - distance).clamp(0, 1)
