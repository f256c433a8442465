"""What other programs cost the CPU's work: with PyTorch's default threads, as a ratio to one thread's."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import torch

from ..cameras.camera import Camera
from ..cameras.views import PRESETS
from ..contract import scenes
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import SAMPLES, sample_mesh
from ..ops import rasterize
from ..rendering.attributes import attribute_image
from ..rendering.maps import render_maps
from ..rendering.raster import rasterize_mesh
from ..texturing import bake_views, fill_texture

_SIZE = 1024
_REPEATS = 3


@dataclass(frozen=True)
class BusyRow:
    """One measurement.

    Attributes:
        case: the work.
        busy: whether other processes kept every core busy.
        one, default: median seconds with one thread and with PyTorch's default number, measured in turn.
    """

    case: str
    busy: bool
    one: float
    default: float

    @property
    def ratio(self) -> float:
        """Above 1 where the default takes longer than one thread."""
        return self.default / self.one

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return {**asdict(self), "ratio": self.ratio}


def measure() -> Iterator[BusyRow]:
    """Rasterizing, maps, baking and filling on the CPU: alone, then beside a process on every core that never rests."""
    mesh = sample_mesh(SAMPLES[0])
    cameras = [view.camera() for view in PRESETS["hunyuan3d-2"]]
    cases = _cases(mesh, cameras)
    for case, call in cases.items():
        yield _measure(case, call, busy=False)
    with _busy_cores():
        for case, call in cases.items():
            yield _measure(case, call, busy=True)


def markdown(rows: list[BusyRow]) -> str:
    """The rows as a table for people."""
    lines = [
        f"Seconds on {os.cpu_count()} cores, PyTorch's default being {torch.get_num_threads()} threads.",
        "",
        "| work on the CPU | idle, one thread / default | ratio | busy, one thread / default | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for case in dict.fromkeys(row.case for row in rows):
        cells = [f"{row.one:.2f} / {row.default:.2f} | {row.ratio:.2f}" for row in rows if row.case == case]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cases(mesh: Mesh, cameras: list[Camera]) -> dict[str, Callable[[], object]]:
    views = attribute_image(rasterize_mesh(mesh, cameras, (_SIZE, _SIZE)), "texture")[:, 0]
    bare = replace(mesh, texture=None)
    baked = bake_views(bare, views, cameras, _SIZE)
    pos, tri = scenes.sphere(5_000)

    def draw() -> None:
        for _ in range(20):
            rasterize(pos, tri, (256, 256), backend="torch")

    return {
        "5 k faces at 256², 20 times": draw,
        f"six views' maps at {_SIZE}²": lambda: render_maps(mesh, cameras, (_SIZE, _SIZE)),
        f"bake of six {_SIZE}² views to {_SIZE}²": lambda: bake_views(bare, views, cameras, _SIZE),
        f"fill of {_SIZE}²": lambda: fill_texture(baked.texture, baked.painted, bare),
    }


def _measure(case: str, call: Callable[[], object], busy: bool) -> BusyRow:
    default = torch.get_num_threads()
    seconds: dict[int, list[float]] = {1: [], default: []}
    try:
        for _ in range(_REPEATS):
            for threads, times in seconds.items():
                torch.set_num_threads(threads)
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(default)
    return BusyRow(case, busy, statistics.median(seconds[1]), statistics.median(seconds[default]))


# Ends when its standard input does: with the process that started it, however that ends.
_SPIN = (
    "import os, sys, threading\n"
    "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()\n"
    "while True: pass"
)


@contextmanager
def _busy_cores() -> Iterator[None]:
    """Keep every core busy within the block."""
    command = [sys.executable, "-c", _SPIN]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.5)  # they start
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
