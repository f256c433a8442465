"""GPU kernels compiled on the user's machine by the run-time compiler that PyTorch brings (NVRTC or hipRTC).

``raster.cu`` holds the kernels and their design. Everything stays on the current stream and nothing here waits for the
device. Before first use on a device the kernels are compared with the eager path; on any failure the eager path is used
and one log line says why.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ... import scenes
from ...memory import call_when_memory_is_short, default_budget, is_out_of_memory
from ...raster_types import RasterInfo, RasterOptions
from .. import eager
from .interpolation import interpolate as interpolate
from .program import Program, current_stream, parameters_of

_KEPT_WORDS = 1 << 26  # bytes of a z-buffer that is kept for the next call
_STREAMS = 4  # whose z-buffers are kept at a time
_FREE_WORDS = 1 << 28  # a z-buffer up to this size is made without asking how much memory is free
_COUNTERS = 8  # words before a z-buffer
_FACE_BITS = 24  # of a word in a kept z-buffer; meshes with more faces get one of their own
_EPOCHS = 1 << (64 - 31 - _FACE_BITS)
_RECORD, _REGION, _INDEX = 64, 12, 4  # bytes of an entry of each queue, as in raster.cu
_THREADS, _SPLIT = 256, 64  # of a thread block; those of split
_TILE = 16  # as in raster.cu

# Entries of each queue at most. Full queues cost time, not pixels.
_RECORDS = 1 << 20
_REGIONS = 1 << 21


class _Params(ctypes.Structure):
    """``struct Params`` of raster.cu, field for field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("pos", "tri", "prior", "words", "large", "records", "queue")),
        *((name, ctypes.c_void_p) for name in ("invalid", "findices", "barycentric")),
        *((n, ctypes.c_uint32) for n in ("epoch_high", "epoch_mask", "step_right", "step_left", "face_mask")),
        *((name, ctypes.c_uint32) for name in ("total", "pixels", "faces", "vertices")),
        *((name, ctypes.c_int32) for name in ("width", "height")),
        *((name, ctypes.c_float) for name in ("last_x", "last_y")),
        *((name, ctypes.c_int32) for name in ("tri_is_64", "small_box", "look_first")),
        *((name, ctypes.c_uint32) for name in ("record_capacity", "region_capacity")),
        ("truncation", ctypes.c_float),
    ]


def _self_test(device: torch.device) -> None:
    """Compare the kernels with the eager path on scenes that reach every branch.

    Raises:
        RuntimeError: a pixel differs.
    """
    for name, (pos, tri) in {
        "small": scenes.soup(300, 0.1, seed=1, behind=0.1),
        "medium": scenes.soup(60, 0.6, seed=2),
        "large": scenes.soup(12, 2.5, seed=3),
    }.items():
        clip, faces = pos[None].to(device), tri.to(device)
        options = RasterOptions((150, 170))
        want, weights, _ = eager.rasterize(clip, faces, options)
        found, got, _ = _run(clip, faces, options)
        wrong = int((found != want).sum())
        if wrong or not torch.allclose(got, weights, rtol=0, atol=2e-7, equal_nan=True):
            error = float((got - weights).abs().max())
            raise RuntimeError(
                f"self-test '{name}': {wrong} of {want.numel()} pixels wrong, weights off by {error:.1e}"
            )


PROGRAM = Program(
    Path(__file__).with_name("raster.cu"),
    ("draw", "split", "regions", "resolve"),
    lambda device: _self_test(device),
    "rasterizing",
)
"""The rasterizer's kernels, in the order they run."""

reason_against = PROGRAM.reason_against


def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """As :func:`rasterizer.backends.eager.rasterize`; falls back to it when a launch fails."""
    try:
        if pos.device.index == torch.cuda.current_device():
            return _run(pos, tri, options)
        with torch.cuda.device(pos.device):
            return _run(pos, tri, options)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        PROGRAM.give_up(pos.device, error)
        return eager.rasterize(pos, tri, options)


def _run(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize views in groups whose z-buffers fit the budget; usually that is all of them at once."""
    views = pos.shape[0]
    height, width = options.resolution
    device = pos.device
    pos, tri = _aligned(pos), _faces(tri)
    prior = None if options.depth_prior is None else options.depth_prior.contiguous()
    # Kernels count in 32 bits, and no grid is deeper than 65535 blocks.
    group = min(views, 65535, max(1, (2**31 - 1) // max(height * width, tri.shape[0])))
    if group * height * width * 8 > _FREE_WORDS:
        group = max(1, min(group, (options.budget or default_budget(device)) // (height * width * 8)))
    if group == views:
        options.on_progress(0.0)
        findices, barycentric, invalid = _launch(pos, tri, prior, options)
        return findices, barycentric, RasterInfo("kernels", "", "", str(device), invalid)
    findices = torch.empty((views, height, width), dtype=torch.int32, device=device)
    barycentric = torch.empty((views, height, width, 3), dtype=torch.float32, device=device)
    counts = []
    for start in range(0, views, group):
        options.on_progress(start / views)
        part = slice(start, start + group)
        results = findices[part], barycentric[part]
        counts.append(_launch(pos[part], tri, None if prior is None else prior[part], options, results)[2])
    return findices, barycentric, RasterInfo("kernels", "", "", str(device), torch.stack(counts).sum())


@dataclass(frozen=True)
class _Plan:
    """What follows from the sizes of a call alone."""

    template: bytes  # of _Params
    offsets: tuple[int, int, int]  # of the large triangles, their records and the regions in the working memory
    memory: int  # bytes of it


@lru_cache(maxsize=64)
def _plan(views: int, vertices: int, faces: int, height: int, width: int, tri_is_64: bool) -> _Plan:
    total, pixels = views * faces, views * height * width
    tiles = (height // _TILE + 1) * (width // _TILE + 1)
    records, regions = min(total, _RECORDS), min(total * tiles, _REGIONS)
    offsets, end = [], 0
    for size in (records * _INDEX, records * _RECORD, regions * _REGION):
        offsets.append(end)
        end += -(-size // 256) * 256
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
        small_box=_small_box(total),
        look_first=_look_first(total, pixels),
        record_capacity=records,
        region_capacity=regions,
    )
    return _Plan(bytes(params), tuple(offsets), end)


def _launch(
    pos: Tensor,
    tri: Tensor,
    prior: Tensor | None,
    options: RasterOptions,
    results: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rasterize views together; returns face indices, barycentrics (``results``, if given), and invalid faces."""
    views, vertices, _ = pos.shape
    height, width = options.resolution
    device, faces = pos.device, tri.shape[0]
    plan = _plan(views, vertices, faces, height, width, tri.dtype == torch.int64)
    stream = current_stream(device.index)
    buffer, kept = _z_buffer((device.index, stream), views * height * width, faces, device)
    work = torch.empty(plan.memory, dtype=torch.uint8, device=device)
    base = work.data_ptr()
    params = _Params.from_buffer_copy(plan.template)
    params.pos, params.tri = pos.data_ptr(), tri.data_ptr()
    params.prior = None if prior is None else prior.data_ptr()
    params.words = buffer.words.data_ptr() + 8 * _COUNTERS
    bits = buffer.face_bits
    params.epoch_high, params.epoch_mask = buffer.epoch << (bits - 1), -1 << (bits - 1)
    params.step_right, params.step_left, params.face_mask = 32 - bits, 1 << bits, (1 << bits) - 1
    params.large, params.records, params.queue = (base + offset for offset in plan.offsets)
    params.truncation = options.occlusion_truncation
    program, arguments = PROGRAM.on(device.index), parameters_of(params)
    program.launch("draw", -(-params.total // _THREADS), _THREADS, stream, arguments)
    program.launch("split", 12 * program.processors, _SPLIT, stream, arguments)
    program.launch("regions", 8 * program.processors, _THREADS, stream, arguments)
    # While the device is at work.
    invalid = torch.empty(1, dtype=torch.int32, device=device)
    findices, barycentric = results or (
        torch.empty((views, height, width), dtype=torch.int32, device=device),
        torch.empty((views, height, width, 3), dtype=torch.float32, device=device),
    )
    params.invalid, params.findices = invalid.data_ptr(), findices.data_ptr()
    params.barycentric = barycentric.data_ptr()
    program.launch("resolve", (-(-width // _THREADS), height, views), _THREADS, stream, arguments)
    if kept is not None:
        if len(_kept) >= _STREAMS:
            _kept.clear()
        _kept[kept] = buffer
    return findices, barycentric, invalid


@dataclass
class _ZBuffer:
    """Words, and the epoch of the call that uses them: see raster.cu."""

    words: Tensor  # [8 + pixels] int64
    epoch: int
    face_bits: int


_kept: dict[tuple[int, int], _ZBuffer] = {}  # by device and stream, whose order of work keeps calls apart
call_when_memory_is_short(_kept.clear)


def _z_buffer(
    key: tuple[int, int], pixels: int, faces: int, device: torch.device
) -> tuple[_ZBuffer, tuple[int, int] | None]:
    """A z-buffer for one call, and the key to keep it under once everything is launched, or None.

    Whoever uses a kept one takes it away, so that no other thread draws into it. A captured graph would draw in the
    same epoch each time it is replayed, and gets one that it clears itself.
    """
    if 8 * pixels > _KEPT_WORDS or faces > 1 << _FACE_BITS or torch.cuda.is_current_stream_capturing():
        return _ZBuffer(_cleared(pixels, device), 0, 32), None
    buffer = _kept.pop(key, None)
    if buffer is None or buffer.epoch == 0 or buffer.words.shape[0] < pixels + _COUNTERS:
        buffer = _ZBuffer(_cleared(pixels, device), _EPOCHS - 1, _FACE_BITS)
    buffer.epoch -= 1
    return buffer, key


def _cleared(pixels: int, device: torch.device) -> Tensor:
    return torch.full((pixels + _COUNTERS,), -1, dtype=torch.int64, device=device)


def _small_box(triangles: int) -> int:
    """Pixels of a box that one thread draws alone: few while the triangles alone do not fill the device."""
    if triangles >= 150_000:
        return 64
    return 16 if triangles >= 40_000 else 4


def _look_first(triangles: int, pixels: int) -> bool:
    """Whether a pixel gets so many fragments that most of them lose."""
    return triangles > 4 * pixels


def _aligned(pos: Tensor) -> Tensor:
    """Contiguous and on a 16-byte boundary, as the kernels read whole vertices."""
    pos = pos.contiguous()
    return pos if pos.data_ptr() % 16 == 0 else pos.clone()


def _faces(tri: Tensor) -> Tensor:
    return (tri if tri.dtype in (torch.int32, torch.int64) else tri.to(torch.int32)).contiguous()
