"""GPU kernels compiled on the user's machine by the run-time compiler that PyTorch brings (NVRTC or hipRTC).

``rasterize.cu`` holds the kernels and their design. Everything stays on the current stream and nothing here waits for
the device. Before first use on a device the kernels are compared with the eager path; on any failure the eager path is
used and one log line says why.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, SupportsInt

import torch
from torch import Tensor

from ...contract import scenes
from ...contract.rule import DEPTH_SCALE, DEPTH_STEPS, MAX_DEPTH
from ...contract.types import RasterInfo, RasterOptions
from ...gpu.platforms import Launch
from ...gpu.program import SCREEN, Loaded, Program, SelfTest, current_stream, parameters_of
from ...gpu.structs import struct
from ...runtime.devices import elsewhere
from ...runtime.memory import call_when_memory_is_short, default_budget
from ..eager import rasterize as eager
from ..eager.barycentrics import barycentrics as by_operators
from ..eager.boxes import EDGE_SLACK, LEAST_WEIGHT
from ..interface import Weigh
from .workload import MANY, is_dense, is_shared, looks_first, small_box

_KEPT_WORDS, _KEPT_QUEUES = 1 << 26, 1 << 25  # bytes of a z-buffer and of queues that are kept for the next call
_STREAMS = 4  # whose z-buffers are kept at a time
_FREE_WORDS = 1 << 28  # a z-buffer up to this size is made without asking how much memory is free
_COUNTERS = 8  # words before a z-buffer
_FACE_BITS = 24  # of a word in a kept z-buffer; meshes with more faces get one of their own
_EPOCHS = 1 << (64 - 31 - _FACE_BITS)
_THREADS = 256  # of a block, in every kernel
_DENSE_EACH = 2  # triangles of a thread of draw_dense
_TILE = 16  # side of the tiles that large boxes are cut into; `regions` draws two of their rows at a time
_RUN = 8  # tiles of a region, or more where there would be more regions than _PARTS
_PARTS = 256  # regions of a box at most

# Entries of each queue at most. Full queues cost time, not pixels.
_RECORDS = 1 << 20
_REGIONS = 1 << 21


_Record = struct(
    "Record",
    ("float", "ax, ay, acx, acy, abx, aby", "corner a on the screen, and the way from a to c and to b"),
    ("float", "inv", "1 / area"),
    ("float", "za, zb, zc", "mapped depth of the corners"),
    ("u16", "x0, x1, y0, y1", "candidate pixels: [x0, x1) x [y0, y1)"),
    ("u32", "face, view", ""),
)

_Params = struct(
    "Params",
    ("const void*", "pos", "[views * vertices, 4] clip space; or [vertices, 3] int16, QUANTIZED"),
    ("const float*", "matrices", "[views, 4, 4] from these to clip space"),
    ("const void*", "tri", "[faces, 3] int32 or int64"),
    ("const float*", "prior", "[views * height * width] NDC depth, or null"),
    ("u64*", "words", "[views * height * width], after COUNTER_WORDS that hold the counters"),
    ("Record*", "records", "triangles that draw hands over"),
    ("u32*", "queue", "regions"),
    ("u32*", "invalid", "[1] faces with a corner that is not finite on the screen"),
    ("int*", "findices", "[views * height * width]"),
    ("float*", "barycentric", "[views * height * width, 3], or null"),
    ("u32", "epoch_high, epoch_mask", "the epoch in a word's upper half, and the bits that it takes there"),
    ("u32", "step_right, step_left", "upper half: epoch_high | step >> step_right; lower: step * step_left + face"),
    ("u32", "face_mask", "the bits that the face takes in a word's lower half"),
    ("u32", "total", "views * faces"),
    ("u32", "pixels", "views * height * width"),
    ("u32", "faces, vertices", ""),
    ("int", "width, height", ""),
    ("float", "last_x, last_y", "width - 1 and height - 1"),
    ("int", "tri_is_64", ""),
    ("int", "small_box", "pixels of a box that draw does not hand over"),
    ("int", "look_first", "whether draw reads a word before its atomic"),
    ("u32", "record_capacity, region_capacity", ""),
    ("u32", "parts", "of a box at most; those of all boxes can be counted in 32 bits"),
    ("float", "truncation", "added to the mapped prior"),
    ("u32", "first, count", "pixels that weigh is given, counted through all views"),
)

_RECORD, _REGION = ctypes.sizeof(_Record), ctypes.sizeof(ctypes.c_uint32)  # bytes of an entry of each queue


def _self_test(device: torch.device) -> None:
    """Compare the kernels with the eager path on scenes that reach every branch.

    Raises:
        RuntimeError: a pixel differs.
    """
    run = elsewhere(_run, device, torch.device("cpu"))
    for name, ((pos, tri), resolution) in {
        "small": (scenes.soup(300, 0.1, seed=1, behind=0.1), (150, 170)),
        "medium": (scenes.soup(60, 0.6, seed=2), (150, 170)),
        "large": (scenes.soup(12, 2.5, seed=3), (150, 170)),
        "many": (scenes.soup(MANY, 0.05, seed=4), (350, 370)),
        "dense": (scenes.soup(MANY, 0.02, seed=5, behind=0.1), (30, 40)),
        "dense, several rounds": (scenes.soup(1300, 0.6, seed=6, behind=0.1), (6, 6)),
    }.items():
        options = RasterOptions(resolution)
        want, weights, _ = eager.rasterize(pos[None], tri, options)
        found, got, _ = run(pos[None], tri, options)
        wrong = int((found != want).sum())
        late = _weighing(pos[None].to(device), tri.to(device), options.resolution)(want.view(-1).to(device), 0)
        wrong += int((late.cpu() != got.view(-1, 3)).sum())
        if wrong or not torch.allclose(got, weights, rtol=0, atol=2e-7, equal_nan=True):
            error = float((got - weights).abs().max())
            raise RuntimeError(
                f"self-test '{name}': {wrong} of {want.numel()} pixels wrong, weights off by {error:.1e}"
            )


def program_for(quantized: bool, self_test: SelfTest) -> Program:
    """The kernels, for vertices in clip space or for integers (:mod:`.quantized`)."""
    return Program(
        Path(__file__).with_name("rasterize.cu"),
        ("draw", "draw_shared", "draw_dense", "regions", "resolve", "weigh"),
        "rasterizing quantized meshes" if quantized else "rasterizing",
        structs=(_Record, _Params),
        shared=(SCREEN,),
        defines={**_DEFINES, "QUANTIZED": int(quantized)},
        self_test=self_test,
    )


_DEFINES = {
    "THREADS": _THREADS,
    "DENSE_EACH": _DENSE_EACH,
    "TILE": _TILE,
    "RUN": _RUN,
    "PARTS": _PARTS,
    "COUNTER_WORDS": _COUNTERS,
    "DEPTH_STEPS": DEPTH_STEPS,
    "DEPTH_SCALE": DEPTH_SCALE,
    "MAX_DEPTH": MAX_DEPTH,
    "EDGE_SLACK": EDGE_SLACK,
    "LEAST_WEIGHT": LEAST_WEIGHT,
}
PROGRAM = program_for(False, lambda device: _self_test(device))
"""The rasterizer's kernels; of the first three one runs, and the last for what was drawn without barycentrics."""

reason_against = PROGRAM.reason_against


def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """As :func:`rasterizer.backends.eager.rasterize.rasterize`; falls back to it when a launch fails."""
    return PROGRAM.attempt(pos.device, lambda: _run(pos, tri, options), lambda: eager.rasterize(pos, tri, options))


def _run(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    return draw(PROGRAM, Vertices(_aligned(pos)), tri, options)


class Vertices(NamedTuple):
    """Where vertices are: ``values [(B,) N, 4]`` float32 in clip space, or ``values [N, 3]`` int16 and ``matrices [B,
    4, 4]`` float32 that bring them there. All contiguous."""

    values: Tensor
    matrices: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``(B,) N, C``."""
        return tuple(self.values.shape) if self.matrices is None else (len(self.matrices), *self.values.shape)

    def part(self, views: slice) -> Vertices:
        """Those of some of the views."""
        if self.matrices is not None:
            return Vertices(self.values, self.matrices[views])
        return Vertices(self.values[views]) if self.values.ndim == 3 else self


def draw(
    program: Program, vertices: Vertices, tri: Tensor, options: RasterOptions
) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize views in groups whose z-buffers fit the budget; usually that is all of them at once. A budget that is
    given holds the queues, too: it is so when memory has run out without."""
    tri = _faces(tri)
    prior = None if options.depth_prior is None else options.depth_prior.contiguous()
    plan = _plan_of(program, vertices, tri, options)
    options.on_progress(0.0)
    if plan.together and (not options.budget or plan.memory + 8 * plan.pixels <= options.budget):
        findices, barycentric, invalid = _launch(plan, vertices, tri, prior, options)
        return findices, barycentric, plan.info(invalid)
    findices, barycentric = plan.results(options.barycentrics)
    views, height, width = findices.shape if findices.ndim == 3 else (1, *findices.shape)
    group = max(1, min(65535, (2**31 - 1) // max(height * width, len(tri))))
    words = options.budget // 2 or default_budget(vertices.values.device)
    group = max(1, min(group, views, words // (height * width * 8)))
    counts = []
    for start in range(0, views, group):
        options.on_progress(start / views)
        part, results = slice(start, start + group), (findices, barycentric)
        some = vertices.part(part)
        if findices.ndim == 3:
            results = findices[part], barycentric[part]
        part_prior = None if prior is None else prior[start : start + group]
        counts.append(_launch(_plan_of(program, some, tri, options), some, tri, part_prior, options, results)[2])
    return findices, barycentric, plan.info(_Sum(counts))


def barycentrics(pos: Tensor, tri: Tensor, resolution: tuple[int, int], budget: int = 0) -> Weigh:
    """As :func:`rasterizer.backends.eager.barycentrics.barycentrics`; falls back to it when a launch fails."""
    weigh, instead = _weighing(pos, tri, resolution), lru_cache(maxsize=1)(lambda: by_operators(pos, tri, resolution))
    return lambda found, start: PROGRAM.attempt(
        pos.device, lambda: weigh(found, start), lambda: instead()(found, start)
    )


def _weighing(pos: Tensor, tri: Tensor, resolution: tuple[int, int]) -> Weigh:
    pos, tri, device = _aligned(pos), _faces(tri), pos.device
    height, width = resolution

    def weigh(findices: Tensor, start: int) -> Tensor:
        findices = findices.contiguous()
        out = torch.empty((len(findices), 3), dtype=torch.float32, device=device)
        params = _Params(
            pos=pos.data_ptr(),
            tri=tri.data_ptr(),
            faces=len(tri),
            vertices=pos.shape[-2],
            width=width,
            height=height,
            last_x=width - 1,
            last_y=height - 1,
            tri_is_64=tri.dtype == torch.int64,
        )
        params.findices, params.barycentric = findices.data_ptr(), out.data_ptr()
        params.first, params.count = start, len(findices)
        launch = PROGRAM.on(device.index).launcher("weigh", -(-len(findices) // _THREADS), _THREADS)
        launch(current_stream(device.index), parameters_of(params))
        return out

    return weigh


class _Count:
    """A number that a call leaves on the device, so that nobody waits for it who does not read it."""

    def __init__(self, numbers: Tensor, place: int) -> None:
        self._numbers, self._place = numbers, place

    def __int__(self) -> int:
        return int(self._numbers[self._place])


class _Sum(list[_Count]):
    """The same for several calls."""

    def __int__(self) -> int:
        return sum(map(int, self))


@dataclass(frozen=True, eq=False)
class _Plan:
    """What follows from the sizes of a call alone."""

    template: bytes  # of _Params
    pixels: int  # of all views
    faces: int
    records: int  # bytes of them, before the other queue
    memory: int  # bytes of both queues
    together: bool  # whether the views are few and small enough for one launch
    image: Tensor  # shaped like the results, but of one element each
    weights: Tensor
    device: str
    draw: Launch
    regions: Launch
    resolve: Launch

    def results(self, barycentrics: bool = True) -> tuple[Tensor, Tensor]:
        """Face indices and barycentrics, or none, to be written; made from others, which takes half the time."""
        weights = self.weights if barycentrics else self.weights[..., :0]
        return (
            torch.empty_like(self.image, memory_format=torch.contiguous_format),
            torch.empty_like(weights, memory_format=torch.contiguous_format),
        )

    def info(self, invalid: SupportsInt) -> RasterInfo:
        return RasterInfo("kernels", "", "", self.device, invalid)


def _plan_of(program: Program, vertices: Vertices, tri: Tensor, options: RasterOptions) -> _Plan:
    device = vertices.values.device
    sizes = vertices.shape, tri.shape[0], options.resolution
    return _plan(program.on(device.index), device, *sizes, tri.dtype == torch.int64, options.budget)


@lru_cache(maxsize=64)
def _plan(
    program: Loaded,
    device: torch.device,
    shape: tuple[int, ...],
    faces: int,
    resolution: tuple[int, int],
    tri_is_64: bool,
    budget: int,
) -> _Plan:
    (*batch, vertices, _), (height, width) = shape, resolution
    views = math.prod(batch)
    total, pixels = views * faces, views * height * width
    tiles = (height // _TILE + 1) * (width // _TILE + 1)
    parts = min(_PARTS, -(-tiles // _RUN), max(1, (2**32 - 2) // total))
    room = budget // 4 or 1 << 62
    records, regions = min(total, _RECORDS, room // _RECORD), min(total * parts, _REGIONS, room // _REGION)
    image = torch.empty((), dtype=torch.int32, device=device)
    if type(image) is not Tensor:
        raise RuntimeError(
            f"rasterize: is called under a mode that makes {type(image).__name__}, which holds no pixels"
        )
    shared = is_shared(total, pixels)
    kernel, each = ("draw_shared" if shared else "draw"), 1
    if is_dense(total, pixels):
        kernel, each = "draw_dense", _DENSE_EACH
    params = _Params(
        total=total,
        pixels=pixels,
        faces=faces,
        vertices=vertices,
        width=width,
        height=height,
        last_x=width - 1,
        last_y=height - 1,
        tri_is_64=tri_is_64,
        small_box=small_box(total, shared),
        look_first=looks_first(total, pixels),
        record_capacity=records,
        region_capacity=regions,
        parts=parts,
    )
    return _Plan(
        template=bytes(params),
        pixels=pixels,
        faces=faces,
        records=records * _RECORD,
        memory=records * _RECORD + regions * _REGION,
        # Kernels count in 32 bits, and no grid is deeper than 65535 blocks.
        together=views <= 65535 and max(total, pixels) < 2**31 and pixels * 8 <= _FREE_WORDS,
        image=image.expand(*batch, height, width),
        weights=torch.empty((), dtype=torch.float32, device=device).expand(*batch, height, width, 3),
        device=str(device),
        draw=program.launcher(kernel, -(-total // (_THREADS * each)), _THREADS),
        regions=program.launcher("regions", 8 * program.processors, _THREADS),
        resolve=program.launcher("resolve", (-(-width // _THREADS), height, views), _THREADS),
    )


def _launch(
    plan: _Plan,
    vertices: Vertices,
    tri: Tensor,
    prior: Tensor | None,
    options: RasterOptions,
    results: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, _Count]:
    """Rasterize views together; returns face indices, barycentrics (``results``, if given), and invalid faces."""
    device = vertices.values.device
    number = device.index
    stream = current_stream(number)
    buffers, kept = _buffers((number, stream), plan, device)
    params, arguments, place = buffers.params, buffers.arguments, buffers.epoch
    params.pos, params.tri = vertices.values.data_ptr(), tri.data_ptr()
    params.matrices = None if vertices.matrices is None else vertices.matrices.data_ptr()
    params.prior = None if prior is None else prior.data_ptr()
    params.epoch_high, params.invalid = place << (buffers.face_bits - 1), buffers.first_invalid + 4 * place
    params.truncation = options.occlusion_truncation
    plan.draw(stream, arguments)
    plan.regions(stream, arguments)
    # While the device is at work.
    findices, barycentric = results or plan.results(options.barycentrics)
    params.findices, params.barycentric = findices.data_ptr(), barycentric.data_ptr()
    plan.resolve(stream, arguments)
    if kept is not None:
        if plan.memory > _KEPT_QUEUES:
            buffers.plan = buffers.queues = None
        if len(_kept) >= _STREAMS:
            _kept.clear()
        _kept[kept] = buffers
    return findices, barycentric, _Count(buffers.invalid, place)


class _Buffers:
    """What calls work in, and the parameters of the last one. Words carry the epoch of the call that wrote them: see
    rasterize.cu. Epochs count down to 0."""

    def __init__(self, pixels: int, epochs: int, face_bits: int, device: torch.device) -> None:
        self.words = torch.full((pixels + _COUNTERS,), -1, dtype=torch.int64, device=device)
        self.invalid = torch.empty(epochs, dtype=torch.int32, device=device)  # a number for each call
        self.first_invalid = self.invalid.data_ptr()
        self.epoch, self.face_bits = epochs - 1, face_bits
        self.plan: _Plan | None = None
        self.queues: Tensor | None = None

    def prepare(self, plan: _Plan) -> None:
        """Set what is the same for all calls of a plan."""
        if self.queues is None or self.queues.shape[0] < plan.memory:
            self.queues = torch.empty(plan.memory, dtype=torch.uint8, device=self.words.device)
        self.plan, self.params = plan, _Params.from_buffer_copy(plan.template)
        params, bits = self.params, self.face_bits
        params.words = self.words.data_ptr() + 8 * _COUNTERS
        params.records = self.queues.data_ptr()
        params.queue = params.records + plan.records
        params.epoch_mask, params.face_mask = -1 << (bits - 1), (1 << bits) - 1
        params.step_right, params.step_left = 32 - bits, 1 << bits
        self.arguments = parameters_of(params)


_kept: dict[tuple[int, int], _Buffers] = {}  # by device and stream, whose order of work keeps calls apart
call_when_memory_is_short(_kept.clear)


def _buffers(key: tuple[int, int], plan: _Plan, device: torch.device) -> tuple[_Buffers, tuple[int, int] | None]:
    """Buffers for one call, and the key to keep them under once everything is launched, or None.

    Whoever uses kept ones takes them away, so that no other thread draws into them. A captured graph would draw in the
    same epoch each time it is replayed, and gets buffers that it clears itself.
    """
    if 8 * plan.pixels > _KEPT_WORDS or plan.faces > 1 << _FACE_BITS or torch.cuda.is_current_stream_capturing():
        buffers = _Buffers(plan.pixels, 1, 32, device)
        buffers.prepare(plan)
        return buffers, None
    kept = _kept.pop(key, None)
    if kept is None or kept.epoch == 0 or kept.words.shape[0] < plan.pixels + _COUNTERS:
        kept = _Buffers(plan.pixels, _EPOCHS, _FACE_BITS, device)
    kept.epoch -= 1
    if kept.plan is not plan:
        kept.prepare(plan)
    return kept, key


def _aligned(pos: Tensor) -> Tensor:
    """Contiguous and on a 16-byte boundary, as the kernels read whole vertices."""
    pos = pos.contiguous()
    return pos if pos.data_ptr() % 16 == 0 else pos.clone()


def _faces(tri: Tensor) -> Tensor:
    return (tri if tri.dtype in (torch.int32, torch.int64) else tri.to(torch.int32)).contiguous()
