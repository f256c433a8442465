"""Checks at the door of the differentiable primitives. Values are not read: the device is not waited for."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import ArgumentError, KindError

_MOST = 2**31 - 1

_FLOAT, _INT, _DENSE = torch.float32, torch.int32, torch.strided  # found sooner than in PyTorch, and asked for often


def real(value: Any, name: str, *shapes: str) -> Tensor:
    """A floating-point tensor as contiguous float32, which passes gradients on.

    Args:
        value: what was given.
        name: its name.
        shapes: of which one must fit, such as ``"B H W 4"``: letters stand for any size of at least 1.
    """
    tensor = _shaped(value, name, shapes)
    if tensor.dtype is not _FLOAT:
        if not tensor.is_floating_point():
            raise ArgumentError(f"{name}: dtype is {tensor.dtype}, expected a floating-point dtype (float32 is best)")
        tensor = tensor.to(_FLOAT)
    return tensor.contiguous()


def triangles(value: Any, device: torch.device, name: str = "tri") -> Tensor:
    """``[T, 3]`` vertex indices as contiguous int32; what int32 cannot hold becomes -1, which is no vertex."""
    tensor = _shaped(value, name, ("T 3",))
    on(device, tensor, name)
    if tensor.dtype is _INT:
        return tensor.contiguous()
    if tensor.dtype not in (torch.int64, torch.int16, torch.int8, torch.uint8):
        raise ArgumentError(f"{name}: dtype is {tensor.dtype}, expected an integer dtype (int32 is best)")
    if tensor.dtype == torch.int64:
        tensor = tensor.where((tensor >= 0) & (tensor <= _MOST), -1)
    return tensor.to(torch.int32).contiguous()


def on(device: torch.device, tensor: Tensor, name: str) -> None:
    """Raise unless ``tensor`` lies on ``device``."""
    if tensor.device != device:
        raise ArgumentError(
            f"{name}: is on {tensor.device} but the others are on {device}; move it with .to({str(device)!r})"
        )


def resolution_of(value: Any) -> tuple[int, int]:
    """``(height, width)`` from any two whole numbers: a list, a size, an array, a tensor.

    Raises:
        TypeError: not two whole numbers.
    """
    try:
        height, width = value
        height, width = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        raise TypeError(f"resolution: is {value!r}, expected (height, width) in whole pixels") from None
    if height < 1 or width < 1:
        raise ArgumentError(f"resolution: is {height} x {width} (height x width), expected at least 1 pixel a side")
    return height, width


def ranges_of(value: Any) -> Tensor:
    """``[B, 2]`` first triangles and counts as contiguous int32 on the CPU."""
    if value is None:
        raise ArgumentError("ranges: is None, expected [B, 2] first triangles and counts, as pos is [V, 4]")
    tensor = _shaped(value, "ranges", ("B 2",))
    if tensor.device.type != "cpu" or tensor.dtype not in (torch.int32, torch.int64):
        raise ArgumentError(f"ranges: is {tensor.dtype} on {tensor.device}, expected int32 on cpu")
    return tensor.clamp(-_MOST, _MOST).to(torch.int32).contiguous()


def flag(value: Any, name: str) -> bool:
    """True or False, and nothing that merely counts as such."""
    if value is not True and value is not False:
        raise KindError(f"{name}: is {value!r}, expected True or False")
    return value


def _shaped(value: Any, name: str, shapes: Sequence[str]) -> Tensor:
    if not isinstance(value, Tensor):
        raise KindError(f"{name}: is {type(value).__name__}, expected a torch.Tensor")
    if value.layout is not _DENSE or value.is_quantized or value.is_nested:
        raise ArgumentError(f"{name}: is sparse, quantized or nested, expected a plain dense tensor")
    shape = value.shape
    if 0 not in shape:
        for pattern in shapes:
            count, place, size = _patterns.get(pattern) or _parsed(pattern)
            if len(shape) == count and (size is None or shape[place] == size):
                return value
    wanted = " or ".join(f"[{', '.join(pattern.split())}]" for pattern in shapes)
    raise ArgumentError(f"{name}: shape is {list(shape)}, expected {wanted}, none of them 0")


_patterns: dict[str, tuple[int, int, int | None]] = {}


def _parsed(pattern: str) -> tuple[int, int, int | None]:
    """How many sizes a pattern has, and the one that it gives, if any: place and size."""
    letters = pattern.split()
    digits = [letter for letter in letters if letter.isdigit()]
    found = _patterns[pattern] = (
        (len(letters), letters.index(digits[0]), int(digits[0])) if digits else (len(letters), 0, None)
    )
    return found
