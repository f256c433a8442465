"""The bake as GPU kernels: one launch for a whole texture, where PyTorch's operators take some thousand.

``pictures.cu`` and ``kernels.cu`` have the kernels, ``view.cu`` what both are made of. They do what :mod:`.breaks`,
:mod:`.filter`, :mod:`.view` and :mod:`.operators` do, but sum in another order, so that both agree but for rounding.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...gpu.program import Program
from ...gpu.structs import struct
from ...pictures.stored import STORED
from ...runtime.devices import sent
from . import breaks, corners, cubic, operators, view
from . import filter as filtering
from .breaks import Breaks
from .view import Lens, Pictures

if TYPE_CHECKING:
    from ...rendering.face_ids import FaceIds
    from ..texels import Layout

VIEWS = 2**15 - 1
"""At most: which one weighs most is told in 16 bits."""

CHANNELS = 7
"""At most."""

_THREADS = 256  # of a block, in every kernel
_PACKED = 16  # pixels of a thread that packs
_AT_ONCE = 1 << 23  # pixels and texels that are given barycentrics together
_RADII = len(filtering.RADII)

_View = struct(
    "View",
    ("float", "right[3], up[3], toward[3], offset[3]", "as in Lens"),
    ("float", "stands[3]", "where a perspective camera stands"),
    ("float", "facing[3]", "the direction to any other"),
    ("float", "pixels, near, weight", ""),
    ("int", "perspective", ""),
)

_Pixels = struct(
    "Pixels",
    ("const int*", "findices", "[V, H, W]"),
    ("const float*", "barycentric", "[V, H, W, 3]"),
    ("const int*", "tri", "[faces, 3]"),
    ("const float*", "positions, normals", "[vertices, 3], [faces, 3]"),
    ("float*", "drawn, depth", "[V, H, W] as drawn, and with NOTHING on edges"),
    ("unsigned char*", "found", "[V, H, W] EDGE and ROUGH"),
    ("unsigned char*", "edge, rough", "[V, H, W] 0 or 1"),
    ("const float*", "masks", "[V, H, W] or null"),
    ("const View*", "view", "[V]"),
    ("u32", "height, width", ""),
    ("u32", "faces, vertices", ""),
)

_Near = struct(
    "Near",
    ("const unsigned char*", "marked", "[V, H, W] 0 or 1"),
    ("u16*", "far", "[V, H, W] pixels to the next marked one of the row"),
    ("float*", "fading", "[V, H, W]"),
    ("const float*", "masks", "[V, H, W] or null"),
    ("unsigned char*", "room", "[V, H, W]"),
    ("int", f"radius[{_RADII}]", "that calm tells apart"),
    ("u32", "pixels", "of all views"),
    ("u32", "height, width", ""),
    ("int", "reach", "how far to look"),
    ("int", "outside", "whether what is outside the picture is marked"),
    ("int", "radii", "how many"),
)

_Packing = struct(
    "Packing",
    ("const void*", "source", "colours, of a dtype"),
    ("const float*", "fading", ""),
    ("float*", "to", "[V, height, width, 4 * quads]"),
    ("int*", "lowest, highest", "[channels] least colour, and least negative one, as integers in this order"),
    ("u32", "pixels", "of all views, to write"),
    ("u32", "height, width", ""),
    ("u32", "from_height, from_width", ""),
    ("u32", "stride, fading_stride", "numbers from one pixel to the next"),
    ("u32", "channels, quads", "colours of a pixel, and how many times four floats"),
    ("int", "dtype", "of the source, its place in STORED"),
)

_Texels = struct(
    "Texels",
    ("const int*", "findices", "[texels], 0 where the layout covers nothing"),
    ("const float*", "weights", "[texels, 3]"),
    ("const int*", "tri", "[faces, 3]"),
    ("const float*", "positions, uvs, vertex_normals", "[vertices, 3], [vertices, 2], [vertices, 3]"),
    ("const float*", "face_normals", "[faces, 3]"),
    ("const float*", "color", "[pixels of all levels, 4 or 8] colours, and fading last"),
    ("const float*", "depth", "[V, H, W]"),
    ("const unsigned char*", "calm", "[V, H, W], null for no filter"),
    ("float*", "prints", "[views, faces, 4] along, across, shear; depth, negative where along is down"),
    ("int*", "largest", "[2] along and across, the bits of floats"),
    ("const int*", "lowest, highest", "[channels] as in Packing"),
    ("float*", "texture", "[texels, channels]"),
    ("float*", "confidence", "[texels]"),
    ("unsigned char*", "painted, covered", "[texels]"),
    ("short*", "heaviest", "[texels]"),
    (
        "i64",
        f"level_first[{view.LEVELS}], level_size[{view.LEVELS}], level_width[{view.LEVELS}]",
        "as in Levels",
    ),
    ("const View*", "view", "[V]"),
    ("u32", "texels, faces, vertices, views", ""),
    ("u32", "height, width", "of the pictures"),
    ("u32", "texture_height, texture_width", ""),
    ("u32", "channels, levels", ""),
    ("float", "widest", "pixels between the filter's zeros"),
    ("float", "limit, exponent", ""),
    ("int", "sharp", ""),
)

PROGRAM = Program(
    Path(__file__).with_name("kernels.cu"),
    ("measure", "edges", "join", "along", "fade", "calm", "pack4", "pack8", "halve", "prints", "bake4", "bake8"),
    "baking",
    structs=(_View, _Pixels, _Near, _Packing, _Texels),
    shared=(Path(__file__).with_name("view.cu"), Path(__file__).with_name("pictures.cu")),
    defines={
        "THREADS": _THREADS,
        "NOTHING": breaks.NOTHING,
        "BREAK": breaks.BREAK,
        "STEEPEST": view.STEEPEST,
        "NEARNESS": 1 / corners.APART**2,
        "LEAST_SHARE": view.LEAST_SHARE,
        "SLOPE": cubic.SLOPE,
        "WIDTH": filtering.WIDTH,
        "BROAD": filtering.BROAD,
        "MARGIN": float(filtering.MARGIN),
        "LEAST": filtering.LEAST,
        "RADII": _RADII,
        "WHOLE": filtering.WHOLE,
        "PAINTED": operators.PAINTED,
        "F16": STORED.index(torch.float16),
        "BF16": STORED.index(torch.bfloat16),
        "U8": STORED.index(torch.uint8),
    },
)


def _launcher(device: torch.device, params: ctypes.Structure) -> Callable[..., None]:
    """As :meth:`Program.launching`, for so many views together."""
    return PROGRAM.launching(_THREADS, device, params)


def suit(pixels: int, views: int, channels: int = 0, texels: int = 1) -> bool:
    """Whether the kernels can do this: what parameters have room for, and 32 bits can count. ``pixels`` are of all
    views."""
    return views <= VIEWS and channels <= CHANNELS and 0 < pixels < 2**31 and 0 < texels < 2**31


def _described(lenses: Sequence[Lens], device: torch.device, weights: Sequence[float] = ()) -> Tensor:
    """A ``View`` of view.cu for each lens, as bytes; they are as many as parameters of a kernel have no room for."""
    rows = (_View * len(lenses))()
    for lens, weight, row in zip(lenses, weights or [1.0] * len(lenses), rows, strict=True):
        for name, values in zip(("right", "up", "toward"), lens.axes, strict=True):
            getattr(row, name)[:] = values
        row.offset[:], row.stands[:], row.facing[:] = lens.offset, lens.stands, lens.facing
        row.pixels, row.near, row.weight, row.perspective = lens.pixels, lens.near, weight, lens.perspective
    return sent(torch.frombuffer(bytearray(rows), dtype=torch.uint8), device)


def find_breaks(shown: FaceIds, lenses: Sequence[Lens], masks: Tensor | None, border: int) -> Breaks:
    """As :func:`.breaks.find_breaks`."""
    mesh, device = shown.mesh, shown.findices.device
    views, height, width = shown.findices.shape
    found, edge, rough = (torch.empty((views, height, width), dtype=torch.uint8, device=device) for _ in range(3))
    drawn, depth, fading = (torch.empty_like(edge, dtype=torch.float32) for _ in range(3))
    masks = None if masks is None else masks.to(device, torch.float32).contiguous()
    params = _Pixels(height=height, width=width, faces=len(mesh.faces), vertices=len(mesh.vertices))
    given = {  # kept until all is launched
        "findices": shown.findices.contiguous(),
        "tri": mesh.faces.contiguous(),
        "positions": mesh.vertices.contiguous(),
        "normals": lenses[0].flat,
        "masks": masks,
    }
    params.point(device, **given, drawn=drawn, depth=depth, found=found, edge=edge, rough=rough)
    views_there = _described(lenses, device)
    params.view = views_there.data_ptr()
    _measure(shown, drawn, params)
    launch = _launcher(device, params)
    launch("edges", height * width, views)
    launch("join", height * width, views)
    far = torch.empty_like(edge, dtype=torch.int16)
    near = _Near(pixels=depth.numel(), height=height, width=width, reach=border)
    near.point(device, marked=edge, far=far, fading=fading, masks=masks)
    launch = _launcher(device, near)
    launch("along", depth.numel())
    launch("fade", depth.numel())
    return Breaks(depth, rough.view(torch.bool), fading)


def _measure(shown: FaceIds, drawn: Tensor, params: ctypes.Structure) -> None:
    """Distances of all views into ``drawn [V, H, W]``, with barycentrics of some views at a time."""
    views, height, width = drawn.shape
    together = max(1, _AT_ONCE // (height * width))
    some = type(params).from_buffer_copy(params)
    for first in range(0, views, together):
        part = slice(first, min(first + together, views))
        findices, weights = shown.findices[part].contiguous(), shown.barycentric(part).contiguous()
        some.point(drawn.device, findices=findices, barycentric=weights, drawn=drawn[part])
        some.view = params.view + first * ctypes.sizeof(_View)
        _launcher(drawn.device, some)("measure", height * width, part.stop - first)


def blend(
    layout: Layout,
    normals: Tensor,
    views: Sequence[tuple[Lens, float]],
    pictures: Pictures,
    exponent: float,
    limit: float,
    sharp: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As :func:`.operators.blend`."""
    mesh, device, (height, width) = layout.mesh, pictures.depth.device, layout.size
    lenses = [lens for lens, _ in views]
    flat = lenses[0].flat
    prints = torch.empty((len(views), len(mesh.faces), 4), dtype=torch.float32, device=device)
    largest = torch.zeros((2,), dtype=torch.float32, device=device)
    given = {  # kept until all is launched
        "tri": mesh.faces.contiguous(),
        "positions": mesh.vertices.contiguous(),
        "uvs": mesh.require_uvs().contiguous(),
        "vertex_normals": normals,
        "face_normals": flat,
    }
    params = _Texels(
        faces=len(mesh.faces),
        vertices=len(mesh.vertices),
        views=len(views),
        height=lenses[0].height,
        width=lenses[0].width,
        texture_height=height,
        texture_width=width,
        channels=pictures.channels,
        limit=limit,
        exponent=exponent,
        sharp=sharp,
    )
    params.point(device, **given, prints=prints, largest=largest.view(torch.int32))
    views_there = _described(lenses, device, [weight for _, weight in views])
    params.view = views_there.data_ptr()
    launch = _launcher(device, params)
    launch("prints", len(mesh.faces), len(views))
    longest, broadest = largest.tolist()
    extent = filtering.Extent.of(longest, broadest, lenses)
    quads = 1 if pictures.channels < 4 else 2
    (color, lowest, highest), calm = _packed(pictures, extent.levels, quads), _calm(pictures.rough, extent.radii)
    params.point(device, color=color, depth=pictures.depth, calm=calm, lowest=lowest, highest=highest)
    params.widest, params.levels, first = extent.taps / 4, len(extent.levels), 0
    for number, (rows, columns) in enumerate(extent.levels):
        params.level_first[number], params.level_size[number] = first, rows * columns
        params.level_width[number] = columns
        first += len(views) * rows * columns
    texture = color.new_empty((height, width, pictures.channels))
    painted, covered = (torch.empty((height, width), dtype=torch.bool, device=device) for _ in range(2))
    confidence = color.new_empty((height, width))
    heaviest = torch.empty((height, width), dtype=torch.int16, device=device)
    band = max(1, _AT_ONCE // width)
    for start in range(0, height, band):
        part = slice(start, min(start + band, height))
        found, weights = layout.findices[part].contiguous(), layout.weights(start * width, part.stop * width)
        params.point(device, findices=found, weights=weights, texture=texture[part], confidence=confidence[part])
        params.point(device, heaviest=heaviest[part], painted=painted[part], covered=covered[part])
        params.texels = found.numel()
        launch("bake4" if quads == 1 else "bake8", params.texels)
    return texture, painted, confidence, covered, heaviest


def _packed(pictures: Pictures, levels: Sequence[tuple[int, int]], quads: int) -> tuple[Tensor, Tensor, Tensor]:
    """``[R, 4 * quads]`` colours and fading of all levels, of such heights and widths each, one after the other; and
    the range of each channel, as the kernels want it."""
    given = pictures.color if pictures.color.stride(1) == 1 else pictures.color.contiguous()
    fading = given[:, pictures.channels] if pictures.fading is None else pictures.fading.contiguous()
    sizes = [len(pictures.rough) * height * width for height, width in levels]
    color = torch.empty((sum(sizes), 4 * quads), dtype=torch.float32, device=given.device)
    lowest, highest = torch.full((2, CHANNELS), 2**31 - 1, dtype=torch.int32, device=given.device)
    params = _Packing(stride=given.stride(0), fading_stride=fading.stride(0), dtype=STORED.index(given.dtype))
    params.point(given.device, to=color, lowest=lowest, highest=highest)
    params.source, params.fading = given.data_ptr(), fading.data_ptr()
    params.pixels, params.channels, params.quads = sizes[0], pictures.channels, quads
    launch = _launcher(given.device, params)
    launch("pack4" if quads == 1 else "pack8", -(-sizes[0] // _PACKED))
    for number, ((params.from_height, params.from_width), (params.height, params.width)) in enumerate(pairwise(levels)):
        params.source, params.pixels = params.to, sizes[number + 1]
        params.to += 16 * quads * sizes[number]
        launch("halve", params.pixels)
    return color, lowest, highest


def _calm(rough: Tensor, radii: Sequence[int]) -> Tensor:
    """As :func:`.filter.calm_around`."""
    room, far = torch.empty_like(rough, dtype=torch.uint8), torch.empty_like(rough, dtype=torch.int16)
    params = _Near(pixels=rough.numel(), outside=1)
    params.point(rough.device, marked=rough, far=far, room=room)
    params.height, params.width = rough.shape[1:]
    params.radius[: len(radii)], params.radii, params.reach = radii, len(radii), radii[-1]
    launch = _launcher(rough.device, params)
    launch("along", rough.numel())
    launch("calm", rough.numel())
    return room
