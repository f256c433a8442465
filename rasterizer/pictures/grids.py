"""Many views on one picture, as painters like them, and back: a grid of equal cells, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..contract.checks import as_tensor, check_integer
from ..runtime.devices import free_memory
from ..runtime.memory import TooLargeError

LARGEST = 16384
"""Pixels a side of a cell or a grid, at most."""

MOST_VIEWS = 1024
"""Cells of one grid, at most."""

_ALIKE = 0.01  # relative difference in shape that rounding to pixels makes
_BYTES = 9  # of a number of a view: it is copied once, and a machine whose last memory is taken raises no error
_STRETCHED = 0.1  # and that of painters who round to the sizes they know, or have only a few


@dataclass(frozen=True)
class Grid:
    """How views lie on one picture: row by row, ``columns`` of them side by side, with ``padding`` pixels between cells
    and around all of them.

    Attributes:
        views: how many; cells after the last one are empty.
        columns: cells side by side.
        padding: pixels.
        cell: height and width of a cell.
        view: height and width of the views before they were put there.
    """

    views: int
    columns: int
    padding: int
    cell: tuple[int, int]
    view: tuple[int, int]

    @classmethod
    def of(cls, views: int, size: tuple[int, int], columns: int = 0, padding: int = 0, side: int = 0) -> Grid:
        """The grid for ``views`` pictures of ``size`` (height, width).

        Args:
            views: how many.
            size: of each.
            columns: side by side; 0 makes the grid as square as it can be, rather wide than high.
            padding: pixels between cells and around them.
            side: pixels of a cell's longer side; 0 keeps the views' size.

        Raises:
            ValueError: a number is out of range, or the grid is larger than :data:`LARGEST`; the text names it.
        """
        views = check_integer(views, 1, MOST_VIEWS, "views")
        columns = check_integer(columns, 0, MOST_VIEWS, "columns")
        padding = check_integer(padding, 0, LARGEST, "padding")
        side = check_integer(side, 0, LARGEST, "size")
        columns = columns or _squarest(views, *size)
        cell = _scaled(size, side) if side else size
        grid = cls(views, min(columns, views), padding, cell, size)
        if max(grid.size) > LARGEST:
            raise ValueError(
                f"columns: {views} cells of {cell[1]} x {cell[0]} in {grid.columns} columns make a picture of "
                f"{grid.size[1]} x {grid.size[0]}, expected at most {LARGEST} a side; lower size or change columns"
            )
        return grid

    @classmethod
    def within(cls, size: tuple[int, int], views: int, columns: int = 0, padding: int = 0) -> Grid:
        """How ``views`` lie on a picture of ``size`` (height, width) that somebody else has made.

        Cells are what is left of the picture beside the padding; ``columns`` 0 takes the number that makes them nearest
        to squares.

        Raises:
            ValueError: a number is out of range, or nothing is left; the text names it.
        """
        views = check_integer(views, 1, MOST_VIEWS, "views")
        columns = check_integer(columns, 0, MOST_VIEWS, "columns")
        padding = check_integer(padding, 0, LARGEST, "padding")
        height, width = size
        columns = min(columns or _squarest(views, width, height), views)
        rows = -(-views // columns)
        cell = (height - padding) // rows - padding, (width - padding) // columns - padding
        if min(cell) < 1:
            raise ValueError(
                f"grid: {views} views in {columns} columns with {padding} pixels between them leave nothing of a "
                f"picture of {width} x {height}; check views, columns and padding"
            )
        return cls(views, columns, padding, cell, cell)

    def resized(self, side: int) -> tuple[int, int]:
        """Height and width of a view whose longer side is ``side``, in the shape that views had before."""
        return _scaled(self.view, side)

    def stretch(self, size: tuple[int, int]) -> tuple[float, float]:
        """By how much a picture of ``size`` (height, width) is higher and wider than the grid's own.

        Raises:
            ValueError: its shape is another; who cuts it would cut through views.
        """
        height, width = self.size
        down, across = size[0] / height, size[1] / width
        if abs(math.log(down / across)) > _STRETCHED:
            raise ValueError(
                f"grid: is {size[1]} x {size[0]}, but its views lie on a picture of {width} x {height}; expected that "
                "size or a multiple, uncropped: give the painter the width and height of Views to Grid"
            )
        return down, across

    def cut_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width that views cut from a picture of ``size`` have if nobody says: none of their pixels is lost,
        neither of those on the picture nor of those before.

        Raises:
            ValueError: as for :meth:`stretch`.
        """
        down, across = self.stretch(size)
        return self.resized(max(*self.view, round(self.cell[0] * down), round(self.cell[1] * across)))

    @property
    def rows(self) -> int:
        """Cells above one another."""
        return -(-self.views // self.columns)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole picture."""
        height, width = self.cell
        return (
            self.rows * (height + self.padding) + self.padding,
            self.columns * (width + self.padding) + self.padding,
        )

    def corner(self, number: int) -> tuple[int, int]:
        """Row and column of a cell's first pixel."""
        row, column = divmod(number, self.columns)
        height, width = self.cell
        return (
            self.padding + row * (height + self.padding),
            self.padding + column * (width + self.padding),
        )


def _scaled(size: tuple[int, int], side: int) -> tuple[int, int]:
    """``size`` with ``side`` as the longer one."""
    longer = max(size)
    return max(1, round(size[0] * side / longer)), max(1, round(size[1] * side / longer))


def _squarest(views: int, height: int, width: int) -> int:
    """The number of columns with which a grid is nearest to a square, and of those the one with the fewest empty
    cells."""

    def badness(columns: int) -> tuple[float, int, int]:
        rows = -(-views // columns)
        return (round(abs(math.log(columns * width / (rows * height))), 6), rows * columns - views, -columns)

    return min(range(1, views + 1), key=badness)


def join_views(
    images: Tensor,
    grid: Grid,
    background: tuple[float, ...] = (1.0, 1.0, 1.0),
    on_progress: Callable[[float], None] | None = None,
) -> Tensor:
    """One picture ``[H, W, C]`` of ``images [V, h, w, C]``.

    Args:
        images: float32, ``grid.views`` of them.
        grid: how they shall lie.
        background: a value a channel, or one for all.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.
    """
    images = as_tensor(images, "images")
    if images.ndim != 4 or len(images) != grid.views:
        raise ValueError(f"images: found {list(images.shape)}, expected {grid.views} of them, [V, H, W, C]")
    fill = images.new_tensor(background).expand(images.shape[3])
    whole = fill.repeat(*grid.size, 1)
    height, width = grid.cell
    for number, image in enumerate(images):
        top, left = grid.corner(number)
        whole[top : top + height, left : left + width] = resample(image, (0.0, 0.0, *image.shape[:2]), grid.cell)
        if on_progress:
            on_progress((number + 1) / grid.views)
    return whole


def split_views(
    picture: Tensor,
    grid: Grid,
    size: tuple[int, int] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Tensor:
    """The views ``[V, h, w, C]`` on one ``picture [H, W, C]``, which may have another size than the grid's own.

    A painter may have enlarged it, or rounded its size to what it can paint: places are taken in proportion, to the
    fraction of a pixel. A picture of the grid's own size comes back bit for bit where ``size`` is that of a cell.

    Args:
        picture: of all views, float32.
        grid: how they lie.
        size: height and width that the views should have; without, the views' own shape, as large as the picture or the
            views before have it, whichever is more.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: the picture has another shape than the grid.
    """
    picture = as_tensor(picture, "grid")
    if picture.ndim != 3:
        raise ValueError(f"grid: found {list(picture.shape)}, expected one picture [H, W, C]")
    down, across = grid.stretch((picture.shape[0], picture.shape[1]))
    height, width = grid.cell
    size = size or grid.cut_size((picture.shape[0], picture.shape[1]))
    check_room(grid.views, size, picture.shape[2], picture.device)
    views = picture.new_empty(grid.views, *size, picture.shape[2])
    for number in range(grid.views):
        top, left = grid.corner(number)
        box = (top * down, left * across, (top + height) * down, (left + width) * across)
        views[number] = resample(picture, box, size)
        if on_progress:
            on_progress((number + 1) / grid.views)
    return views


def check_room(views: int, size: tuple[int, int], channels: int, device: torch.device) -> None:
    """Refuse to cut what would not fit into memory.

    Args:
        views: how many are cut.
        size: height and width of each.
        channels: of all of their pictures and masks.
        device: where they will lie.

    Raises:
        TooLargeError: with how much is needed, how much is free, and the size that would fit.
    """
    free = free_memory(device)
    needed = views * size[0] * size[1] * channels * _BYTES
    if needed > free:
        fits = int(max(size) * math.sqrt(free / needed)) // 8 * 8
        raise TooLargeError(
            f"size: {views} views of {size[1]} x {size[0]} need {needed / 2**30:.1f} GiB of memory on {device}, of "
            f"which {free / 2**30:.1f} GiB are free; expected {fits} or less"
        )


def gather_pictures(pictures: Mapping[int, Tensor], prefix: str = "picture_") -> Tensor:
    """One batch ``[V, H, W, C]`` of pictures, all in the size of the largest.

    Args:
        pictures: ``[n, h, w, c]`` float32 by the number, from 1, of the camera that sees it; the further ones of a
            batch are what the next cameras see. Grey pictures become RGB, and alpha is dropped unless all have it.
        prefix: what messages call a picture, before its number.

    Raises:
        ValueError: none is given, one is missing or given twice, or they differ in shape; the text names the picture.
    """
    if not pictures:
        raise ValueError(f"{prefix}1: nothing is connected, expected a picture for each camera")
    for number, value in pictures.items():
        if value.ndim != 4 or not value.numel() or value.shape[3] not in (1, 3, 4):
            raise ValueError(f"{prefix}{number}: found {list(value.shape)}, expected [B, H, W, 3]")
    _check_order({number: len(value) for number, value in sorted(pictures.items())}, prefix)
    model, largest = max(pictures.items(), key=lambda item: item[1].shape[1] * item[1].shape[2])
    height, width = largest.shape[1:3]
    channels = 4 if all(value.shape[3] == 4 for value in pictures.values()) else 3
    found = []
    for number, value in sorted(pictures.items()):
        if abs(value.shape[2] / value.shape[1] * height / width - 1) > _ALIKE:
            raise ValueError(
                f"{prefix}{number}: is {value.shape[2]} x {value.shape[1]}, expected the shape of {prefix}{model}, "
                f"{width} x {height}; views of one mesh are pictures of one shape"
            )
        colored = value.expand(-1, -1, -1, 3) if value.shape[3] == 1 else value[..., :channels]
        found += [resample(picture, (0.0, 0.0, *picture.shape[:2]), (height, width)) for picture in colored]
    return torch.stack(found)


def _check_order(counts: Mapping[int, int], prefix: str) -> None:
    """Every camera up to the last has its picture, and one only; ``counts``: pictures by the first one's number."""
    before, following = 0, 1
    for number, count in counts.items():
        if number > following:
            raise ValueError(
                f"{prefix}{following}: nothing is connected, but {prefix}{number} is; expected the pictures of all "
                "cameras, without gaps"
            )
        if number < following:
            raise ValueError(
                f"{prefix}{number}: is connected, but {prefix}{before} is a batch of {counts[before]}, which is what "
                f"the cameras up to {following - 1} see; connect this to {prefix}{following}"
            )
        before, following = number, number + count


def resample(picture: Tensor, box: tuple[float, float, float, float], size: tuple[int, int]) -> Tensor:
    """A part of ``picture [H, W, C]`` in another size, by Pillow's cubic filter, which keeps places to a fraction of
    a pixel; clamped to the part's own range.

    Args:
        picture: float32.
        box: top, left, bottom, right; fractions of pixels are meant.
        size: height and width of the result.
    """
    top, left = (int(math.floor(value + 1e-6)) for value in box[:2])
    bottom, right = (int(math.ceil(value - 1e-6)) for value in box[2:])
    part = picture[top:bottom, left:right]
    inner = (box[1] - left, box[0] - top, box[3] - left, box[2] - top)
    whole = all(abs(value - round(value)) < 1e-6 for value in box)
    if whole and part.shape[:2] == size:
        return part
    pixels = part.detach().to("cpu", torch.float32).numpy()
    channels = [
        Image.fromarray(np.ascontiguousarray(pixels[..., channel])).resize(
            (size[1], size[0]), Image.Resampling.BICUBIC, box=inner
        )
        for channel in range(pixels.shape[2])
    ]
    found = torch.from_numpy(np.stack([np.asarray(channel) for channel in channels], axis=-1)).to(picture)
    return torch.minimum(torch.maximum(found, part.amin((0, 1))), part.amax((0, 1)))
