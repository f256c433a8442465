"""The vertices across the edges of a mesh, every implementation, against a dictionary of edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.diff.conftest import Way

UNKNOWN = 2**31 - 1


def plainly(tri: Tensor, vertices: int) -> list[list[int]]:
    """The contract in plain words: each edge keeps the first two distinct vertices opposite to it."""
    kept: dict[frozenset[int], list[int]] = {}

    def edges(row: list[int]) -> list[tuple[frozenset[int], int]]:
        counts = len(set(row)) == 3 and all(0 <= each < vertices for each in row)
        return [(frozenset({row[k - 2], row[k - 1]}), row[k]) for k in range(3)] if counts else []

    for row in tri.tolist():
        for edge, opposite in edges(row):
            here = kept.setdefault(edge, [])
            if opposite not in here and len(here) < 2:
                here.append(opposite)
    found = []
    for row in tri.tolist():
        of_row = [-1, -1, -1]
        for place, (edge, opposite) in enumerate(edges(row)):
            others = [each for each in kept[edge] if each != opposite]
            if opposite in kept[edge] and others:
                of_row[place] = others[0]
        found.append(of_row)
    return found


def assert_right(way: Way, tri: Tensor, vertices: int, highest: int) -> Tensor:
    found = way("topology")(tri.to(way.device), vertices)
    assert found.dtype == torch.int32 and found.shape == tri.shape and found.is_contiguous()
    assert found.device.type == way.device.type
    assert found.tolist() == plainly(tri, highest)
    return found.cpu()


def test_a_closed_mesh_has_a_neighbour_at_every_edge(way: Way) -> None:
    tetrahedron = torch.tensor([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]], dtype=torch.int32)
    found = assert_right(way, tetrahedron, 4, 4)
    assert found.tolist() == [[3, 3, 3], [2, 2, 2], [0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("vertices", "triangles"), [(5, 1), (5, 40), (8, 300), (40, 300), (300, 300), (3000, 20_000), (30, 20_000)]
)
def test_random_triangles(way: Way, vertices: int, triangles: int, known: bool) -> None:
    generator = torch.Generator().manual_seed(triangles)
    tri = torch.randint(vertices, (triangles, 3), generator=generator, dtype=torch.int32)
    assert_right(way, tri, vertices if known else UNKNOWN, vertices)


@pytest.mark.parametrize("known", [True, False])
def test_indices_out_of_range_and_degenerate_triangles(way: Way, known: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    tri = torch.randint(-3, 9, (500, 3), generator=generator, dtype=torch.int32)
    tri[torch.randint(500, (20,), generator=generator), 1] = UNKNOWN - 1
    tri[torch.randint(500, (20,), generator=generator), 2] = -(2**31)
    assert_right(way, tri, 6 if known else UNKNOWN, 6 if known else UNKNOWN)


def test_large_indices(way: Way) -> None:
    tri = torch.tensor([[0, 1, 2], [2, 1, 3], [3, 0, 2]], dtype=torch.int32)
    tri += UNKNOWN - 5
    assert_right(way, tri, UNKNOWN, UNKNOWN)


def test_duplicates_and_a_third_triangle(way: Way) -> None:
    tri = torch.tensor([[0, 1, 2], [2, 1, 0], [0, 1, 2], [1, 0, 3], [0, 1, 4], [1, 0, 2]], dtype=torch.int32)
    found = assert_right(way, tri, 5, 5)
    assert found[:, 2].tolist() == [3, -1, 3, 2, -1, 3]


def test_a_large_strip(way: Way) -> None:
    count = 400_000
    tri = torch.arange(count, dtype=torch.int32)[:, None] + torch.arange(3, dtype=torch.int32)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    found = way("topology")(tri[order].contiguous().to(way.device), count + 2).cpu()[order.argsort()]
    row = torch.arange(count, dtype=torch.int32)
    nothing = torch.full_like(row, -1)
    assert torch.equal(found[:, 1], nothing)
    assert torch.equal(found[:, 0], torch.where(row < count - 1, row + 3, nothing))
    assert torch.equal(found[:, 2], torch.where(row > 0, row - 1, nothing))
