"""What travels on the pack's own sockets, and how messages name the input that a bad value came by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...rasterizer.hierarchy import GridHierarchy
from ...rasterizer.pictures.grids import Grid
from ...rasterizer.rendering.raster import Raster


@dataclass(frozen=True, eq=False)
class RasterValue:
    """Payload of a RASTER socket: one raster per mesh of the batch."""

    rasters: tuple[Raster, ...]

    def _comfy_cache_tensors(self) -> list[Tensor]:
        return [tensor for raster in self.rasters for tensor in (raster.findices, raster.barycentric)]

    def get_ram_usage(self) -> int:
        """Bytes, for ComfyUI's cache."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._comfy_cache_tensors())


@dataclass(frozen=True, eq=False)
class HierarchyValue:
    """Payload of a GRID_HIERARCHY socket: one hierarchy per mesh of the batch."""

    hierarchies: tuple[GridHierarchy, ...]

    def get_ram_usage(self) -> int:
        """Bytes, for ComfyUI's cache."""
        return sum(hierarchy.memory() for hierarchy in self.hierarchies)


def read_raster(value: Any) -> RasterValue:
    """What is on a RASTER socket.

    Raises:
        ValueError: something else.
    """
    if not isinstance(value, RasterValue):
        raise ValueError(f"raster: is a {type(value).__name__}, expected the output 'raster' of Rasterize")
    return value


def read_hierarchy(value: Any) -> HierarchyValue:
    """What is on a GRID_HIERARCHY socket.

    Raises:
        ValueError: something else.
    """
    if not isinstance(value, HierarchyValue):
        raise ValueError(
            f"hierarchy: is a {type(value).__name__}, expected the output 'hierarchy' of Build Grid Hierarchy"
        )
    return value


def read_grid(value: Any) -> Grid:
    """What is on a VIEW_GRID socket.

    Raises:
        ValueError: something else.
    """
    if not isinstance(value, Grid):
        raise ValueError(f"layout: is a {type(value).__name__}, expected the output 'layout' of Views to Grid")
    return value


@contextmanager
def named(name: str) -> Iterator[None]:
    """Let what is said of bad data start with the name of the input."""
    try:
        yield
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name}: {error}") from error
