"""Pyramids of textures, the gradients that come back through them, and zeros for gradients, as GPU kernels.

``mipmaps.cu`` holds the kernels and their design. Nothing here waits for the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ....gpu.platforms import Launch
from ....gpu.program import Loaded, Program, current_stream, parameters_of
from ....gpu.structs import Struct, struct
from ...eager.diff import mipmaps as eager

MOST_LEVELS = 17
"""Of a pyramid: the longest side of a texture is 65536."""

MOST_DEEP = 65535
"""Blocks of a grid along z, and along y."""

_THREADS = 256  # of a block, in every kernel
_STEPS = 6  # in which a block's texels become one
_TILE = 1 << _STEPS  # their side

_Params = struct(
    "Params",
    ("float*", f"levels[{MOST_LEVELS}]", "[images, height, width, channels] each"),
    ("u64", "deep", "images * channels"),
    ("u32", "width, height, channels", "of the first"),
    ("u32", "count", "levels above it"),
)


def _self_test(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators, which round alike.

    Raises:
        RuntimeError: a value differs.
    """
    random = torch.Generator().manual_seed(0)

    def numbers(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float32, device="cpu").to(device)

    for shape, levels in (
        ((2, 256, 128, 3), 8),
        ((1, 1, 32, 2), 5),
        ((1, 6, 12, 20, 1), 2),
        ((1, 6, 16, 16, 4), 3),
        ((1, 320, 64, 8), 6),
    ):
        tex = numbers(shape)
        made, expected = _make(tex, levels), eager.mipmaps(tex, levels)
        gradients = [numbers(each.shape) for each in (tex, *made)]
        wanted = eager.mipmaps_backward([each.clone() for each in gradients])
        pairs = [*zip(made, expected, strict=True), (_gather(gradients), wanted)]
        pairs += [(zeros, torch.zeros_like(zeros)) for zeros in zeros_like_levels(tex, levels)]
        wrong = sum(int((one != other).sum()) for one, other in pairs)
        if wrong:
            raise RuntimeError(f"self-test: {wrong} values wrong with {list(shape)}")


PROGRAM = Program(
    Path(__file__).with_name("mipmaps.cu"),
    (*(f"{kind}_{number}" for kind in ("halve", "spread") for number in range(1, 5)), "clear"),
    "mipmaps",
    structs=(_Params,),
    defines={"THREADS": _THREADS, "TILE": _TILE, "STEPS": _STEPS},
    self_test=lambda device: _self_test(device),
)


def mipmaps(tex: Tensor, levels: int) -> list[Tensor]:
    """:class:`~rasterizer.backends.diff_interface.Mipmaps`; falls back to PyTorch's operators for what the kernels do
    not suit, and when a launch fails."""
    if not levels or _unsuited(tex):
        return eager.mipmaps(tex, levels)
    return PROGRAM.attempt(tex.device, _make, eager.mipmaps, tex, levels)


def mipmaps_backward(gradients: list[Tensor]) -> Tensor:
    """:class:`~rasterizer.backends.diff_interface.MipmapsBackward`; falls back likewise."""
    if len(gradients) == 1 or _unsuited(gradients[0]):
        return eager.mipmaps_backward(gradients)
    return PROGRAM.attempt(gradients[0].device, _gather, eager.mipmaps_backward, gradients)


def _unsuited(tex: Tensor) -> bool:
    """Whether this is beyond the kernels, whose grids have their limits and are not empty."""
    *batch, _, _, channels = tex.shape
    return not tex.numel() or math.prod(batch) * channels > MOST_DEEP


@dataclass(frozen=True, eq=False)
class _Pyramid:
    """What follows from the shape of a texture and the number of levels above it.

    Attributes:
        levels: shape, strides and offset of those above level 0 in one buffer, each on 16 bytes.
        floats: of that buffer.
        passes: in which they are made: first level, parameters, launcher.
        params: template of the parameters of the others.
        spread, clear: their launchers.
    """

    levels: list[tuple[tuple[int, ...], tuple[int, ...], int]]
    floats: int
    passes: list[tuple[int, Struct, Launch]]
    params: Struct
    spread: Launch
    clear: Launch

    def addresses(self, base: Tensor, buffer: Tensor) -> list[int]:
        """Of all levels, those above level 0 in one buffer: one allocation takes a tenth of the time of ten."""
        start = buffer.data_ptr()
        return [base.data_ptr(), *(start + 4 * offset for _, _, offset in self.levels)]


@lru_cache(maxsize=64)
def _pyramid(program: Loaded, shape: tuple[int, ...], levels: int) -> _Pyramid:
    *batch, height, width, channels = shape
    images = math.prod(batch)
    together = next(number for number in (4, 3, 2, 1) if channels % number == 0)
    sides = [(max(1, height >> level), max(1, width >> level)) for level in range(levels + 1)]

    def params(level: int, count: int) -> Struct:
        rows, columns = sides[level]
        return _Params(width=columns, height=rows, channels=channels, count=count, deep=images * channels)

    def launcher(kind: str, level: int) -> Launch:
        rows, columns = (-(-side // _TILE) for side in sides[level])
        blocks = columns, rows, images * (channels // together)
        return program.launcher(f"{kind}_{together}", blocks, _THREADS)

    floats = images * height * width * channels
    places, end = [], 0
    for rows, columns in sides[1:]:
        shape = *batch, rows, columns, channels
        strides = tuple(math.prod(shape[place + 1 :]) for place in range(len(shape)))
        places.append((shape, strides, end))
        end += -(-math.prod(shape) // 4) * 4
    return _Pyramid(
        levels=places,
        floats=end,
        passes=[
            (first, params(first, min(_STEPS, levels - first)), launcher("halve", first))
            for first in range(0, levels, _STEPS)
        ],
        params=params(0, levels),
        spread=launcher("spread", 0),
        clear=program.launcher(
            "clear", (min(8 * program.processors, -(-floats // (16 * _THREADS))), levels + 1, 1), _THREADS
        ),
    )


def _launch(launch: Launch, template: Struct, levels: list[int], number: int) -> None:
    params = _Params.from_buffer_copy(template)
    params.levels[: len(levels)] = levels
    launch(current_stream(number), parameters_of(params))


def _make(tex: Tensor, levels: int) -> list[Tensor]:
    buffer, _ = make_pyramid(tex, levels)
    plan = _pyramid(PROGRAM.on(tex.device.index), tex.shape, levels)
    return [buffer.as_strided(*place) for place in plan.levels]


def make_pyramid(tex: Tensor, levels: int) -> tuple[Tensor, list[int]]:
    """Levels 1 to ``levels`` of a texture in one buffer, and the addresses of all levels from 0 on.

    Its device must be the current one, and the program be ready there. A launch may fail.
    """
    number = tex.device.index
    plan = _pyramid(PROGRAM.on(number), tex.shape, levels)
    buffer = tex.new_empty(plan.floats)
    addresses = plan.addresses(tex, buffer)
    for first, params, launch in plan.passes:
        _launch(launch, params, addresses[first : first + _STEPS + 1], number)
    return buffer, addresses


def addresses_of_pyramid(tex: Tensor, levels: int, buffer: object) -> list[int] | None:
    """Addresses of all levels, if the buffer is one that :func:`make_pyramid` has made of such a texture."""
    plan = _pyramid(PROGRAM.on(tex.device.index), tex.shape, levels)
    if not isinstance(buffer, Tensor) or buffer.shape != (plan.floats,):
        return None
    return plan.addresses(tex, buffer)


def _gather(gradients: list[Tensor]) -> Tensor:
    base = gradients[0]
    add_levels(base, len(gradients) - 1, [each.data_ptr() for each in gradients])
    return base


def add_levels(base: Tensor, levels: int, addresses: list[int]) -> None:
    """Add the gradients of levels 1 to ``levels`` to that of level 0, which is ``base``, given all addresses."""
    number = base.device.index
    plan = _pyramid(PROGRAM.on(number), base.shape, levels)
    _launch(plan.spread, plan.params, addresses, number)


def zero_pyramid(tex: Tensor, levels: int) -> tuple[Tensor, Tensor, list[int]]:
    """Zeros shaped like a texture, a buffer of zeros for ``levels`` more, and the addresses of all.

    Its device must be the current one, and the program be ready there. A launch may fail.
    """
    number = tex.device.index
    plan = _pyramid(PROGRAM.on(number), tex.shape, levels)
    base, buffer = torch.empty_like(tex), tex.new_empty(plan.floats)
    addresses = plan.addresses(base, buffer)
    _launch(plan.clear, plan.params, addresses, number)
    return base, buffer, addresses


def zeros_like_levels(tex: Tensor, levels: int) -> list[Tensor]:
    """Zeros shaped like ``tex`` and so many levels above it, see :func:`zero_pyramid`; each with memory of its own, as
    operators must not return views of one another."""
    number = tex.device.index
    plan = _pyramid(PROGRAM.on(number), tex.shape, levels)
    made = [torch.empty_like(tex), *(tex.new_empty(shape) for shape, _, _ in plan.levels)]
    _launch(plan.clear, plan.params, [level.data_ptr() for level in made], number)
    return made
