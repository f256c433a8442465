"""ComfyUI's services as the nodes need them: devices, memory, progress and stops, and the loop that uses them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, TypeVar

import comfy.model_management as management
import comfy.utils
import torch
from torch import Tensor

from ...rasterizer.runtime.devices import working_device
from ...rasterizer.runtime.log import log
from ...rasterizer.runtime.memory import forget, is_out_of_memory
from ...rasterizer.runtime.progress import current_stage
from . import versions

T = TypeVar("T")

CPU = torch.device("cpu")

_STEPS = 100

_PIECE = 64 << 20
"""Bytes that are moved at once: a twentieth of a second, or less."""


class Progress:
    """A progress bar over several stages, and a text on the node about the time, that also answer a stop."""

    def __init__(self, stages: int, thing: str = "") -> None:
        """``thing``: what each stage works on, such as "mesh"."""
        self._bar = comfy.utils.ProgressBar(stages * _STEPS)
        self._done, self._all, self._shown, self._thing = 0, stages, -1, thing
        run = versions.running()
        self._node = run[1] if run else None
        if run:
            versions.BOARD.start(run)

    def __call__(self, share: float) -> None:
        """Report the share of the current stage that is done; raises when the user has pressed stop."""
        management.throw_exception_if_processing_interrupted()
        step = self._done * _STEPS + int(share * _STEPS)
        if step != self._shown:  # every update is a message to the browser
            self._shown = step
            self._bar.update_absolute(step)
        if self._node and self._done < self._all:
            several = self._thing and self._all > 1
            at = [f"{self._thing} {self._done + 1} of {self._all}"] if several else []
            text = ", ".join(filter(None, (*at, current_stage())))
            versions.BOARD.progress(self._node, text, (self._done + share) / self._all)

    def next_stage(self) -> None:
        """The current stage is complete."""
        self._done += 1
        self(0.0)
        if self._done == self._all:
            self.end("Took")

    def end(self, how: str) -> None:
        """Say how long it took, after the word ``how``."""
        if self._node:
            versions.BOARD.end(self._node, how)


def for_each(
    work: Callable[..., T], *columns: Iterable[Any], need: int | Sequence[int] = 0, device: torch.device | None = None
) -> list[T]:
    """What ``work`` makes of every mesh of a batch: as ``list(map(work, *columns))``, in the way of ComfyUI.

    The parts of a row are moved to the device to compute on and the result to where ComfyUI wants results: tensors, all
    else that has a ``to``, and these in a tuple. Where memory runs out, the row is worked at again on the CPU
    (:func:`compute`). Each row is one stage of a progress bar, and a stop is answered wherever ``work`` reports.

    Args:
        work: called with the parts of a row and, last, the :class:`Progress` to report the row's share done to.
        columns: equally long: the meshes, and what else there is for each.
        need: bytes to ask ComfyUI to free first, for any row or listed for each.
        device: where to work, if not on ComfyUI's device with the CPU behind it.
    """
    rows = list(zip(*columns, strict=True))
    needs = [need] * len(rows) if isinstance(need, int) else need
    progress = Progress(len(rows), "mesh")

    def work_at(row: tuple[Any, ...], device: torch.device) -> T:
        return _moved(work(*_moved(row, device), progress), result_device())

    results = []
    try:
        for row, bytes_ in zip(rows, needs, strict=True):
            results.append(work_at(row, device) if device else compute(partial(work_at, row), bytes_))
            progress.next_stage()
    except BaseException:
        progress.end("Stopped after")
        raise
    return results


def compute(call: Callable[[torch.device], T], need: int = 0) -> T:
    """Run ``call`` on ComfyUI's device, on the CPU if memory runs out there.

    The rasterizer itself already tries with less memory first; the CPU is for what is made of its results.

    Args:
        call: what to run, given the device.
        need: bytes to ask ComfyUI to free first.
    """
    device = working_device(management.get_torch_device())
    if need and device.type != "cpu":
        management.free_memory(need, device)
    try:
        return call(device)
    except Exception as error:
        if device.type == "cpu" or not is_out_of_memory(error):
            raise
    finally:
        forget()  # ComfyUI takes it that nodes hold nothing when they have ended, and cannot ask for it back
    # Outside the handler, whose traceback holds on to the tensors.
    log.warning("Torch Rasterizer: out of memory on %s; using the CPU, the result is the same.", device)
    management.soft_empty_cache()
    return call(CPU)


def result_device() -> torch.device:
    """Where ComfyUI wants results to stay."""
    return management.intermediate_device()


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    if isinstance(value, Tensor):
        return _copied(value, device)
    if is_dataclass(value) and not isinstance(value, type) and hasattr(value, "to"):
        parts = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return replace(value, **{name: _moved(part, device) for name, part in parts.items()})
    return value.to(device) if hasattr(value, "to") else value


def _copied(value: Tensor, device: torch.device) -> Tensor:
    """``value.to(device)``, piece by piece where that takes long, so that a stop is answered in between."""
    if value.device == device or value.numel() * value.element_size() <= _PIECE or not value.is_contiguous():
        return value.to(device)
    made = torch.empty_like(value, device=device)
    count = _PIECE // value.element_size()
    for to, source in zip(made.view(-1).split(count), value.view(-1).split(count), strict=True):
        management.throw_exception_if_processing_interrupted()
        to.copy_(source)
    return made
