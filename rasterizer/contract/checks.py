"""Checks at the door: whatever passes here is safe on every backend and every device."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from .types import MODES

MAX_SIDE = 32768
"""Largest image side: pixel coordinates and their halves stay exact in float32 with room to spare."""

_DENSE = torch.strided

_INTEGERS = (torch.int32, torch.int64, torch.int16, torch.int8, torch.uint8)

COMPUTED = frozenset(
    (torch.float32, torch.int32, torch.int64, torch.bool, torch.float64, torch.float16, torch.bfloat16)
    + (torch.uint8, torch.int8, torch.int16)
)
"""Dtypes of which every operator takes tensors."""

_checked_faces: dict[int, tuple[weakref.ref[Tensor], int, int, int]] = {}
"""By ``id`` of a face list: the list, its version, lowest and highest index. A face list is read once."""


def check_positions(pos: Tensor, name: str = "pos") -> Tensor:
    """Clip-space vertices ``[N, 4]`` or ``[B, N, 4]`` as float32 (differentiable conversion)."""
    pos = as_tensor(pos, name)
    if not pos.is_floating_point():
        raise ValueError(f"{name}: dtype is {pos.dtype}, expected a floating-point dtype (float32 is best)")
    if pos.ndim not in (2, 3) or pos.shape[-1] != 4:
        raise ValueError(f"{name}: shape is {list(pos.shape)}, expected [N, 4] or [B, N, 4] clip-space (x, y, z, w)")
    return pos if pos.dtype == torch.float32 else pos.to(torch.float32)


def check_faces(tri: Tensor, vertices: int, device: torch.device, name: str = "tri") -> Tensor:
    """Faces ``[M, 3]`` of an integer dtype, on ``device``, every index in ``0 .. vertices-1``; there may be none.

    Reading the range costs one synchronisation, and is remembered for as long as the tensor lives unchanged.
    """
    tri = as_tensor(tri, name)
    if tri.dtype not in _INTEGERS:
        raise ValueError(f"{name}: dtype is {tri.dtype}, expected an integer dtype (int32 or int64)")
    if tri.ndim != 2 or tri.shape[1] != 3:
        raise ValueError(f"{name}: shape is {list(tri.shape)}, expected [M, 3] vertex indices of triangles")
    if tri.device != device:
        raise ValueError(f"{name}: is on {tri.device} but the vertices are on {device}; move one with .to({device!r})")
    low, high = _index_range(tri) if tri.shape[0] else (0, -1)
    if low < 0 or high >= vertices:
        bad = ((tri < 0) | (tri >= vertices)).any(dim=1).to(torch.uint8)
        face = int(bad.argmax())
        raise ValueError(
            f"{name}: face {face} is {tri[face].tolist()} but the mesh has "
            f"{f'{vertices} vertices (0 .. {vertices - 1})' if vertices else 'no vertex'}; "
            f"{int(bad.sum())} of {tri.shape[0]} faces are out of range"
        )
    return tri


def known_faces(copy: Tensor, tri: Tensor) -> None:
    """Say that ``copy`` holds what ``tri`` does, which has passed :func:`check_faces`: then nobody waits for it."""
    known = _checked_faces.get(id(tri))
    if copy is not tri and known is not None and known[0]() is tri and not copy.is_inference():
        _remember(copy, known[2:])


def _index_range(tri: Tensor) -> tuple[int, int]:
    key = id(tri)
    version = -1 if tri.is_inference() else tri._version  # tensors of the inference mode do not count their changes
    known = _checked_faces.get(key)
    if known is not None and known[0]() is tri and known[1] == version >= 0:
        return known[2:]
    low, high = torch.stack(torch.aminmax(tri)).tolist()
    _remember(tri, (low, high))
    return low, high


def _remember(tri: Tensor, limits: tuple[int, int]) -> None:
    key, version = id(tri), -1 if tri.is_inference() else tri._version
    _checked_faces[key] = weakref.ref(tri, lambda gone: _checked_faces.pop(key, None)), version, *limits


def check_resolution(resolution: Any, name: str = "resolution") -> tuple[int, int]:
    """``(height, width)`` as two ints of at least 1."""
    try:
        height, width = resolution
        whole = not isinstance(resolution, str) and int(height) == height and int(width) == width
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(f"{name}: is {resolution!r}, expected (height, width) in whole pixels")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"{name}: is {height} x {width} (height x width), expected 1 to {MAX_SIDE} pixels a side")
    return int(height), int(width)


def check_prior(prior: Tensor, views: int, resolution: tuple[int, int], device: torch.device, name: str) -> Tensor:
    """Depth prior as ``[B, H, W]`` float32; ``[H, W]`` serves every view."""
    prior = as_tensor(prior, name)
    height, width = resolution
    if prior.shape not in ((height, width), (views, height, width), (1, height, width)):
        raise ValueError(
            f"{name}: shape is {list(prior.shape)}, expected {[height, width]} or {[views, height, width]}"
        )
    if prior.device != device:
        raise ValueError(f"{name}: is on {prior.device} but the vertices are on {device}; move it with .to({device!r})")
    return computed(prior, name).to(torch.float32).expand(views, height, width)


def check_choice(value: Any, choices: tuple[str, ...], name: str) -> str:
    """One of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: is {value!r}, expected one of {', '.join(choices)}")
    return value


def check_mode(mode: Any) -> str:
    """One of the rasterization modes."""
    return check_choice(mode, MODES, "mode")


def check_integer(value: Any, low: int, high: int, name: str) -> int:
    """An int in ``low .. high``, from a whole number of any type, NumPy's too."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not low <= value <= high or int(value) != value:
        raise ValueError(f"{name}: is {value!r}, expected a whole number from {low} to {high}")
    return int(value)


def is_finite(value: Any) -> bool:
    """Whether something is one number that a float can hold: of Python, of NumPy, or a tensor of one."""
    try:
        return math.isfinite(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return False


def check_device(value: Any, name: str = "device") -> torch.device:
    """A device that this machine and this PyTorch have."""
    try:
        device = torch.device(value)
    except (TypeError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(f"{name}: is {value!r}, expected one such as 'cpu' or 'cuda:0' ({why})") from None
    count = getattr(getattr(torch, device.type, None), "device_count", None)  # which starts no driver
    if device.type != "cpu" and count is not None and (device.index or 0) >= count():
        raise ValueError(f"{name}: is {device}, but PyTorch has {count()} such devices here; 'cpu' is always there")
    return device


def check_devices(devices: Any, name: str = "devices") -> tuple[torch.device, ...]:
    """The devices of a list, each with its number; what such lists mean is stated in :mod:`rasterizer.runtime.several`.

    Raises:
        ValueError: it is no list, it is empty, or names what is no device, or none that works here.
    """
    expected = "expected a list of devices such as ['cuda:0', 'cuda:1']"
    if isinstance(devices, (str, bytes, Tensor)) or not isinstance(devices, Iterable):
        raise ValueError(f"{name}: is {devices!r}, {expected}")
    listed = list(devices)
    if not listed:
        raise ValueError(f"{name}: is empty, {expected}, or None for where the input lies")
    return tuple(_usable(check_device(each, f"{name}[{at}]"), f"{name}[{at}]") for at, each in enumerate(listed))


def _usable(device: torch.device, name: str) -> torch.device:
    if device.type == "cpu":
        return torch.device("cpu")
    try:
        if device.type == "meta":
            raise RuntimeError("tensors have no values there")
        return torch.empty(0, device=device).device  # with its number
    except Exception as error:  # of which each kind of device has its own
        why = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise ValueError(f"{name}: is {device}, which cannot be used: {why}; 'cpu' is always there") from None


def check_same_device(value: Tensor, name: str, device: torch.device, others: str) -> None:
    """Raise unless ``value`` is where the ``others`` are."""
    if value.device != device:
        raise ValueError(f"{name}: is on {value.device} but {others} on {device}; move one with .to({str(device)!r})")


def check_number(value: Any, name: str) -> float:
    """A finite float, from a number of any type, NumPy's too."""
    if not isinstance(value, Real) or not is_finite(value):
        raise ValueError(f"{name}: is {value!r}, expected a finite number")
    return float(value)


def as_tensor(value: Any, name: str) -> Tensor:
    """``value`` itself, or an array-like as a tensor: one that is dense and has values."""
    if isinstance(value, Tensor):
        if value.layout is not _DENSE or value.is_quantized or value.is_meta or value.is_nested:
            raise ValueError(f"{name}: is {_unusable(value)}")
        return value
    try:
        tensor = torch.as_tensor(value)
        if tensor.dtype == torch.get_default_dtype() and not hasattr(value, "dtype"):  # which may be anything
            tensor = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name}: is {type(value).__name__}, expected a torch.Tensor") from None
    return tensor


def as_array(value: Tensor) -> Any:
    """The numbers of any tensor with values as a NumPy array, which knows neither gradients nor negative views."""
    return value.detach().cpu().resolve_neg().numpy()


def computed(value: Tensor, name: str) -> Tensor:
    """A tensor whose dtype is none of :data:`COMPUTED` in one that is, which holds all that is meant by it."""
    if value.dtype in COMPUTED:
        return value
    if value.is_complex():
        raise ValueError(f"{name}: dtype is {value.dtype}, expected real numbers; .real gives them")
    return value.to(torch.float32 if value.is_floating_point() else torch.int64)


def is_set(value: Any, name: str) -> bool:
    """Whether a flag is set, which may be a number."""
    try:
        return bool(value)
    except (ValueError, RuntimeError):  # several numbers
        raise ValueError(f"{name}: is {value!r}, expected 0 or 1") from None


def _unusable(value: Tensor) -> str:
    """What a tensor is that no operator here can read, and the cure."""
    if value.is_nested:
        return "a nested tensor, expected rows of one length; .to_padded_tensor(0) makes one, or pass them one by one"
    if value.layout is not _DENSE:
        return f"a tensor of layout {value.layout}, expected a dense one; .to_dense() makes it one"
    if value.is_quantized:
        return f"quantized, {value.dtype}, expected plain numbers; .dequantize() gives them"
    return "on the device meta, where tensors have no values, expected one with values, for example on cpu"


def check_findices(findices: Tensor, faces: Tensor) -> Tensor:
    """``[B, H, W]`` of face indices ``[H, W]`` or ``[B, H, W]`` that lie where the faces do."""
    if findices.ndim not in (2, 3):
        raise ValueError(f"findices: shape is {list(findices.shape)}, expected [H, W] or [B, H, W]")
    if findices.device != faces.device:
        raise ValueError(f"findices: is on {findices.device} but the faces are on {faces.device}")
    findices = computed(findices, "findices")
    return findices if findices.ndim == 3 else findices[None]
