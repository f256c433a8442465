"""Where silhouettes of a mesh cross the lines between the centres of neighbouring pixels.

Section "Antialiasing" of :mod:`rasterizer.contract.diff_rule` is the rule. A pair of pixels is *of interest* if an edge
of the triangle that counts is a silhouette.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ....contract.diff_rule import SILHOUETTE_MARGIN
from ....runtime.policy import device_policy
from ....runtime.threads import share_rows
from .ids import triangles_shown

WORKING_BYTES = 256 << 20
"""Chunks of triangles, pixels and pairs stay below this."""

_TRIANGLE = 400  # bytes that a triangle takes to be looked at: six vertices, and what is made of them
_PAIR = 800  # and a pair
_PIXEL = 48

_CACHED = 1 << 16  # pixels at once on a CPU


class Crossings(NamedTuple):
    """Pairs of interest, and what is to be done about them.

    Attributes:
        p, q: ``[N]`` int64, pixels of all images.
        alpha: ``[N]``, how much of Q - P is added: to P if it is above 0, else to Q; 0 where nothing is to be done.
        vertical: ``[N]`` bool, whether Q lies in the next row; then x and y are exchanged in what follows.
        ends: ``[2, N]`` int64, the vertices that the edge goes through, of all meshes.
        x, y: ``[2, N]``, where these are from the centre of the pixel that shows the edge's triangle, in pixels.
    """

    p: Tensor
    q: Tensor
    alpha: Tensor
    vertical: Tensor
    ends: Tensor
    x: Tensor
    y: Tensor


class Silhouettes:
    """What is looked up in order to find the crossings of all images.

    Where the device has them, coordinates are float64: whether an edge is a silhouette follows from signs.
    """

    def __init__(self, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor) -> None:
        """``rast [B, H, W, 4]``, of which z/w and ids count; ``pos [B, V, 4]`` or ``[V, 4]``; the rest ``[T, 3]``."""
        self.images, self.height, self.width, _ = rast.shape
        self.device, self.policy = rast.device, device_policy(rast.device)
        self.vertices, self.triangles = pos.shape[-2], len(tri)
        self.meshes = pos.numel() // (4 * self.vertices)
        self.corners, self.across = ([column.contiguous() for column in each.unbind(1)] for each in (tri, topology))
        x, y, _, w = pos.view(-1, 4).to(torch.float64 if self.policy.float64 else torch.float32).unbind(1)
        self.x, self.y = x / w * (0.5 * self.width), y / w * (0.5 * self.height)

        self.rows = self.images * self.height
        self.depth = rast[..., 2].view(self.rows, -1)
        self.shown = torch.empty(self.depth.shape, dtype=torch.int32, device=self.device)
        self.edges = torch.zeros(self.meshes * (self.triangles + 1), dtype=torch.uint8, device=self.device)
        self._see(rast[..., 3].view(self.rows, -1))
        self._find_silhouettes()

    def crossings(self, channels: int) -> Iterator[Crossings]:
        """Piece by piece; as many at once as colours of so many ``channels`` allow. Waits for the device, once."""
        for some in self._pairs().split(max(1, WORKING_BYTES // (_PAIR + 16 * channels))):
            yield self._cross(some)

    def _see(self, ids: Tensor) -> None:
        """Which triangle every pixel shows; on a CPU, where it pays to look at no others, mark those that are seen."""

        def see(rows: slice) -> None:
            self.shown[rows] = triangles_shown(ids[rows], self.triangles)
            if self.policy.own_threads:
                entry = self.shown[rows] + self._first_entry(rows)
                self.edges.scatter_(0, entry.view(-1), 1)

        self._by_rows(see)

    def _first_entry(self, rows: slice) -> Tensor:
        """``[rows, 1]``, for rows of the images: where the entries of their mesh begin."""
        return (self._mesh(torch.arange(rows.start, rows.stop, device=self.device)) * (self.triangles + 1))[:, None]

    def _mesh(self, row: Tensor) -> Tensor:
        """Which mesh rows of the images show."""
        return torch.div(row, self.height, rounding_mode="floor").clamp_(max=self.meshes - 1)

    def _by_rows(self, work: Callable[[slice], None]) -> None:
        pixels = _CACHED if self.policy.own_threads else WORKING_BYTES // _PIXEL
        share_rows(work, self.rows, self.device, weight=self.width, chunk=max(1, pixels // self.width))

    def _find_silhouettes(self) -> None:
        """Set bit k of the entries of triangles whose edge k is a silhouette, and no other; of triangle 0 any."""
        stride, count = self.triangles + 1, len(self.edges)
        seen = _nonzero(self.edges) if self.policy.own_threads else torch.arange(count, device=self.device)

        def fill(some: slice) -> None:
            entry = seen[some]
            mesh = torch.div(entry, stride, rounding_mode="floor")
            bits = self._silhouette_bits(mesh, (entry - mesh * stride - 1).clamp_(min=0))
            self.edges.scatter_(0, entry, bits)

        chunk = _CACHED if self.policy.own_threads else WORKING_BYTES // _TRIANGLE
        share_rows(fill, len(seen), self.device, weight=16, chunk=chunk)

    def _silhouette_bits(self, mesh: Tensor, triangle: Tensor) -> Tensor:
        """``[N]`` uint8. An edge is a silhouette where both triangles at it lie on one side, or there is only one."""
        vertex, across = (_columns(triangle, each) for each in (self.corners, self.across))
        _, x, y = self._look_up(mesh, vertex)
        _, across_x, across_y = self._look_up(mesh, across)
        start_x, start_y = x.roll(-1, 0), y.roll(-1, 0)
        along_x, along_y = x.roll(-2, 0).sub_(start_x), y.roll(-2, 0).sub_(start_y)
        # Twice the areas of the triangle, and of those with the vertex across edge k in place of vertex k.
        own = along_x[0] * (y[0] - start_y[0]) - along_y[0] * (x[0] - start_x[0])
        others = along_x * across_y.sub_(start_y) - along_y * across_x.sub_(start_x)
        silhouette = (torch.signbit(others) == torch.signbit(own)) | ~self._exists(across)
        bits = (silhouette & self._exists(vertex).all(0)).to(torch.uint8)
        return bits[0] + 2 * bits[1] + 4 * bits[2]

    def _exists(self, vertex: Tensor) -> Tensor:
        return (vertex >= 0) & (vertex < self.vertices)

    def _look_up(self, mesh: Tensor, vertex: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Among the vertices of all meshes, the index and place of vertices ``[3, N]``, some of which may not exist."""
        index = vertex.clamp(0, self.vertices - 1) + mesh * self.vertices
        flat = index.view(-1)
        return index, self.x.index_select(0, flat).view(3, -1), self.y.index_select(0, flat).view(3, -1)

    def _pairs(self) -> Tensor:
        """``[N]`` int64: the pixels P of pairs in a row, then those of pairs in a column, which are counted on from the
        number of all pixels."""
        flags = torch.zeros((2, self.rows, self.width), dtype=torch.bool, device=self.device)

        def find(rows: slice) -> None:
            flags[0, rows, :-1] = self._of_interest((rows, slice(None, -1)), (rows, slice(1, None)))
            followed = slice(rows.start, min(rows.stop, self.rows - 1))
            following = slice(followed.start + 1, followed.stop + 1)
            flags[1, followed] = self._of_interest((followed, slice(None)), (following, slice(None)))

        self._by_rows(find)
        flags[1].view(self.images, self.height, -1)[:, -1] = False  # what follows is another image
        return _nonzero(flags.view(-1))

    def _of_interest(self, p: tuple[slice, slice], q: tuple[slice, slice]) -> Tensor:
        of_p, of_q = self.shown[p], self.shown[q]
        nearer = torch.where(_is_nearer(of_p, of_q, self.depth[p], self.depth[q]), of_p, of_q)
        entry = nearer + self._first_entry(p[0])
        return (of_p != of_q) & (self.edges.index_select(0, entry.view(-1)).view(entry.shape) != 0)

    def _cross(self, pair: Tensor) -> Crossings:
        """Where the edges of the nearer triangles meet the line from the pixel that shows them to the other."""
        pixels, width = self.shown.numel(), self.width
        vertical = pair >= pixels
        p = torch.where(vertical, pair - pixels, pair)
        q = p + torch.where(vertical, width, 1)
        of_p, of_q, depth_p, depth_q = (
            each.view(-1).index_select(0, pixel) for each in (self.shown, self.depth) for pixel in (p, q)
        )
        is_p = _is_nearer(of_p, of_q, depth_p, depth_q)
        pixel, shown = torch.where(is_p, p, q), torch.where(is_p, of_p, of_q)
        row = torch.div(pixel, width, rounding_mode="floor")
        mesh = self._mesh(row)
        bits = self.edges.index_select(0, shown + mesh * (self.triangles + 1))

        index, x, y = self._look_up(mesh, _columns(shown - 1, self.corners))
        x = x - ((pixel - row * width).to(x.dtype) + 0.5 * (1 - width))
        y = y - ((row % self.height).to(x.dtype) + 0.5 * (1 - self.height))
        x, y = torch.where(vertical, y, x), torch.where(vertical, x, y)
        direction = torch.where(is_p, 1.0, -1.0).to(x.dtype)

        start_x, start_y, stop_x, stop_y = x.roll(-1, 0), y.roll(-1, 0), x.roll(-2, 0), y.roll(-2, 0)
        along_x, along_y = stop_x - start_x, stop_y - start_y
        distance = direction * (start_x * along_y - start_y * along_x) / along_y
        crosses = torch.signbit(start_y) != torch.signbit(stop_y)
        farthest, edge = torch.where(crosses, distance, -torch.inf).max(0, keepdim=True)

        def at_edge(values: Tensor) -> Tensor:
            return values.gather(0, edge)[0]

        counts = at_edge(torch.stack([bits & 1, bits & 2, bits & 4])) != 0
        counts &= at_edge(along_y).abs() >= at_edge(along_x).abs()
        counts &= (farthest[0] > -SILHOUETTE_MARGIN) & (farthest[0] < 1 + SILHOUETTE_MARGIN)
        alpha = torch.where(counts, direction * (0.5 - farthest[0].clamp(0.0, 1.0)), 0.0)
        ends = torch.stack((at_edge(index.roll(-1, 0)), at_edge(index.roll(-2, 0))))
        x, y = (torch.stack((at_edge(start), at_edge(stop))) for start, stop in ((start_x, stop_x), (start_y, stop_y)))
        return Crossings(p, q, alpha, vertical, ends, x, y)


def _columns(row: Tensor, of: list[Tensor]) -> Tensor:
    return torch.stack([column.index_select(0, row) for column in of])


def _nonzero(flags: Tensor) -> Tensor:
    if flags.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(flags.numpy()))
    return flags.nonzero().view(-1)


def _is_nearer(of_p: Tensor, of_q: Tensor, depth_p: Tensor, depth_q: Tensor) -> Tensor:
    """Whether it is P's triangle that counts: the only one, or that in front."""
    return (of_q == 0) | ((of_p != 0) & (depth_p < depth_q))
