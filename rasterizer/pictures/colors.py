"""Colours: as people write them, and between sRGB codes and linear light (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def parse_color(text: str, name: str = "background") -> tuple[float, float, float]:
    """``#rrggbb``, ``#rgb`` or a CSS colour name to RGB in 0..1.

    Raises:
        ValueError: anything else; ``name`` is what the message calls it.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
    except ValueError:
        raise ValueError(f"{name}: is {text!r}, expected a colour such as #ffffff or white") from None
    return red / 255, green / 255, blue / 255


def linear_to_srgb(color: Tensor) -> Tensor:
    """Linear light to sRGB codes, any float dtype, clamped to 0..1."""
    color = color.clamp(0.0, 1.0)
    return torch.where(color <= 0.0031308, color * 12.92, 1.055 * color.clamp(min=1e-8) ** (1 / 2.4) - 0.055)


def srgb_to_linear(color: Tensor) -> Tensor:
    """sRGB codes to linear light, any float dtype, clamped to 0..1."""
    color = color.clamp(0.0, 1.0)
    return torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def array_to_linear(codes: np.ndarray) -> np.ndarray:
    """:func:`srgb_to_linear` of an array of any dtype, in float64."""
    return srgb_to_linear(torch.from_numpy(np.asarray(codes, np.float64))).numpy()


def array_to_srgb(light: np.ndarray) -> np.ndarray:
    """:func:`linear_to_srgb` of an array of any dtype, in float64."""
    return linear_to_srgb(torch.from_numpy(np.asarray(light, np.float64))).numpy()


def array_to_bytes(values: np.ndarray) -> np.ndarray:
    """Values 0..1 as uint8 0..255, rounded to the nearest."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


_OKABE_ITO = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def distinct_colors(count: int) -> Tensor:
    """``[count, 3]`` float32 sRGB codes that are told apart, also by people who confuse colours; none is black.

    The seven of Okabe and Ito, "Color Universal Design", 2008, in their order; then the same, halfway and on towards
    black and white by turns.
    """
    colors = torch.tensor([parse_color(code) for code in _OKABE_ITO]).repeat(-(-count // len(_OKABE_ITO)), 1)[:count]
    shades = torch.tensor([_halves(1 + number // len(_OKABE_ITO)) for number in range(count)])
    share = (0.8 * (2 * shades - 1))[:, None]  # towards white, or black where it is negative
    return colors * (1 - share.abs()) + share.clamp(min=0)


def _halves(number: int) -> float:
    """Of the van der Corput sequence in base 2: 1/2, 1/4, 3/4, 1/8, ... from 1 on."""
    value, step = 0.0, 0.5
    while number:
        value, number, step = value + step * (number % 2), number // 2, step / 2
    return value
