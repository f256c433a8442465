"""What meshopt's filters make of decompressed attributes: appendix B of KHR_meshopt_compression (Khronos Group)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _wide(values: np.ndarray, kinds: tuple[str, str]) -> np.ndarray:
    """``[N, 4]`` of one of two kinds of number, of 1 or of 2 bytes."""
    if values.shape[1] not in (4, 8):
        raise ValueError(f"this filter of meshopt has no elements of {values.shape[1]} bytes")
    return values.view(kinds[values.shape[1] // 4 - 1])


def _rounded(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    """To the nearest integer, halves away from zero; what no integer of ``kind`` is becomes the nearest, NaN 0."""
    whole = np.trunc(values + np.copysign(np.float32(0.5), values))
    limits = np.iinfo(kind)
    return np.clip(np.nan_to_num(whole), limits.min, limits.max).astype(kind)


def _octahedral(values: np.ndarray) -> np.ndarray:
    """Unit vectors."""
    given = _wide(values, ("i1", "<i2"))
    with np.errstate(all="ignore"):
        one = given[:, 2].astype(np.float32)
        x, y = (given[:, axis].astype(np.float32) / one for axis in (0, 1))
        z = 1 - abs(x) - abs(y)
        fold = np.minimum(z, np.float32(0))
        x, y = x - np.copysign(fold, x), y - np.copysign(fold, y)
        scale = np.float32(np.iinfo(given.dtype).max) / np.sqrt(x * x + y * y + z * z)
        turned = np.stack([x * scale, y * scale, z * scale], axis=1)
        made = given.copy()
        made[:, :3] = _rounded(turned, given.dtype)
    return made


def _quaternion(values: np.ndarray) -> np.ndarray:
    """Rotations."""
    if values.shape[1] != 8:
        raise ValueError(f"this filter of meshopt has no elements of {values.shape[1]} bytes")
    given = values.view("<i2")
    with np.errstate(all="ignore"):
        one = (given[:, 3:] | 3).astype(np.float32)
        three = given[:, :3].astype(np.float32) / one * np.float32(0.5**0.5)
        fourth = np.sqrt(np.maximum(np.float32(0), 1 - (three * three).sum(1, keepdims=True)))
        parts = _rounded(np.concatenate([fourth, three], axis=1) * np.float32(32767), given.dtype)
    made = np.empty_like(given)
    places = ((given[:, 3:].astype(np.int64) & 3) + np.arange(4)) % 4
    np.put_along_axis(made, places, parts, axis=1)
    return made


def _exponential(values: np.ndarray) -> np.ndarray:
    """Floats."""
    given = values.view("<i4")
    with np.errstate(all="ignore"):
        return np.ldexp((given << 8 >> 8).astype(np.float32), given >> 24).astype("<f4")


def _color(values: np.ndarray) -> np.ndarray:
    """Red, green, blue and alpha of YCoCg."""
    given = _wide(values, ("i1", "<i2"))
    unsigned = _wide(values, ("u1", "<u2"))
    last = unsigned[:, 3].astype(np.int64)
    bits = np.frexp(last.astype(np.float64))[1]  # of what is not 0, the place of the highest bit and 1
    most = (np.int64(1) << bits) - 1
    luma, orange, green = unsigned[:, 0].astype(np.int64), *(given[:, k].astype(np.int64) for k in (1, 2))
    alpha = last & most >> 1
    channels = (luma + orange - green, luma + green, luma - orange - green, alpha << 1 | alpha & 1)
    with np.errstate(all="ignore"):
        scale = np.float32(np.iinfo(unsigned.dtype).max) / most.astype(np.float32)
        return _rounded(np.stack(channels, axis=1).astype(np.float32) * scale[:, None], unsigned.dtype)


FILTERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "NONE": lambda values: values,
    "OCTAHEDRAL": _octahedral,
    "QUATERNION": _quaternion,
    "EXPONENTIAL": _exponential,
    "COLOR": _color,
}
"""By name: ``[N, stride]`` uint8 to ``[N, ...]`` of as many bytes."""
