"""Speed, measured: every available backend on the same scenes in one run, interleaved, results compared.

Other people's rasterizers are timed as their own users call them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..backends.others import custom_rasterizer as native
from ..backends.others import nvdiffrast
from ..backends.registry import backend_statuses
from ..backends.vulkan import session as vulkan
from ..cameras.camera import look_at
from ..cameras.views import PRESETS
from ..contract import scenes
from ..hierarchy import build_hierarchy
from ..hierarchy.axis_views import peel
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import trefoil_knot
from ..ops import interpolate, rasterize
from ..rendering.attributes import attribute_image
from ..rendering.raster import rasterize_mesh
from ..texturing import Baked, bake_views
from . import chain, timing
from .fields import FIELDS, photograph
from .peers import comfyui

CASES: dict[str, tuple[Callable[[], scenes.Scene], int]] = {
    "sphere 5 k, 512²": (lambda: scenes.sphere(5_000), 512),
    "sphere 10 k, 1024²": (lambda: scenes.sphere(10_000), 1024),
    "sphere 40 k, 2048²": (lambda: scenes.sphere(40_000), 2048),
    "sphere 200 k, 1024²": (lambda: scenes.sphere(200_000), 1024),
    "sphere 1 M, 1024²": (lambda: scenes.sphere(1_000_000), 1024),
    "sphere 4 M, 2048²": (lambda: scenes.sphere(4_000_000), 2048),
    "UV grid 80 k, 4096²": (lambda: scenes.uv_grid(80_000), 4096),
    "50 screen-sized, 512²": (lambda: scenes.soup(50, 1.0), 512),
    "10 k large, 1024²": (lambda: scenes.soup(10_000, 0.2), 1024),
}

SIX_VIEWS = "six views of 40 k, 1024²"
"""A sphere turned about its axis; whoever knows no batches is called six times."""

INTERPOLATED = "40 k interpolated, 4096²"
"""Rasterized, and three attributes interpolated."""

NORMALS = "normals of 10 k, 256²"
"""A whole picture, as ComfyUI's own Render Mesh makes one by casting rays, where that is there."""

HIERARCHY_CASES: dict[str, tuple[int, int]] = {
    "grid hierarchy 128, 4 levels": (128, 4),
    "grid hierarchy 256, 5 levels": (256, 5),
    "grid hierarchy 512, 6 levels": (512, 6),
}
"""Resolution and levels over six depth-peeled layers of a trefoil knot of 192 000 faces."""

BAKE_CASES: dict[str, tuple[int, int]] = {
    "bake of six 1024² views to 1024²": (1024, 1024),
    "bake of six 1024² views to 2048²": (1024, 2048),
}
"""Pixels a side and texels a side; of a trefoil knot of 40 000 faces."""

ALL = (*CASES, SIX_VIEWS, INTERPOLATED, NORMALS, *HIERARCHY_CASES, *BAKE_CASES, *chain.CASES, chain.UNWRAPPING)
"""Names of all cases."""

QUICK = ("sphere 5 k, 512²", "sphere 10 k, 1024²", "50 screen-sized, 512²")
"""Cases of a quick run."""

_LAYERS = 6
_NATIVE = "custom_rasterizer"
_PEERS = {_NATIVE: native.bare_call, "nvdiffrast": nvdiffrast.bare_call}


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        case: scene and image size.
        backend, mode: what ran.
        milliseconds: median wall time of a call, synchronised.
        busy: milliseconds that the GPU worked during a call, all its kernels and fills added up, without the copies
            between host and card where the device is a CPU; None for what no GPU does, and until it was profiled.
        ratio: native milliseconds over these, where the native module ran in the same run; else None.
        differing: pixels whose face or value, or hierarchy outputs that, are not those of the first backend measured.
        peak: largest amount of device memory allocated during a call beyond what was allocated before; None on a CPU.
    """

    case: str
    backend: str
    mode: str
    milliseconds: float
    busy: float | None
    ratio: float | None
    differing: int
    peak: int | None

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


def measure(device: torch.device, cases: tuple[str, ...], repeats: int = 7) -> Iterator[list[Row]]:
    """Measure every case with every backend that works on ``device``; yields the rows of one case at a time.

    On a GPU a call is made before each that is timed, as in a loop, and all are timed before the first is profiled,
    because profiling once makes every later launch dearer.
    """
    names = [row.name for row in backend_statuses(device) if row.available]
    timed = ((runs, _measure_case(case, device, runs, repeats)) for case, runs in _cases(device, cases, names))
    if device.type != "cuda":
        yield from ([_with_card_time(row) for row in rows] for _, rows in timed)
    else:
        for runs, rows in list(timed):
            yield [replace(row, busy=timing.busy(runs[row.backend, row.mode].timed, repeats)) for row in rows]
    if chain.UNWRAPPING in cases and (wait := chain.unwrapping()):
        yield [Row(chain.UNWRAPPING, "xatlas", "", wait, busy=None, ratio=None, differing=0, peak=None)]


def _with_card_time(row: Row) -> Row:
    """What Vulkan's card took for the last drawing, which was the row's."""
    if row.backend != "vulkan" or row.case not in CASES:
        return row
    return replace(row, busy=vulkan.card().rasterizer.milliseconds)


@dataclass(frozen=True)
class _Run:
    """What is timed, and what gives a result to compare, which others' bare calls do not."""

    timed: Callable[[], Any]
    checked: Callable[[], Any]
    differing: Callable[[Any, Any], int]


_Key = tuple[str, str]  # backend and mode
_Runs = dict[_Key, _Run]


def _cases(device: torch.device, cases: tuple[str, ...], names: list[str]) -> Iterator[tuple[str, _Runs]]:
    for case in cases:
        if case == chain.UNWRAPPING:
            continue  # is no work of a device
        if case in HIERARCHY_CASES:
            yield case, _hierarchy_runs(device, *HIERARCHY_CASES[case])
        elif case in BAKE_CASES:
            yield case, _bake_runs(device, *BAKE_CASES[case], names)
        elif case in chain.CASES:
            call = chain.call(device, case)
            yield case, {(_backend(names), ""): _Run(call, call, _different_values)}
        elif case == SIX_VIEWS:
            pos, tri = scenes.sphere(40_000)
            turns = torch.arange(6, dtype=torch.float32) * (math.pi / 3)
            turned = [torch.stack((t.cos(), -t.sin(), t.sin(), t.cos())).view(2, 2) for t in turns]
            views = torch.stack([torch.cat((pos[:, :2] @ turn, pos[:, 2:]), dim=1) for turn in turned])
            yield case, _view_runs(views.to(device), tri.to(device), 1024, names)
        elif case == NORMALS:
            yield case, _normals_runs(device, 10_000, 256, names)
        elif case == INTERPOLATED:
            pos, tri = (tensor.to(device) for tensor in scenes.sphere(40_000))
            yield case, _interpolated_runs(pos, tri, 4096, names)
        else:
            make, size = CASES[case]
            pos, tri = (tensor.to(device) for tensor in make())
            yield case, _view_runs(pos, tri, size, names)


def _view_runs(pos: Tensor, tri: Tensor, size: int, names: list[str]) -> _Runs:
    runs: _Runs = {}
    for name in names:
        for mode in ("auto", "batched", "tiled") if name == "torch" else ("",):
            ours = partial(rasterize, pos, tri, (size, size), mode=mode or "auto", backend=name)
            bare = _PEERS[name](pos, tri, (size, size)) if name in _PEERS else ours
            runs[name, mode] = _Run(bare, ours, _different_pixels)
    return runs


def _interpolated_runs(pos: Tensor, tri: Tensor, size: int, names: list[str]) -> _Runs:
    def run(name: str) -> Tensor:
        found = rasterize(pos, tri, (size, size), backend=name)
        return interpolate(pos[:, :3], *found, tri)

    calls = {name: partial(run, name) for name in names if name not in _PEERS}
    return {(name, ""): _Run(call, call, _different_values) for name, call in calls.items()}


def _normals_runs(device: torch.device, faces: int, size: int, names: list[str]) -> _Runs:
    pos, tri = (tensor.to(device) for tensor in scenes.sphere(faces))
    mesh, eye, fov = Mesh(pos[:, :3].contiguous(), tri), (0.5, 0.7, 3.0), 40.0
    camera = look_at(eye, (0.0, 0.0, 0.0), fov=fov)

    def run(name: str) -> Tensor:
        raster = rasterize_mesh(mesh, [camera], (size, size), backend=name)
        attribute_image(raster, "normal", encoding="world")
        return raster.mask[0, 0]

    calls: dict[str, Callable[[], Tensor]] = {name: partial(run, name) for name in names if name not in _PEERS}
    comfyui.find_comfyui(device)
    if not comfyui.reason_against():
        calls["RenderMesh"] = comfyui.bare_call(mesh.vertices, tri, eye, fov, size)
    return {(name, ""): _Run(call, call, _different_masks) for name, call in calls.items()}


def _hierarchy_runs(device: torch.device, resolution: int, levels: int) -> _Runs:
    """Ours on the device, and the native module, which knows the CPU only."""
    mesh = trefoil_knot(1000, 96)
    points = mesh.vertices * ((1 - 2 / resolution) / mesh.vertices.abs().amax())
    layers = peel(mesh, points, resolution, _LAYERS)
    positions, normals = layers.positions, layers.normals
    here = [view.to(device) for view in positions], [view.to(device) for view in normals]
    ours = partial(build_hierarchy, *here, levels, resolution)
    runs = {("torch", ""): _Run(ours, ours, _different_outputs)}
    if not native.reason_against(torch.device("cpu")):
        theirs = partial(native.build_hierarchy, positions, normals, levels, resolution)
        runs[_NATIVE, ""] = _Run(theirs, theirs, _different_outputs)
    return runs


def _bake_runs(device: torch.device, pixels: int, texels: int, names: list[str]) -> _Runs:
    """The whole bake as it is called, by what the device has."""
    mesh = trefoil_knot(800, 25).to(device)
    cameras = [view.camera() for view in PRESETS["hunyuan3d-2"]]
    images = photograph(mesh, cameras, pixels, FIELDS["hard"], 1)
    call = partial(bake_views, mesh, images, cameras, texels)
    return {(_backend(names), ""): _Run(call, call, _different_texels)}


def _backend(names: list[str]) -> str:
    """What does all that is no rasterizing alone, where the device has it."""
    return "kernels" if "kernels" in names else "torch"


def _different_texels(one: Baked, other: Baked) -> int:
    return int((one.heaviest != other.heaviest).sum())


def _different_pixels(one: Any, other: Any) -> int:
    return int((one.findices != other.findices).sum())


def _different_values(one: Tensor, other: Tensor) -> int:
    return int(((one - other).abs().amax(dim=-1) > 1e-6).sum())


def _different_masks(one: Tensor, other: Tensor) -> int:
    return int(((one > 0) != (other.to(one.device) > 0)).sum())


def _different_outputs(one: list[list[Tensor]], other: list[list[Tensor]]) -> int:
    pairs = [(a.cpu(), b.cpu()) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return sum(not torch.equal(a, b) for a, b in pairs)


def _measure_case(case: str, device: torch.device, runs: _Runs, repeats: int) -> list[Row]:
    differing, peaks = _first_calls(device, runs)
    times = timing.interleaved(device, {key: run.timed for key, run in runs.items()}, repeats)
    median = {key: statistics.median(each) for key, each in times.items()}
    reference = median.get((_NATIVE, ""))
    return [
        Row(
            case=case,
            backend=name,
            mode=mode,
            milliseconds=median[name, mode],
            busy=None,
            ratio=reference and reference / median[name, mode],
            differing=differing[name, mode],
            peak=peaks.get((name, mode)),
        )
        for name, mode in runs
    ]


def _first_calls(device: torch.device, runs: _Runs) -> tuple[dict[_Key, int], dict[_Key, int]]:
    """Call everything once or more; how much differs from the first result, and on CUDA the peaks of memory."""
    first: Any = None
    differing: dict[_Key, int] = {}
    peaks: dict[_Key, int] = {}
    for key, run in runs.items():
        result = run.timed()  # compiles, loads and allocates what stays
        if device.type == "cuda":
            _, peaks[key] = timing.with_peak(device, run.timed)
        if run.checked is not run.timed:
            result = run.checked()
        first = result if first is None else first
        differing[key] = run.differing(result, first)
    return differing, peaks


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table: a line per case, a column per backend and mode.

    A cell holds milliseconds of wall time, on a GPU also those that it worked and the megabytes it needed beyond the
    inputs, in brackets how many times as fast as native in wall time, and how many pixels differ.
    """
    columns = list(dict.fromkeys((row.backend, row.mode) for row in rows))
    cells = {(row.case, row.backend, row.mode): row for row in rows}
    titles = [f"{backend} {mode}".strip() for backend, mode in columns]
    lines = ["| ms per call | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(columns)]
    for case in dict.fromkeys(row.case for row in rows):
        lines.append(f"| {case} | " + " | ".join(_cell(cells.get((case, *column))) for column in columns) + " |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    unit = "outputs" if row.case in HIERARCHY_CASES else "px"
    text = f"{row.milliseconds:.3g}" if row.milliseconds < 1000 else f"{row.milliseconds:.0f}"
    text += "" if row.busy is None else f" / {row.busy:.3f}"
    text += "" if row.peak is None else f" / {row.peak / 1e6:.0f} MB"
    if row.ratio is not None and row.backend != _NATIVE:
        text += f" ({row.ratio:.2f}x)"
    return text + (f", {row.differing} {unit} differ" if row.differing else "")
