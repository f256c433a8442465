"""Textures looked up with filters, over mip levels, in the plane or on a cube."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from ..contract.types import Boundary, Filter
from ..ops import diff as ops
from . import checks
from .errors import ArgumentError, KindError, ModeError
from .modes import undisturbed

FILTERS = ("auto", "nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES = ("wrap", "clamp", "zero", "cube")
MAX_SIDE = 65536
"""Of a texture, in texels."""


class Mipmaps:
    """Mip levels of a texture, made once for many look-ups; of :func:`texture_construct_mip`."""

    def __init__(self, tex: Tensor, levels: int, cube: bool) -> None:
        self._shape, self._cube = tex.shape, cube
        self._levels = ops.construct_mipmaps(tex, levels)

    def levels_for(self, tex: Tensor, cube: bool) -> list[Tensor]:
        """Levels 1 to n, if they are of such a texture.

        Raises:
            ArgumentError: they are of one of another shape or kind.
        """
        if tex.shape != self._shape or cube != self._cube:
            kinds = "cube map" if self._cube else "texture", "cube map" if cube else "texture"
            raise ArgumentError(
                f"mip: was made of a {kinds[0]} {list(self._shape)}, expected of a {kinds[1]} {list(tex.shape)}"
            )
        return self._levels


@undisturbed
def texture_construct_mip(tex: Tensor, max_mip_level: int | None = None, cube_mode: bool = False) -> Mipmaps:
    """Make the mip levels of a texture beforehand, for textures that are looked up more often than they change.

    Args:
        tex: as in :func:`texture`.
        max_mip_level: the last level to make; None goes on to a single texel.
        cube_mode: ``tex`` is a cube map.

    Returns:
        :class:`Mipmaps`, with the values of ``tex`` at this moment; gradients of look-ups reach ``tex`` through them.
    """
    texels = _texels(tex, bool(cube_mode))
    return Mipmaps(texels, _levels_of(texels, max_mip_level), bool(cube_mode))


@undisturbed
def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    mip_level_bias: Tensor | None = None,
    mip: Mipmaps | list[Tensor] | None = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:
    """Look up a texture at every pixel.

    Texel ``(row i, column j)`` of level 0 has its centre at ``s = (j + 0.5) / Wt``, ``t = (i + 0.5) / Ht``. Cube maps
    follow OpenGL: faces +x, -x, +y, -y, +z, -z.

    Args:
        tex: ``[1 or B, Ht, Wt, C]``, or ``[1 or B, 6, S, S, C]`` for cube maps; floating-point, computed in float32.
        uv: ``[B, H, W, 2]`` coordinates (s, t), or ``[B, H, W, 3]`` directions of any length for cube maps.
        uv_da: ``[B, H, W, 4]`` ds/dX, ds/dY, dt/dX, dt/dY, or ``[B, H, W, 6]`` for cube maps: what the mip level
            follows from.
        mip_level_bias: ``[B, H, W]``, added to the level; without ``uv_da`` it is the level.
        mip: levels made by :func:`texture_construct_mip`; or a list of tensors, levels 1 to n, each half the size of
            the one before, which get gradients of their own.
        filter_mode: ``nearest``, ``linear``, ``linear-mipmap-nearest``, ``linear-mipmap-linear``, or ``auto``: the
            last with ``uv_da`` or ``mip_level_bias``, else ``linear``.
        boundary_mode: ``wrap``, ``clamp``, ``zero`` or ``cube``.
        max_mip_level: the last level to use; None goes on to a single texel, for which every side must halve evenly.

    Returns:
        ``[B, H, W, C]``, differentiable in ``tex`` and levels given as a list; but for ``nearest`` in ``uv``; and for
        ``linear-mipmap-linear`` in ``uv_da`` and ``mip_level_bias``. Where a coordinate is NaN or infinite the result
        is some colour, NaN or 0.

    Raises:
        ArgumentError, KindError: as in :func:`~rasterizer.diff.rasterize`.
        ModeError: no such filter or boundary. It is a ValueError and a KeyError.
    """
    filter_mode = _mode(filter_mode, FILTERS, "filter_mode")
    boundary = _mode(boundary_mode, BOUNDARIES, "boundary_mode")
    cube = boundary == "cube"
    texels = _texels(tex, cube)
    places = checks.real(uv, "uv", "B H W 3" if cube else "B H W 2")
    checks.on(texels.device, places, "uv")
    images = places.shape[0]
    if texels.shape[0] not in (1, images):
        raise ArgumentError(f"tex: is a batch of {texels.shape[0]}, expected 1 or the {images} images of uv")
    if filter_mode == "auto":
        filter_mode = "linear" if uv_da is None and mip_level_bias is None else "linear-mipmap-linear"
    _check_limit(max_mip_level)
    if filter_mode in ("nearest", "linear") or max_mip_level == 0:
        plain = filter_mode if filter_mode == "nearest" else "linear"
        return ops.texture(texels, places, None, None, (), True, 0, cast(Filter, plain), cast(Boundary, boundary))
    if uv_da is None and mip_level_bias is None:
        raise KindError(f"filter_mode: {filter_mode!r} needs uv_da or mip_level_bias, which are None")
    derivatives = None if uv_da is None else checks.real(uv_da, "uv_da", "B H W 6" if cube else "B H W 4")
    bias = None if mip_level_bias is None else checks.real(mip_level_bias, "mip_level_bias", "B H W")
    for value, name in ((derivatives, "uv_da"), (bias, "mip_level_bias")):
        if value is not None:
            checks.on(texels.device, value, name)
            if value.shape[:3] != places.shape[:3]:
                raise ArgumentError(f"{name}: shape is {list(value.shape)}, expected {list(places.shape[:3])} in front")
    mips, pull, levels = _mips(mip, texels, cube, max_mip_level)
    if not (mips or levels):
        filter_mode = "linear"
    return ops.texture(
        texels, places, derivatives, bias, mips, pull, levels, cast(Filter, filter_mode), cast(Boundary, boundary)
    )


def _mips(mip: Any, tex: Tensor, cube: bool, limit: int | None) -> tuple[Sequence[Tensor], bool, int]:
    """Levels that are given, whether they are the texture's own, and how many to make where none are given."""
    if mip is None:
        return (), True, _levels_of(tex, limit)
    if isinstance(mip, Mipmaps):
        return mip.levels_for(tex, cube), True, 0
    if not isinstance(mip, list):
        raise KindError(f"mip: is {type(mip).__name__}, expected a list of tensors or what texture_construct_mip gives")
    if not mip:
        raise ArgumentError("mip: is an empty list, expected at least one level; None makes levels of tex")
    *front, height, width, channels = tex.shape
    levels = []
    for number, level in enumerate(mip, 1):
        before = max(height, width) >> (number - 1)
        size = [*front, max(1, height >> number), max(1, width >> number), channels]
        values = checks.real(level, f"mip[{number - 1}]", "B 6 S S C" if cube else "B H W C")
        checks.on(tex.device, values, f"mip[{number - 1}]")
        if before <= 1 or list(values.shape) != size:
            expected = f"shape {size}" if before > 1 else "no level after that of a single texel"
            raise ArgumentError(f"mip[{number - 1}]: shape is {list(values.shape)}, expected {expected}")
        levels.append(values)
    return levels, False, 0


def _texels(tex: Any, cube: bool) -> Tensor:
    values = checks.real(tex, "tex", "B 6 S S C" if cube else "B H W C")
    height, width = values.shape[-3:-1]
    if cube and height != width:
        raise ArgumentError(f"tex: faces are {height} x {width} texels, expected squares")
    if max(height, width) > MAX_SIDE:
        raise ArgumentError(f"tex: is {height} x {width} texels, expected at most {MAX_SIDE} a side")
    return values


def _levels_of(tex: Tensor, limit: int | None) -> int:
    """Levels that a texture has after level 0, ``limit`` at most."""
    _check_limit(limit)
    height, width = tex.shape[-3:-1]
    level = 0
    while max(height, width) > 1 and (limit is None or level < limit):
        if any(side > 1 and side % 2 for side in (height, width)):
            raise ArgumentError(
                f"tex: level {level} is {height} x {width} texels, which cannot be halved; expected sides that halve "
                f"evenly to 1, or max_mip_level={level}"
            )
        height, width, level = max(1, height // 2), max(1, width // 2), level + 1
    return level


def _check_limit(limit: Any) -> None:
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise KindError(f"max_mip_level: is {limit!r}, expected a whole number of at least 0, or None")


def _mode(value: Any, choices: tuple[str, ...], name: str) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ModeError(f"{name}: is {value!r}, expected one of {', '.join(choices)}")
    return value
