"""The largest images and triangles, where what a backend leaves out was once too much."""

from __future__ import annotations

import pytest
import torch

import rasterizer
from rasterizer.backends.eager.boxes import BlockList, Boxes
from rasterizer.backends.eager.classes import block_sides

CUDA = torch.device("cuda", 0)
TRI = torch.tensor([[0, 1, 2]])


def test_an_edge_value_that_weighs_nothing_covers(policy: str) -> None:
    pos = torch.tensor(
        [[0.9999997019767761, 0.9999998807907104, 0, 1], [0, 2.0**60, 0, 1], [2.0**50, 1.000000238418579, 0, 1]]
    )
    for mode in ("tiled", "batched", "auto"):
        found = rasterizer.rasterize(pos, TRI, (33, 33), mode=mode, tile_size=8).findices
        assert found[32, 32] == 1


@pytest.mark.parametrize("size", [(2049, 32745), (8192, 8192), (8191, 8193), (32768, 32768), (1, 32768)])
def test_squares_of_a_box_are_counted_exactly(size: tuple[int, int]) -> None:
    height, width = size
    extent = torch.tensor([[float(width)], [float(height)]])
    rows = torch.zeros((17, 1))
    sides = block_sides(size)
    counts = BlockList(Boxes(rows, TRI[0, :1], None), extent, sides).counts
    assert counts.view(-1).tolist() == [-(-height // side) * -(-width // side) for side in sides]


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(4, 32768), (32768, 4)])
def test_the_last_column_and_row_of_the_widest_images(size: tuple[int, int]) -> None:
    pos = torch.tensor([[-3.0, -3, 0, 1], [5, -3, 0, 1], [-3, 5, 0, 1]])
    assert rasterizer.rasterize(pos.to(CUDA), TRI.to(CUDA), size, backend="kernels").findices.all()


@pytest.mark.gpu
@pytest.mark.parametrize("turned", [False, True])
def test_an_infinite_area_covers_all_its_candidates(turned: bool) -> None:
    screen = torch.tensor([[0.0, 0.0], [0.0, 2.0**62], [2.0**62, 0.0]])
    pos = torch.cat((screen / 64 - 1, torch.tensor([[0.0, 1.0]] * 3)), dim=1)
    tri = TRI.flip(1) if turned else TRI
    want = rasterizer.rasterize(pos, tri, (128, 128))
    for backend in ("kernels", "torch"):
        found = rasterizer.rasterize(pos.to(CUDA), tri.to(CUDA), (128, 128), backend=backend)
        assert torch.equal(found.findices.cpu(), want.findices)
