"""The hierarchy as people use it: built from a mesh, looked up by position, and moved through level by level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_faces, check_integer, check_same_device
from ..meshes.mesh import Mesh
from ..runtime.devices import double_device
from ..runtime.policy import device_policy
from ..runtime.progress import staged
from ..runtime.threads import on_own_threads
from . import surface_choice
from .axis_views import peel
from .cells import centres, pack, unpack
from .construct import build, check_levels
from .lookup import Grid
from .surface_samples import Views


@dataclass(frozen=True, eq=False)
class GridHierarchy:
    """Cells of a grid that a surface passes through, at several resolutions, each linked to its neighbours.

    The grid spans the cube -1..1 around the mesh; level 0 is the finest, and each further level halves its resolution.
    N is the number of cells of a level. Cells without samples ("padded") complete the blocks that filters step over.

    Attributes:
        positions: ``[N, 3]`` float32, a point of the surface in each cell of level 0, in mesh coordinates.
        normals: ``[N, 3]`` float32, the surface's normal there; zero for padded cells.
        original: ``[N]`` bool, False for padded cells of level 0.
        keys: per level ``[N]`` int64, ``(x * R + y) * R + z`` of the cell's coordinates at that level's resolution R.
        neighbors: per level ``[N, 9]`` int64, the 3 x 3 cells around each in its tangent plane, -1 = none.
        downsamples: per level but the last ``[N]`` int64, the cell of the coarser level that it lies in.
        even_corners, odd_corners: per level ``[N]`` bool.
        resolution: cells along each side of the cube at level 0.
        centre: ``[3]`` the middle of the cube, in mesh coordinates.
        half_side: half the cube's side, in mesh units.
        complete: whether every surface was taken in; False when more lay behind the last layer peeled.
    """

    positions: Tensor
    normals: Tensor
    original: Tensor
    keys: tuple[Tensor, ...]
    neighbors: tuple[Tensor, ...]
    downsamples: tuple[Tensor, ...]
    even_corners: tuple[Tensor, ...]
    odd_corners: tuple[Tensor, ...]
    resolution: int
    centre: Tensor
    half_side: float
    complete: bool

    @classmethod
    @on_own_threads
    def from_mesh(
        cls,
        vertices: Tensor,
        faces: Tensor,
        resolution: int = 128,
        levels: int = 4,
        max_layers: int = 8,
        on_progress: Callable[[float], None] | None = None,
    ) -> GridHierarchy:
        """Build it from ``vertices [N, 3]`` and ``faces [M, 3]``, on their device.

        The mesh is drawn along the three axes, surface behind surface, and each pixel becomes a sample. Cells hold one
        sheet of the surface: where two pass through one cell back to back, there are two cells.

        Args:
            vertices: ``[N, 3]`` positions.
            faces: ``[M, 3]`` vertex indices.
            resolution: cells along the longest side of the bounding box, 8 to 1024.
            levels: how many levels; the resolution is halved from one to the next.
            max_layers: most surfaces taken in behind one another; a warning says when there are more.
            on_progress: called with the share done, 0..1; an exception it raises stops the work.

        Raises:
            ValueError: an argument is unusable; the text names it.
        """
        resolution = check_integer(resolution, 8, 1024, "resolution")
        levels = check_integer(levels, 1, 11, "levels")
        max_layers = check_integer(max_layers, 1, 64, "max_layers")
        check_levels(levels, resolution, "levels")
        vertices = as_tensor(vertices, "vertices")
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise ValueError(f"vertices: shape is {list(vertices.shape)}, expected [N, 3] positions")
        faces = check_faces(faces, len(vertices), vertices.device, "faces")
        if not len(faces):
            raise ValueError(f"faces: shape is {list(faces.shape)}, the mesh has no faces")
        mesh = Mesh(vertices.detach().float(), faces.to(torch.int32))
        low, high = mesh.bounds()
        size = float((high - low).amax())
        if not 0 < size < float("inf"):
            raise ValueError(f"vertices: the mesh is {size} wide, expected finite positions that do not all coincide")
        # A cell of air on each side, so that nothing lies on the border of the cube.
        half_side = size / 2 / (1 - 2 / resolution)
        centre = (low + high) / 2
        report = on_progress or (lambda share: None)
        peeling = staged("drawing layers", lambda share: report(0.7 * share))
        building = staged("linking cells", lambda share: report(0.7 + 0.3 * share))
        peeled = peel(mesh, (mesh.vertices - centre) / half_side, resolution, max_layers, peeling)
        views = Views(peeled.positions, peeled.normals)
        built = build(views, levels, resolution, split_sides=True, on_progress=building)
        report(1.0)
        parts = built.levels
        return cls(
            positions=built.positions * half_side + centre,
            normals=built.normals,
            original=built.original > 0,
            keys=tuple(pack(level.cells, level.resolution) for level in parts),
            neighbors=tuple(level.neighbors for level in parts),
            downsamples=built.downsamples,
            even_corners=tuple(level.corners[0] > 0 for level in parts),
            odd_corners=tuple(level.corners[1] > 0 for level in parts),
            resolution=resolution,
            centre=centre,
            half_side=half_side,
            complete=peeled.complete,
        )

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return len(self.keys)

    @property
    def cell_size(self) -> float:
        """Side of a cell of level 0, in mesh units."""
        return 2 * self.half_side / self.resolution

    def count(self, level: int = 0) -> int:
        """Cells of a level."""
        level = check_integer(level, -self.levels, self.levels - 1, "level")  # negative ones count from the coarsest
        return len(self.keys[level])

    def points(self, level: int = 0) -> Tensor:
        """``[N, 3]`` the centres of a level's cells, in mesh coordinates."""
        keys = self.keys[level]
        place = keys if device_policy(keys.device).float64 else keys.cpu()
        resolution = self.resolution >> level
        return centres(unpack(place, resolution), resolution).to(keys.device) * self.half_side + self.centre

    def to(self, device: torch.device | str) -> GridHierarchy:
        """The same with every tensor on ``device``."""

        def there(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(there(item) for item in value)
            return value.to(device) if isinstance(value, Tensor) else value

        return replace(self, **{field.name: there(getattr(self, field.name)) for field in fields(self)})

    def memory(self) -> int:
        """Bytes that its tensors take."""
        total = 0
        for field in fields(self):
            value = getattr(self, field.name)
            for tensor in value if isinstance(value, tuple) else (value,):
                total += tensor.numel() * tensor.element_size() if isinstance(tensor, Tensor) else 0
        return total

    def pull(self, features: Tensor, level: int = 0) -> Tensor:
        """Average ``[N, C]`` features of ``level`` over the cells of the coarser one, ``level + 1``.

        Every cell of the coarser level counts the cells in it alike. Differentiable.
        """
        level = self._finer_level(level)
        features = check_features(features, self, level)
        children = _children(self.downsamples[level], self.count(level + 1))
        inside = (children >= 0).to(features.dtype)
        total = torch.zeros_like(features[:1]).expand(len(children), -1)
        for child, one in zip(children.unbind(1), inside.unbind(1), strict=True):  # gathers, whose sum has an order
            total = total + features.index_select(0, child.clamp(min=0)) * one[:, None]
        return total / inside.sum(dim=1, keepdim=True).clamp(min=1)

    def push(self, features: Tensor, level: int = 0) -> Tensor:
        """Interpolate ``[N, C]`` features of ``level + 1`` to the finer ``level``.

        Each cell takes the mean of its coarser cell and that one's neighbours, weighted with a tent as wide as two
        coarse cells around each centre. Differentiable.
        """
        level = self._finer_level(level)
        features = check_features(features, self, level + 1)
        parent = self.downsamples[level]
        around = self.neighbors[level + 1].index_select(0, parent)
        around = torch.cat((parent[:, None], around[:, :4], around[:, 5:]), dim=1)
        own, coarse = self.points(level), self.points(level + 1)
        width = 2 * self.half_side / (self.resolution >> (level + 1))
        total, weights = features.new_zeros(()), features.new_zeros(())
        for cell in around.unbind(1):
            place = cell.clamp(min=0)
            apart = (coarse.index_select(0, place) - own).abs() / width
            weight = ((1 - apart).clamp(min=0).prod(dim=1) * (cell >= 0)).to(features.dtype)[:, None]
            total = total + features.index_select(0, place) * weight
            weights = weights + weight
        return total / weights

    @on_own_threads
    def find(self, points: Tensor, normals: Tensor | None = None) -> Tensor:
        """The cell of level 0 that each point of the surface belongs to.

        Args:
            points: ``[T, 3]`` in mesh coordinates.
            normals: ``[T, 3]`` of the surface there. A cell that faces the other way is not taken while one around it
                faces the right way.

        Returns:
            ``[T]`` int64, -1 where neither the point's cell nor one of the 26 around it holds a part of the surface.

        Raises:
            ValueError: an argument of another type or shape, or on another device than the hierarchy.
        """
        points = self._check_vectors(points, "points")
        if normals is not None:
            normals = self._check_vectors(normals, "normals")
            if len(normals) != len(points):
                raise ValueError(f"normals: found {len(normals)} rows for {len(points)} points, expected one for each")
        home = points.device
        place = double_device(home)
        if place != home:
            there = None if normals is None else normals.to(place)
            return self.to(place).find(points.to(place), there).to(home)
        seen = self.original.nonzero().squeeze(1)
        keys, order = torch.sort(self.keys[0].index_select(0, seen), stable=True)
        cells = seen.index_select(0, order)
        grid = Grid(keys, cells, self.positions, self.normals, self.centre.float(), self.half_side, self.resolution)
        return surface_choice.find(grid, points.float(), None if normals is None else normals.float())

    def _finer_level(self, level: int) -> int:
        """One that has a coarser level above it."""
        if self.levels == 1:
            raise ValueError(f"level: is {level!r}, but the hierarchy has level 0 only, expected two levels or more")
        return check_integer(level, 0, self.levels - 2, "level")

    def _check_vectors(self, values: Tensor, name: str) -> Tensor:
        """``[T, 3]`` points or normals."""
        values = as_tensor(values, name)
        if values.ndim != 2 or values.shape[1] != 3 or values.is_complex() or values.dtype == torch.bool:
            raise ValueError(f"{name}: found {list(values.shape)} {values.dtype}, expected floating-point [T, 3]")
        check_same_device(values, name, self.positions.device, "the hierarchy is")
        return values if values.dtype == torch.float64 else values.float()


def check_features(features: Tensor, hierarchy: GridHierarchy, level: int = 0) -> Tensor:
    """``[N, C]`` features of a level's cells.

    Raises:
        ValueError: they are of another type or shape, or on another device.
    """
    features, count = as_tensor(features, "features"), hierarchy.count(level)
    if features.ndim != 2 or len(features) != count or features.dtype not in _FLOATS:
        raise ValueError(
            f"features: found {list(features.shape)} {features.dtype}, expected floating-point [{count}, C], a row for "
            f"each cell of level {level}"
        )
    check_same_device(features, "features", hierarchy.positions.device, "the hierarchy is")
    return features


_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)  # with which PyTorch computes everywhere


def _children(parent: Tensor, count: int) -> Tensor:
    """``[count, K]`` int64, the entries of ``parent [N]`` that name each cell, in ascending order, padded with -1."""
    ordered, order = torch.sort(parent, stable=True)
    start = torch.searchsorted(ordered, torch.arange(count, device=parent.device))
    rank = torch.arange(len(parent), device=parent.device) - start.index_select(0, ordered)
    most = int(rank.max()) + 1 if len(rank) else 0
    table = torch.full((count * most,), -1, dtype=torch.int64, device=parent.device)
    table[ordered * most + rank] = order
    return table.view(count, most)
