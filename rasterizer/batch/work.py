"""One job, from its mesh to its folder."""

from __future__ import annotations

import gc
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from ..meshes.sample_meshes import sample_mesh
from ..rendering.raster import rasterize_mesh
from ..runtime.devices import default_device, device_name
from ..version import __version__
from .jobs import Job
from .output import Output
from .recipes import RECIPES

_MOST_LINES = 60  # of a traceback

GPU = "gpu"
"""As a device: a GPU, of whatever make, that this process was given; named so often, so many of them."""


class Worker:
    """Does jobs on devices that it has tested.

    Attributes:
        devices: where; jobs' results are made on the first one, and views are shared out among all.
    """

    def __init__(
        self,
        device: str,
        threads: int,
        output: str,
        force: bool = False,
        mark: str = "",
        version: str = __version__,
    ) -> None:
        """Test each device once.

        Args:
            device: what to work on, by PyTorch's name, or :data:`GPU`; several with commas between them.
            threads: how many PyTorch may use on a CPU.
            output: the folder to write to.
            force: whether to do again what is done.
            mark: a file among the logs of that folder, by which it is known to be that of the process that gives jobs,
                which may be on another machine.
            version: of the library there.

        Raises:
            RuntimeError: a device draws otherwise than the CPU, the folder or the library is not that one, or there
                are fewer GPUs.
        """
        self._output, self._force = Output(Path(output)), force
        if version != __version__:
            raise RuntimeError(f"the library is {__version__} on {platform.node()}, and {version} where jobs come from")
        if mark:
            if not (self._output.logs / mark).is_file():
                raise RuntimeError(
                    f"{output}: is not there on {platform.node()}, or is another folder; expected one "
                    "that all machines share"
                )
            self._output.clear()
        torch.set_num_threads(threads)
        names = device.split(",")
        self.devices = _own_gpus(len(names)) if names[0] == GPU else [torch.device(name) for name in names]
        if self.devices[0].type == "cuda":
            torch.cuda.set_device(self.devices[0])
        for each in dict.fromkeys(self.devices):
            check_device(each)

    def do(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Do a job, of :meth:`Job.as_dict`; see :func:`do_job`."""
        return do_job(Job.from_dict(values), self._output, self.devices, self._force)


def _own_gpus(count: int) -> list[torch.device]:
    kind = default_device().type
    there = getattr(torch, kind).device_count() if kind in ("cuda", "xpu") else 0
    if there < count:
        sees, has = there or "no", count if count > 1 else "one"
        raise RuntimeError(
            f"PyTorch {torch.__version__} sees {sees} GPU on {platform.node()}, where it was given {has}"
        )
    return [torch.device(kind, number) for number in range(count)]


def do_job(job: Job, output: Output, devices: Sequence[torch.device], force: bool = False) -> dict[str, Any]:
    """Do a job, unless another worker has.

    Args:
        job: what to do.
        output: where its folder goes.
        devices: of :attr:`Worker.devices`.
        force: whether to do it again where it is done.

    Returns:
        ``{"what": "done", "seconds": ...}``; with ``"by_other": True`` where another worker was faster. Or ``{"what":
        "failed", "error": ..., "traceback": ...}``: whatever a job raises ends that job alone.
    """
    start = time.perf_counter()
    try:
        there = output.done(job.id)
        if there is not None and there.get("key") == job.key and not force:
            return {"what": "done", "seconds": 0.0, "by_other": True}
        with output.temporary() as folder:
            made = RECIPES[job.recipe].run(job, folder, devices)
            seconds = round(time.perf_counter() - start, 3)
            won = output.publish(folder, job.id, _done(job, made, seconds, devices), force)
    except Exception as error:
        return {"what": "failed", "error": _said(error), "traceback": _traceback(error)}
    finally:
        _let_go(devices)
    return {"what": "done", "seconds": seconds, "by_other": not won}


def check_device(device: torch.device) -> None:
    """Draw a sample and compare it with what the CPU draws, which is the same to the last bit.

    Raises:
        RuntimeError: the device cannot draw it, or draws something else.
    """
    mesh = sample_mesh("torus")
    seen = rasterize_mesh(mesh.to(device), None, (64, 64)).findices.cpu()
    wanted = rasterize_mesh(mesh, None, (64, 64)).findices if device.type != "cpu" else seen
    if not (seen.equal(wanted) and bool((seen > 0).any())):
        raise RuntimeError(f"{device} draws a sample otherwise than the CPU; see python -m rasterizer selftest")


def _done(job: Job, made: Any, seconds: float, devices: Sequence[torch.device]) -> dict[str, Any]:
    return {
        "id": job.id,
        "key": job.key,
        "recipe": job.recipe,
        "parameters": dict(job.parameters),
        "mesh": job.mesh,
        "views": list(job.views),
        "result": dict(made),
        "seconds": seconds,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": ", ".join(map(device_name, devices)),
        "versions": {"rasterizer": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _said(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def _traceback(error: Exception) -> str:
    return "\n".join("".join(traceback.format_exception(error)).splitlines()[-_MOST_LINES:])


def _let_go(devices: Sequence[torch.device]) -> None:
    """Give back what a job has held on GPUs, which others may share."""
    if any(device.type == "cuda" for device in devices):
        gc.collect()
        torch.cuda.empty_cache()
