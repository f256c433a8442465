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
