"""ComfyUI's services as the nodes need them: devices, progress, interruption, and memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import comfy.model_management as management
import comfy.utils
import torch

from ...rasterizer.runtime.devices import working_device
from ...rasterizer.runtime.memory import is_out_of_memory

log = logging.getLogger("torch_rasterizer")

T = TypeVar("T")

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


def compute(call: Callable[[torch.device], T], need: int = 0) -> T:
    """Run ``call`` on ComfyUI's device, on the CPU if memory runs out there.

    The rasterizer itself already tries with less memory first; this is for what is made of its results.

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
    log.warning("Torch Rasterizer: out of memory on %s; using the CPU, the result is the same.", device)
    management.soft_empty_cache()
    return call(torch.device("cpu"))


def result_device() -> torch.device:
    """Where ComfyUI wants results to stay."""
    return management.intermediate_device()
