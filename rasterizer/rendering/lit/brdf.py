"""How a surface answers light: the metallic-roughness material of glTF 2.0, appendix B.

Numbers of ``P`` points lie side by side: vectors and colours are ``[3, P]``, scalars ``[P]``, all float32. Vectors have
unit length. ``n`` is the normal, ``v`` points to the viewer, ``l`` to the light, ``h`` halfway between the two.

The parts: the distribution of Walter et al., "Microfacet Models for Refraction through Rough Surfaces", 2007 (GGX, eq.
33); the height-correlated masking of Heitz, "Understanding the Masking-Shadowing Function", 2014 (eq. 99), with the
denominator of the microfacet formula; Fresnel by Schlick, "An Inexpensive BRDF Model", 1994 (eq. 24).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .textures import Pyramid

DIELECTRIC = 0.04
"""Reflectance of what is no metal, seen squarely (glTF 2.0, B.3.4)."""

LEAST_ROUGHNESS = 0.045
"""Below it, the highlight of a light without extent is narrower than float32 and pixels can show."""

_COSINES, _ROUGHNESSES, _SAMPLES = 64, 32, 1024  # of the table of the split sum


@dataclass(frozen=True)
class Material:
    """What points are made of: a mixture of something that is no metal and a metal, of one colour (B.3.5).

    Attributes:
        color: ``[3, P]`` linear base colour: what the one scatters, and what the other mirrors seen squarely.
        metallic: ``[P]``, the share of the metal.
        roughness: ``[P]`` perceived roughness; its square is GGX's alpha.
    """

    color: Tensor
    metallic: Tensor
    roughness: Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    """``[P]`` of two ``[3, P]``."""
    return (a * b).sum(0)


def unit(vectors: Tensor) -> Tensor:
    """``[3, P]`` of length 1; zero stays zero."""
    return vectors * torch.rsqrt(dot(vectors, vectors).clamp(min=1e-24))


def cross(a: Tensor, b: Tensor) -> Tensor:
    """``[3, P]`` of two ``[3, P]``."""
    ax, ay, az = a
    bx, by, bz = b
    return torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx))


def reflect_light(material: Material, n: Tensor, v: Tensor, light: Tensor) -> Tensor:
    """``[3, P]`` radiance toward ``v`` under a light without extent.

    Args:
        material: of the points.
        n, v: normal, and direction to the viewer.
        light: direction to the light. Its strength is such that a white matt surface facing it has radiance 1.
    """
    h = unit(v + light)
    n_l, n_v = dot(n, light).clamp(min=0.0), dot(n, v).clamp(min=1e-4)
    n_h, v_h = dot(n, h).clamp(0.0, 1.0), dot(v, h).clamp(0.0, 1.0)
    alpha = material.roughness.clamp(min=LEAST_ROUGHNESS) ** 2
    squared = alpha * alpha
    # 1 - (n.h)^2 from the cross product: near a highlight's peak, the subtraction leaves no digits.
    across = cross(n, h)
    spread = dot(across, across).clamp(max=1.0) + n_h * n_h * squared
    distribution = squared / (math.pi * spread * spread)
    masking_l = n_v * torch.sqrt(n_l * n_l * (1.0 - squared) + squared)
    masking_v = n_l * torch.sqrt(n_v * n_v * (1.0 - squared) + squared)
    visibility = 0.5 / (masking_l + masking_v).clamp(min=1e-7)
    grazing = (1.0 - v_h) ** 5
    plain = DIELECTRIC + (1.0 - DIELECTRIC) * grazing
    metal = material.color + (1.0 - material.color) * grazing
    scattered = material.color * ((1.0 - material.metallic) * (1.0 - plain) / math.pi)
    fresnel = plain + (metal - plain) * material.metallic
    return (scattered + fresnel * (distribution * visibility)) * (n_l * math.pi)


def reflect_environment(material: Material, n_v: Tensor, mirrored: Tensor, scattered: Tensor) -> Tensor:
    """``[3, P]`` radiance toward the viewer under an environment.

    The split sum of Karis, "Real Shading in Unreal Engine 4", 2013; and what light loses by a single bounce given back
    as in Fdez-Aguera, "A Multiple-Scattering Microfacet Model for Real-Time Image-Based Lighting", 2019: under a light
    that is the same from everywhere, white stays white whatever the roughness.

    Args:
        material: of the points.
        n_v: cosine between normal and viewer.
        mirrored: radiance of the environment around the mirrored direction, as wide as the roughness asks.
        scattered: irradiance about the normal, divided by pi.
    """
    scale, offset = split_sum(n_v, material.roughness)
    lost = 1.0 - (scale + offset)

    def bounces(f0: Tensor | float) -> tuple[Tensor, Tensor]:
        single = f0 * scale + offset
        mean = f0 + (1.0 - f0) / 21.0
        return single, lost * single * mean / (1.0 - mean * lost)

    (plain, plain_again), (metal, metal_again) = bounces(DIELECTRIC), bounces(material.color)
    # What is neither mirrored nor lost enters what is no metal, and leaves it in its colour.
    plain_diffuse = plain_again + material.color * (1.0 - plain - plain_again)
    single = plain + (metal - plain) * material.metallic
    diffuse = plain_diffuse + (metal_again - plain_diffuse) * material.metallic
    return single * mirrored + diffuse * scattered


def split_sum(n_v: Tensor, roughness: Tensor) -> tuple[Tensor, Tensor]:
    """How much of a light from everywhere is mirrored: ``f0 * scale + offset``, ``[P]`` each, 0..1."""
    # The table does not repeat: half an entry from its edge is the last place.
    n_v = n_v.clamp(0.5 / _COSINES, 1.0 - 0.5 / _COSINES)
    roughness = roughness.clamp(0.5 / _ROUGHNESSES, 1.0 - 0.5 / _ROUGHNESSES)
    scale, offset = _table(n_v.device).at(torch.stack((n_v, roughness)))
    return scale, offset


@lru_cache
def _table(device: torch.device) -> Pyramid:
    """``[R, N, 2]`` :func:`split_sum` at the middles of ``R`` roughnesses and ``N`` cosines to the viewer.

    The integral of Karis, 2013, with the masking of this module, by samples of GGX (Walter et al., eqs. 35 and 41).
    """

    def middles(count: int) -> Tensor:
        return (torch.arange(count, dtype=torch.float64, device="cpu") + 0.5) / count

    n_v, roughness = middles(_COSINES)[:, None], middles(_ROUGHNESSES)
    share = middles(_SAMPLES)
    turn = share * (_SAMPLES * math.pi * (3.0 - math.sqrt(5.0)))  # golden angles
    rows = []
    for squared in (roughness**4).tolist():
        up = torch.sqrt((1.0 - share) / (1.0 + (squared - 1.0) * share))
        v_h = (torch.sqrt(1.0 - n_v**2) * torch.sqrt(1.0 - up**2) * torch.cos(turn) + n_v * up).clamp(min=0.0)
        n_l = (2.0 * v_h * up - n_v).clamp(min=0.0)
        masking_l = n_v * torch.sqrt(n_l**2 * (1.0 - squared) + squared)
        masking_v = n_l * torch.sqrt(n_v**2 * (1.0 - squared) + squared)
        weight = 2.0 * n_l * v_h / (up * (masking_l + masking_v))  # of the samples: masking, (v.h) / ((n.h) (n.v))
        grazing = (1.0 - v_h) ** 5
        rows.append(torch.stack(((weight * (1.0 - grazing)).mean(1), (weight * grazing).mean(1)), -1))
    return Pyramid.of(torch.stack(rows).to(torch.float32).to(device), 1)
