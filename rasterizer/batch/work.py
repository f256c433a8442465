"""One job, from its mesh to its folder."""

from __future__ import annotations

import gc
import platform
import time
import traceback
from datetime import datetime, timezone
from typing import Any

import torch

from ..meshes.sample_meshes import sample_mesh
from ..rendering.raster import rasterize_mesh
from ..runtime.devices import device_name
from ..version import __version__
from .jobs import Job
from .output import Output
from .recipes import RECIPES

_MOST_LINES = 60  # of a traceback


def do_job(job: Job, output: Output, device: torch.device, force: bool = False) -> dict[str, Any]:
    """Do a job, unless another worker has.

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
            made = RECIPES[job.recipe].run(job, folder, [device])
            seconds = round(time.perf_counter() - start, 3)
            won = output.publish(folder, job.id, _done(job, made, seconds, device), force)
    except Exception as error:
        return {"what": "failed", "error": _said(error), "traceback": _traceback(error)}
    finally:
        _let_go(device)
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


def _done(job: Job, made: Any, seconds: float, device: torch.device) -> dict[str, Any]:
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
        "device": device_name(device),
        "versions": {"rasterizer": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _said(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def _traceback(error: Exception) -> str:
    return "\n".join("".join(traceback.format_exception(error)).splitlines()[-_MOST_LINES:])


def _let_go(device: torch.device) -> None:
    """Give back what a job has held on a GPU, which others may share."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
