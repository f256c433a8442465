"""Tensors whose neighbourhood in memory may not be touched: a program that reads or writes outside them is caught."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_PAGE = mmap.PAGESIZE


class Guards(TorchFunctionMode):
    """While this is entered, PyTorch's functions return such tensors; :meth:`guard` makes them of others.

    What a program touches on the far side of a tensor is caught by a page that allows nothing, and so is what it
    touches on the near side from a page's length on.

    Args:
        before: it is the near side, before the tensor, where nothing escapes.
    """

    def __init__(self, before: bool = False) -> None:
        super().__init__()
        self._before = before
        self._kept: dict[int, Tensor] = {}  # by address of the storage

    def guard(self, values: Any) -> Any:
        """A tensor, or a tuple or list of some, with the same values."""
        if type(values) in (tuple, list):
            return type(values)(map(self.guard, values))
        return self._one(values) if isinstance(values, Tensor) else values

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.guard(function(*args, **(kwargs or {})))

    def _one(self, value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        size = storage.nbytes()
        if value.device.type != "cpu" or not size or storage.data_ptr() in self._kept:
            return value
        room = -(-size // _PAGE) * _PAGE
        memory = mmap.mmap(-1, room + 2 * _PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for page in (start, start + _PAGE + room):
            if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        offset = _PAGE if self._before else _PAGE + room - size
        whole = torch.frombuffer((ctypes.c_char * size).from_buffer(memory, offset), dtype=torch.uint8)
        whole.copy_(torch.empty(0, dtype=torch.uint8).set_(storage))
        made = whole.view(value.dtype).as_strided(value.shape, value.stride(), value.storage_offset())
        self._kept[made.untyped_storage().data_ptr()] = whole
        return made
