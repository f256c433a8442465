"""What lies on the card between calls: working memory, and tensors that are handed over again and again."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from . import api
from .gpu import Buffer, Commands, Gpu

_STAGING = 32 << 20
"""Bytes that are sent at once."""

_MOST_KEPT, _MOST_TENSORS = 1 << 30, 256
"""Bytes of tensors that stay, and how many; drivers allow some thousand pieces of memory."""


@dataclass
class _Kept:
    tensor: weakref.ref[Tensor]
    version: int
    address: int
    buffer: Buffer


class Memory:
    """Of one card. Nothing here may be called while commands run, unless it says so."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self._commands = gpu.commands()
        self._named: dict[str, Buffer] = {}
        self._views: dict[str, Tensor] = {}
        self._kept: dict[int, _Kept] = {}

    def working(self, name: str, size: int) -> Buffer:
        """Memory of the card of at least ``size`` bytes, whose content is undefined."""
        return self._sized(name, size, api.DEVICE_LOCAL, 0)

    def staging(self, name: str, size: int, read: bool) -> tuple[Buffer, Tensor]:
        """Memory that both sides see, and its bytes as a tensor. ``read``: by this side; else written."""
        wanted = api.HOST_CACHED if read else api.HOST_COHERENT
        buffer = self._sized(name, size, wanted, api.HOST_VISIBLE)
        view = self._views.get(name)
        if view is None or view.data_ptr() != buffer.address or len(view) != buffer.size:
            array = (ctypes.c_uint8 * buffer.size).from_address(buffer.address)
            with torch.inference_mode(False), torch.device("cpu"):  # whatever the caller's mode and default device
                view = self._views[name] = torch.frombuffer(array, dtype=torch.uint8)
        return buffer, view

    def _sized(self, name: str, size: int, wanted: int, needed: int) -> Buffer:
        found = self._named.get(name)
        if found is None or found.size < size:
            if found is not None:
                self.gpu.free(self._named.pop(name))
                self._views.pop(name, None)
            found = self._named[name] = self.gpu.allocate(size, wanted, needed)
        return found

    def holding(self, *tensors: tuple[Tensor, torch.dtype]) -> list[Buffer]:
        """The numbers of tensors on any device, each in a dtype; sent once for as long as a tensor lives unchanged.

        What is written into its memory behind PyTorch's back is not noticed, unless that memory is not PyTorch's own:
        then, and in inference mode, which counts no changes, it is sent every time.
        """
        self._forget({id(tensor) for tensor, _ in tensors}, sum(tensor.nbytes for tensor, _ in tensors))
        return [self._held(*each) for each in tensors]

    def _held(self, tensor: Tensor, dtype: torch.dtype) -> Buffer:
        counted = not tensor.is_inference() and tensor.untyped_storage().resizable()
        version = tensor._version if counted else -1
        kept = self._kept.get(id(tensor))
        if kept is not None:
            same = kept.tensor() is tensor and kept.address == tensor.data_ptr()  # `tensor.data = other` changes that
            if same and kept.version == version >= 0:
                return kept.buffer
            self.gpu.free(self._kept.pop(id(tensor)).buffer)
        data = tensor.detach().to("cpu", dtype).contiguous()
        buffer = self.gpu.allocate(data.nbytes, api.DEVICE_LOCAL)
        try:
            self.send(data, buffer)
        except BaseException:
            self.gpu.idle()
            self.gpu.free(buffer)
            raise
        self._kept[id(tensor)] = _Kept(weakref.ref(tensor), version, tensor.data_ptr(), buffer)
        return buffer

    def _forget(self, needed: set[int], size: int) -> None:
        """All that no tensor stands for any more; of the rest but what is needed the oldest, where it is too much."""
        held = size + sum(kept.buffer.size for kept in self._kept.values())
        for key, kept in list(self._kept.items()):
            too_much = held > _MOST_KEPT or len(self._kept) >= _MOST_TENSORS
            if kept.tensor() is None or (key not in needed and too_much):
                held -= kept.buffer.size
                self.gpu.free(self._kept.pop(key).buffer)

    def send(self, data: Tensor, to: Buffer) -> None:
        """The bytes of a contiguous tensor of the host, which are at most those of ``to``."""
        source = data.view(-1).view(torch.uint8)
        if len(source) > to.size:
            raise ValueError(f"data: has {len(source)} bytes, expected at most {to.size}")
        for start in range(0, len(source), _STAGING):
            part = source[start : start + _STAGING]
            staging, view = self.staging("up", len(part), read=False)
            view[: len(part)].copy_(part)
            self.gpu.see(staging, written=True)
            run_once(self._commands, staging, to, len(part), start)

    def release(self) -> None:
        """Give everything back."""
        for buffer in (*self._named.values(), *(kept.buffer for kept in self._kept.values())):
            self.gpu.free(buffer)
        self._named.clear()
        self._views.clear()
        self._kept.clear()


def run_once(commands: Commands, source: Buffer, to: Buffer, size: int, place: int) -> None:
    """Copy, and wait for it."""
    commands.begin()
    commands.copy(source, to, size, place)
    commands.submit()
    commands.wait()
