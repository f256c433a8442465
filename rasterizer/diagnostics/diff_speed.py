"""Speed and memory of the differentiable primitives, beside nvdiffrast's where that is installed, in one run.

Every step by itself, forward and backward, and the whole chain: rasterize, interpolate texture coordinates and their
derivatives, look up a mipmapped texture, cut the background out, antialias, and back to vertices, coordinates and
texels. A sphere that covers 78 % of the image, of 20 thousand to a million faces, once or as eight views of it in one
batch, and a texture of 1024 x 1024 x 3. nvdiffrast is called as its own users call it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .. import diff
from ..backends.others import nvdiffrast
from ..contract import scenes
from ..runtime.log import log
from ..runtime.memory import is_out_of_memory, release_memory
from . import timing

OURS, THEIRS = "ours", "nvdiffrast"

CASES: dict[str, tuple[int, int, int]] = {
    f"{label}, {size}², {images} {'image' if images == 1 else 'images'}": (faces, size, images)
    for images in (1, 8)
    for label, faces in (("20 k", 20_164), ("200 k", 200_704), ("1 M", 1_000_000))
    for size in (512, 1024, 2048)
}
"""Faces, side of an image in pixels, and images."""

BAKE = "UV bake of 200 k, 2048²"
"""What bakers do: the triangles of a UV layout rasterized, three attributes interpolated, nothing differentiated."""

ALL = (*CASES, BAKE)
"""Names of all cases."""

QUICK = ("20 k, 512², 1 image", BAKE)
"""Cases of a quick run, and what is measured without being asked for where there is no GPU."""

CHAIN, TOPOLOGY, BAKING = "chain", "topology", "bake"
PRIMITIVES = ("rasterize", "interpolate", "texture", "antialias")
STEPS = (CHAIN, *(f"{name}{way}" for name in PRIMITIVES for way in ("", " backward")), TOPOLOGY)
"""What is measured of each sphere: the whole chain forward and backward, each primitive either way, and the search for
edges that antialiasing looks up."""

_RADIUS = 0.999  # touches no clipping plane, whatever the rounding
_TEXTURE = 1024
_BAKED_FACES, _BAKED_SIZE = 200_000, 2048
_LML = "linear-mipmap-linear"
_BETWEEN_STEPS = 0.05  # seconds of warming up, while the machine is at speed

Tensors = tuple[Tensor, ...]
Call = Callable[[], Tensors]


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        case: faces, image size and number of images.
        step: one of :data:`STEPS`, or ``bake``.
        library: ``ours`` or ``nvdiffrast``.
        milliseconds: median wall time of a call, synchronised.
        busy: milliseconds that the GPU worked during a call, all its kernels, copies and fills added up; None on a
            CPU, and until it was profiled.
        peak: the most that PyTorch's allocator had given at a time during the first call, beyond what it had before:
            results and working memory, without the inputs. None on a CPU.
        outside: device memory that appeared outside of PyTorch's allocator by the end of that call, such as buffers
            that a library allocates by itself. None on a CPU.
        difference: of this library's results from ours: the norm of the difference over that of ours, channel by
            channel, the largest. None for ours.
    """

    case: str
    step: str
    library: str
    milliseconds: float
    busy: float | None
    peak: int | None
    outside: int | None
    difference: float | None

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


def default_cases(device: torch.device, quick: bool) -> tuple[str, ...]:
    """What to measure where no case is asked for."""
    return QUICK if quick or device.type != "cuda" else ALL


def passes(device: torch.device) -> int:
    """How often :func:`measure` goes through its cases."""
    return 2 if device.type == "cuda" else 1


def measure(device: torch.device, cases: tuple[str, ...], repeats: int = 7) -> Iterator[list[Row]]:
    """Measure every case with our primitives, and with nvdiffrast's where it works; yields the rows of a
    case at a time.

    On a GPU each case comes twice, the second time with ``busy``: everything is timed before anything is profiled,
    because that makes later launches dearer. Where memory runs out the rest of a case is left out, with a line in the
    log.
    """
    makers = _makers(device)
    if device.type != "cpu":
        _warm_up(device, makers)
    timed = []
    for case in cases:
        rows = _timed(case, device, makers, repeats)
        timed.append(rows)
        yield rows
    if device.type == "cuda":
        for case, rows in zip(cases, timed, strict=True):
            yield _profiled(case, device, makers, rows, repeats)


@dataclass(frozen=True)
class _Library:
    """Functions of the same names and meanings, ours or others'."""

    rasterize: Callable[..., tuple[Tensor, Tensor]]
    module: Any


_Makers = dict[str, Callable[[], _Library]]
"""Each makes its library as if new, with buffers of its own."""


def _makers(device: torch.device) -> _Makers:
    makers: _Makers = {OURS: lambda: _Library(diff.rasterize, diff)}
    if not nvdiffrast.reason_against(device):
        import nvdiffrast.torch as theirs

        makers[THEIRS] = lambda: _Library(partial(theirs.rasterize, theirs.RasterizeCudaContext(device)), theirs)
    return makers


@dataclass(frozen=True)
class _Scene:
    """Inputs of every step; what has a gradient is a leaf."""

    resolution: tuple[int, int]
    pos: Tensor
    tri: Tensor
    uv: Tensor
    tex: Tensor
    rast: Tensor
    rast_db: Tensor
    place: Tensor
    place_da: Tensor
    color: Tensor


def _sphere(device: torch.device, faces: int, size: int, images: int) -> _Scene:
    points, tri = scenes.sphere(faces, _RADIUS)
    pos, tri = _turned(points, images).to(device), tri.to(device)
    uv = scenes.sphere_uv(faces)[None].to(device)
    tex = _noise(torch.empty(1, _TEXTURE, _TEXTURE, 3, device=device))
    rast, rast_db = diff.rasterize(pos, tri, (size, size))
    place, place_da = diff.interpolate(uv, rast, tri, rast_db, "all")
    color = diff.texture(tex, place, place_da, filter_mode=_LML) * (rast[..., 3:] > 0)
    leaves = (value.requires_grad_() for value in (pos, uv, tex, rast, rast_db, place, place_da, color))
    pos, uv, tex, rast, rast_db, place, place_da, color = leaves
    return _Scene((size, size), pos, tri, uv, tex, rast, rast_db, place, place_da, color)


def _turned(points: Tensor, images: int) -> Tensor:
    """``[images, N, 4]``: points turned about the upright axis, full circle."""
    x, y, z, w = points.double().unbind(-1)
    angles = [2 * math.pi * image / images for image in range(images)]
    turned = [
        torch.stack((x * math.cos(a) + z * math.sin(a), y, z * math.cos(a) - x * math.sin(a), w), -1) for a in angles
    ]
    return torch.stack(turned).float()


def _noise(like: Tensor) -> Tensor:
    """The same numbers whenever the shape is the same."""
    random = torch.Generator(like.device).manual_seed(like.numel())
    return torch.randn(like.shape, generator=random, device=like.device, dtype=torch.float32)


def _forward(name: str, library: _Library, scene: _Scene) -> tuple[Tensors, Call]:
    """What a primitive is differentiated by, and its call."""
    module = library.module
    if name == "rasterize":
        return (scene.pos,), lambda: library.rasterize(scene.pos, scene.tri, scene.resolution)
    if name == "interpolate":
        leaves = scene.uv, scene.rast, scene.rast_db
        return leaves, lambda: module.interpolate(scene.uv, scene.rast, scene.tri, scene.rast_db, diff_attrs="all")
    if name == "texture":
        leaves = scene.tex, scene.place, scene.place_da
        return leaves, lambda: (module.texture(*leaves, filter_mode=_LML),)
    rast, edges = scene.rast.detach(), module.antialias_construct_topology_hash(scene.tri)
    return (scene.color, scene.pos), lambda: (
        module.antialias(scene.color, rast, scene.pos, scene.tri, topology_hash=edges),
    )


def _backward(name: str, library: _Library, scene: _Scene) -> Call:
    leaves, forward = _forward(name, library, scene)
    outputs = forward()
    upstream = [_noise(value) for value in outputs]
    return lambda: torch.autograd.grad(outputs, leaves, upstream, retain_graph=True)


def _chain(library: _Library, scene: _Scene) -> Call:
    module, (height, width) = library.module, scene.resolution
    dy = _noise(scene.color)

    def render() -> Tensor:
        # Returns, as renderers do, before gradients are asked for: what the graph does not need is given back.
        rast, rast_db = library.rasterize(scene.pos, scene.tri, (height, width))
        place, place_da = module.interpolate(scene.uv, rast, scene.tri, rast_db, diff_attrs="all")
        color = module.texture(scene.tex, place, place_da, filter_mode=_LML)
        color = torch.where(rast[..., 3:] > 0, color, torch.zeros_like(color))
        return module.antialias(color, rast, scene.pos, scene.tri)

    def call() -> Tensors:
        out = render()
        return out.detach(), *torch.autograd.grad((out * dy).sum(), (scene.pos, scene.uv, scene.tex))

    return call


def _topology(library: _Library, scene: _Scene) -> Call:
    def call() -> Tensors:
        library.module.antialias_construct_topology_hash(scene.tri.clone())  # a list not seen before
        return ()

    return call


def _call(step: str, library: _Library, scene: _Scene) -> Call:
    if step == CHAIN:
        return _chain(library, scene)
    if step == TOPOLOGY:
        return _topology(library, scene)
    name, _, backward = step.partition(" ")
    return _backward(name, library, scene) if backward else _forward(name, library, scene)[1]


def _steps(case: str, device: torch.device) -> Iterator[tuple[str, Callable[[_Library], Call]]]:
    """The steps of a case, each with what makes its call for a library."""
    if case == BAKE:
        pos, tri = (value.to(device) for value in scenes.uv_grid(_BAKED_FACES))
        attributes = pos[:, :3].contiguous()

        def bake(library: _Library) -> Call:
            def call() -> Tensors:
                rast, _ = library.rasterize(pos[None], tri, (_BAKED_SIZE, _BAKED_SIZE), grad_db=False)
                return (library.module.interpolate(attributes, rast, tri)[0],)

            return call

        yield BAKING, bake
        return
    scene = _sphere(device, *CASES[case])
    for step in STEPS:
        yield step, partial(_call, step, scene=scene)


def _warm_up(device: torch.device, makers: _Makers) -> None:
    """Let everybody compile and load what a first call needs."""
    scene = _sphere(device, 100, 64, 2)
    for make in makers.values():
        for step in STEPS:
            _call(step, make(), scene)()
    timing.synchronize(device)


def _timed(case: str, device: torch.device, makers: _Makers, repeats: int) -> list[Row]:
    rows: list[Row] = []
    with _room_for(case, device):
        for step, call_of in _steps(case, device):
            warm_up = _BETWEEN_STEPS if rows else timing.WARM_UP
            rows += _timed_step(case, step, device, makers, call_of, repeats, warm_up)
    return rows


def _timed_step(
    case: str,
    step: str,
    device: torch.device,
    makers: _Makers,
    call_of: Callable[[_Library], Call],
    repeats: int,
    warm_up: float,
) -> list[Row]:
    calls, memory, differences = {}, {}, {}
    ours: Tensors = ()
    for name, make in makers.items():
        calls[name], result, memory[name] = _first_call(device, make, call_of)
        ours = result if name == OURS else ours
        differences[name] = None if name == OURS else _difference(result, ours)
    del ours, result
    times = timing.interleaved(device, calls, repeats, warm_up)
    return [
        Row(case, step, name, statistics.median(times[name]), None, *memory[name], differences[name]) for name in calls
    ]


def _first_call(
    device: torch.device, make: Callable[[], _Library], call_of: Callable[[_Library], Call]
) -> tuple[Call, Tensors, tuple[int | None, int | None]]:
    """A call of a library as if new, its results, and its peak within PyTorch's allocator and what lies outside."""
    if device.type != "cuda":
        call = call_of(make())
        return call, call(), (None, None)
    foreign, allocated = timing.foreign_memory(device), torch.cuda.memory_allocated(device)
    library = make()
    held = torch.cuda.memory_allocated(device) - allocated
    call = call_of(library)
    result, peak = timing.with_peak(device, call)
    timing.synchronize(device)
    return call, result, (peak + held, max(0, timing.foreign_memory(device) - foreign))


def _profiled(case: str, device: torch.device, makers: _Makers, rows: list[Row], repeats: int) -> list[Row]:
    """The rows with GPU time."""
    busy: dict[tuple[str, str], float] = {}
    with _room_for(case, device):
        for step, call_of in _steps(case, device):
            for name, make in makers.items():
                call = call_of(make())
                call()
                busy[step, name] = timing.busy(call, repeats)
    return [replace(row, busy=busy.get((row.step, row.library))) for row in rows]


@contextmanager
def _room_for(case: str, device: torch.device) -> Iterator[None]:
    """A block that is left when memory runs out, with a line in the log."""
    try:
        yield
        return
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release_memory(device)  # outside the handler, whose traceback holds on to tensors
    log.warning("%s: not measured to its end, memory is too small", case)


def _difference(found: Tensors, want: Tensors) -> float:
    largest = 0.0
    for one, other in zip(found, want, strict=True):
        channels = [value.detach().reshape(-1, value.shape[-1]) for value in (one, other)]
        norm = partial(torch.linalg.vector_norm, dim=0, dtype=torch.float64)
        error, size = norm(channels[0] - channels[1]), norm(channels[1])
        largest = max(largest, float(torch.where(error > 0, error / size, 0.0).max()))
    return largest
