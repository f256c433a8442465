"""GPU kernels compiled on the user's machine by the run-time compiler that PyTorch brings (NVRTC or hipRTC).

``raster.cu`` holds the kernels and their design. Everything stays on the current stream and nothing here waits for the
device. Before first use on a device the kernels are compared with the eager path; on any failure the eager path is used
and one log line says why.
"""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ... import scenes
from ...memory import default_budget, is_out_of_memory
from ...raster_types import RasterInfo, RasterOptions
from .. import eager
from .cache import cached
from .platforms import Cuda, Hip, Platform

log = logging.getLogger("torch_rasterizer")

SOURCE = Path(__file__).with_name("raster.cu")

KERNELS = ("prepare", "draw", "split", "expand", "regions", "resolve")
"""Names of the kernels, in the order they run."""

_THREADS = 256
_VERTICES = 1 << 28  # bytes of screen-space vertices that are kept; beyond, vertices are mapped wherever they are used
_FREE_WORDS = 1 << 28  # a z-buffer up to this size is made without asking how much memory is free
_TILE = 16  # as in raster.cu
_COUNTERS = 32  # bytes
_RECORD, _REGION, _INDEX = 64, 12, 4  # bytes of an entry of each queue, as in raster.cu

# Entries of each queue at most. Full queues cost time, not pixels.
_LARGER = 1 << 22
_RECORDS = 1 << 20
_REGIONS = 1 << 21
_HUGES = 1 << 16


class _Params(ctypes.Structure):
    """``struct Params`` of raster.cu, field for field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("pos", "screen", "tri", "prior", "words", "counters", "larger")),
        *((name, ctypes.c_void_p) for name in ("records", "queue", "huge", "invalid", "findices", "barycentric")),
        *((name, ctypes.c_uint64) for name in ("corners",)),
        *((name, ctypes.c_uint32) for name in ("total", "pixels", "faces", "vertices")),
        *((name, ctypes.c_int32) for name in ("width", "height", "tri_is_64", "small_box", "look_first")),
        *(
            (name, ctypes.c_uint32)
            for name in ("larger_capacity", "record_capacity", "region_capacity", "huge_capacity")
        ),
        ("truncation", ctypes.c_float),
    ]


@dataclass(frozen=True)
class _Module:
    """The kernels on one device."""

    platform: Platform
    prepare: ctypes.c_void_p
    draw: ctypes.c_void_p
    split: ctypes.c_void_p
    expand: ctypes.c_void_p
    regions: ctypes.c_void_p
    resolve: ctypes.c_void_p
    processors: int


_modules: dict[int, _Module] = {}
_reasons: dict[int, str] = {}


def reason_against(device: torch.device) -> str:
    """Why the kernels cannot be used on ``device``; empty if they can. The first call compiles and tests them."""
    if device.type != "cuda":
        return f"for CUDA and ROCm devices, not {device.type}"
    number = device.index if device.index is not None else torch.cuda.current_device()
    if number not in _reasons:
        _reasons[number] = _prepare(torch.device("cuda", number))
    return _reasons[number]


@lru_cache(maxsize=1)
def platform() -> Platform:
    """The GPU platform of this PyTorch.

    Raises:
        OSError: its run-time compiler was not found.
    """
    return Hip() if torch.version.hip else Cuda()


def compile_kernels(target: Platform, architecture: str) -> bytes:
    """Machine code of the kernels, from the cache where it is there."""
    source, options = SOURCE.read_text(encoding="utf-8"), target.options(architecture)
    return cached([target.version(), *options, source], lambda: target.compile(source, options))


def _prepare(device: torch.device) -> str:
    """Compile, load and test on ``device``; returns what failed, or an empty string."""
    try:
        with torch.cuda.device(device):
            torch.empty(1, device=device)  # the driver needs PyTorch's context to load into
            target = platform()
            code = target.load(compile_kernels(target, target.architecture(device)))
            kernels = {name: target.function(code, name) for name in KERNELS}
            processors = torch.cuda.get_device_properties(device).multi_processor_count
            _modules[device.index] = _Module(platform=target, processors=processors, **kernels)
            _self_test(device)
    except Exception as error:  # drivers and compilers fail in their own ways; none may cost the user the rasterizer
        _modules.pop(device.index, None)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        log.warning("Torch Rasterizer: no GPU kernels on %s, using PyTorch operators instead (%s)", device, reason)
        return reason
    return ""


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
        found, got, _ = _run(_modules[device.index], clip, faces, options)
        wrong = int((found != want).sum())
        if wrong or not torch.allclose(got, weights, rtol=0, atol=2e-7, equal_nan=True):
            error = float((got - weights).abs().max())
            raise RuntimeError(
                f"self-test '{name}': {wrong} of {want.numel()} pixels wrong, weights off by {error:.1e}"
            )


def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """As :func:`rasterizer.backends.eager.rasterize`; falls back to it when a launch fails."""
    number = pos.device.index
    try:
        if number == torch.cuda.current_device():
            return _run(_modules[number], pos, tri, options)
        with torch.cuda.device(number):
            return _run(_modules[number], pos, tri, options)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        _reasons[number] = f"{type(error).__name__}: {error}"
        log.warning("Torch Rasterizer: GPU kernels failed on %s, using PyTorch operators (%s)", pos.device, error)
        return eager.rasterize(pos, tri, options)


def _run(module: _Module, pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize views in groups whose z-buffers fit the budget; usually that is all of them at once."""
    views, vertices, _ = pos.shape
    height, width = options.resolution
    device = pos.device
    pos, tri = _aligned(pos), _faces(tri)
    prior = None if options.depth_prior is None else options.depth_prior.contiguous()
    findices = torch.empty((views, height, width), dtype=torch.int32, device=device)
    barycentric = torch.empty((views, height, width, 3), dtype=torch.float32, device=device)
    invalid = torch.empty(1, dtype=torch.int32, device=device)
    group = min(views, max(1, (2**31 - 1) // max(height * width, tri.shape[0])))  # kernels count in 32 bits
    if group * height * width * 8 > _FREE_WORDS:
        group = max(1, min(group, (options.budget or default_budget(device)) // (height * width * 8)))
    counts = []
    for start in range(0, views, group):
        options.on_progress(start / views)
        stop = min(start + group, views)
        _launch(
            module,
            pos[start:stop],
            tri,
            None if prior is None else prior[start:stop],
            options.occlusion_truncation,
            (findices[start:stop], barycentric[start:stop], invalid),
        )
        if stop < views:
            counts.append(invalid.clone())
    total = torch.stack((*counts, invalid)).sum() if counts else invalid
    return findices, barycentric, RasterInfo("kernels", "", "", str(device), total)


def _launch(
    module: _Module,
    pos: Tensor,
    tri: Tensor,
    prior: Tensor | None,
    truncation: float,
    outputs: tuple[Tensor, Tensor, Tensor],
) -> None:
    findices, barycentric, invalid = outputs
    views, height, width = findices.shape
    faces, vertices = tri.shape[0], pos.shape[1]
    total, pixels = views * faces, findices.numel()
    tiles = (height // _TILE + 1) * (width // _TILE + 1)
    records, regions, huge = min(total, _RECORDS), min(total * tiles, _REGIONS), min(total, _HUGES)
    larger = min(total, _LARGER)
    areas = {
        "counters": _COUNTERS,
        "words": 8 * pixels,
        "records": records * _RECORD,
        "queue": regions * _REGION,
        "huge": huge * _INDEX,
        "screen": 16 * views * vertices,
        "larger": larger * _INDEX,
    }
    if areas["screen"] > _VERTICES:
        del areas["screen"]
    offsets, end = {}, 0
    for name, size in areas.items():
        offsets[name] = end
        end += (size + 255) // 256 * 256
    work = torch.empty(end, dtype=torch.uint8, device=pos.device)
    base = work.data_ptr()
    params = _Params(
        pos=pos.data_ptr(),
        tri=tri.data_ptr(),
        prior=None if prior is None else prior.data_ptr(),
        **{name: base + offset for name, offset in offsets.items()},
        invalid=invalid.data_ptr(),
        findices=findices.data_ptr(),
        barycentric=barycentric.data_ptr(),
        total=total,
        pixels=pixels,
        corners=views * vertices,
        faces=faces,
        vertices=vertices,
        width=width,
        height=height,
        tri_is_64=tri.dtype == torch.int64,
        small_box=_small_box(total),
        look_first=_look_first(total, pixels),
        larger_capacity=larger,
        record_capacity=records,
        region_capacity=regions,
        huge_capacity=huge,
        truncation=truncation,
    )
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(params))
    stream = torch.cuda.current_stream(pos.device).cuda_stream
    target = module.platform
    target.launch(module.prepare, 8 * module.processors, _THREADS, stream, arguments)
    target.launch(module.draw, -(-total // _THREADS), _THREADS, stream, arguments)
    target.launch(module.split, module.processors, _THREADS, stream, arguments)
    target.launch(module.expand, 2 * module.processors, _THREADS, stream, arguments)
    target.launch(module.regions, 8 * module.processors, _THREADS, stream, arguments)
    target.launch(module.resolve, -(-pixels // _THREADS), _THREADS, stream, arguments)


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
