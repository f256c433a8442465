"""How much memory textures take at most, each piece of work in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..cameras.views import PRESETS
from ..meshes.sample_meshes import trefoil_knot
from ..rendering.maps import render_maps
from ..texturing import Baked, bake_views, fill_texture

SIZES = (1024, 2048, 4096, 8192)
"""Texels a side."""

_PACKAGE = Path(__file__).parents[1]
_VIEWS = PRESETS["hunyuan3d-2"]


@dataclass(frozen=True)
class MemoryRow:
    """One measurement.

    Attributes:
        work: what was done.
        views: pixels a side of each of six.
        size: texels a side; 0 for work without a texture.
        before: bytes that were there before, in mesh and pictures, and on a CPU in Python and its libraries.
        peak: bytes at most, of the process on a CPU, else of PyTorch's tensors on the device; ``before`` included.
        seconds: of this one call, with whatever is made at first use.
    """

    work: str
    views: int
    size: int
    before: int
    peak: int
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


def _bake(images: Tensor, size: int) -> Baked:
    mesh = trefoil_knot(400, 50).to(images.device)
    return bake_views(mesh, images, [view.camera() for view in _VIEWS], size)


def _bake_and_fill(images: Tensor, size: int) -> object:
    baked = _bake(images, size)
    mesh = trefoil_knot(400, 50).to(images.device)
    return fill_texture(baked.texture, baked.painted, mesh, "surface")


def _maps(images: Tensor, size: int) -> object:
    mesh = trefoil_knot(400, 50).to(images.device)
    return render_maps(mesh, [view.camera() for view in _VIEWS], (images.shape[1], images.shape[2]))


WORK: dict[str, tuple[torch.dtype, Callable[[Tensor, int], object]]] = {
    "maps": (torch.float32, _maps),
    "bake": (torch.float32, _bake),
    "bake of uint8 pictures": (torch.uint8, _bake),
    "bake and fill": (torch.float32, _bake_and_fill),
}


def measure(device: torch.device, sizes: tuple[int, ...] = SIZES, views: int = 2048) -> Iterator[MemoryRow]:
    """Six views of a knot of 40 000 faces, and textures of so many texels a side."""
    for work in WORK:
        for size in (0,) if work == "maps" else sizes:
            yield _in_process(work, device, size, views)


def _in_process(work: str, device: torch.device, size: int, views: int) -> MemoryRow:
    code = f"import sys; sys.path.insert(0, sys.argv[1]); from {__name__} import child; child(*sys.argv[2:])"
    root = _PACKAGE.parents[len(__name__.split(".")) - 3]
    arguments = [sys.executable, "-c", code, str(root), work, str(device), str(size), str(views)]
    run = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{work} at {size}: the process that was to be measured ended with code {run.returncode}")
    return MemoryRow(**json.loads(run.stdout.splitlines()[-1]))


def child(work: str, place: str, size: str, views: str) -> None:
    """Do one piece of work, and print its row as JSON."""
    device, side = torch.device(place), int(views)
    dtype, run = WORK[work]
    random = torch.Generator().manual_seed(0)
    coarse = torch.randint(256, (len(_VIEWS), -(-side // 8), -(-side // 8), 3), generator=random, dtype=torch.uint8)
    fine = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :side, :side]
    images = (fine if dtype == torch.uint8 else fine.to(dtype).div_(255)).to(device)
    del fine
    run(images[:, ::64, ::64].contiguous(), 64)  # libraries load, and kernels are compiled
    before, start = _start(device), time.perf_counter()
    run(images, int(size))
    row = MemoryRow(work, side, int(size), before, _peak(device), round(time.perf_counter() - start, 3))
    print(json.dumps(row.as_dict()))


def _start(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return _peak(device)


def _peak(device: torch.device) -> int:
    """Bytes at most so far."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu":
        raise ValueError(f"--memory: cannot tell the most that was in use on {device}, expected cuda or cpu")
    return _PEAKS.get(sys.platform, _linux_peak)()


def _windows_peak() -> int:
    import psutil  # comes with ComfyUI; not a dependency of ours

    return int(psutil.Process().memory_info().peak_wset)


def _mac_peak() -> int:
    resource: Any = import_module("resource")  # which Windows lacks, and a type checker for it
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _linux_peak() -> int:
    # Not the resource module's, which begins with what the process had before it was this program.
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


_PEAKS = {"win32": _windows_peak, "darwin": _mac_peak}


def markdown(rows: list[MemoryRow]) -> str:
    """A table, in millions of bytes."""
    lines = [
        "| work, six views | texture | peak MB | there before | beyond that | bytes a texel, or pixel | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        beyond = row.peak - row.before
        count = row.size**2 or len(_VIEWS) * row.views**2
        texture = f"{row.size}²" if row.size else ""
        figures = f"{row.peak / 1e6:.0f} | {row.before / 1e6:.0f} | {beyond / 1e6:.0f} | {beyond / count:.0f}"
        lines.append(f"| {row.work}, {row.views}² | {texture} | {figures} | {row.seconds:.1f} |")
    return "\n".join(lines)
