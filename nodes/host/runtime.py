"""ComfyUI's services as the nodes need them: devices, memory, progress and stops, and the loop that uses them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import comfy.model_management as management
import comfy.utils
import torch

from ...rasterizer.runtime.devices import working_device
from ...rasterizer.runtime.log import log
from ...rasterizer.runtime.memory import is_out_of_memory

T = TypeVar("T")

CPU = torch.device("cpu")

_STEPS = 100


class Progress:
    """A progress bar over several stages that also answers a stop."""

    def __init__(self, stages: int) -> None:
        self._bar = comfy.utils.ProgressBar(stages * _STEPS)
        self._done, self._shown = 0, -1

    def __call__(self, share: float) -> None:
        """Report the share of the current stage that is done; raises when the user has pressed stop."""
        management.throw_exception_if_processing_interrupted()
        step = self._done + int(share * _STEPS)
        if step != self._shown:  # every update is a message to the browser
            self._shown = step
            self._bar.update_absolute(step)

    def next_stage(self) -> None:
        """The current stage is complete."""
        self._done += _STEPS
        self(0.0)


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
    progress = Progress(len(rows))

    def work_at(row: tuple[Any, ...], device: torch.device) -> T:
        return _moved(work(*_moved(row, device), progress), result_device())

    results = []
    for row, bytes_ in zip(rows, needs, strict=True):
        results.append(work_at(row, device) if device else compute(partial(work_at, row), bytes_))
        progress.next_stage()
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
    return value.to(device) if hasattr(value, "to") else value
