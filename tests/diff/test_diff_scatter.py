"""Sums of rows by index, which all gradients to vertices and texels go through."""

from __future__ import annotations

import pytest
import torch

from rasterizer.backends.eager.diff.scatter import RowSums, add_rows
from rasterizer.runtime.policy import CPU, GPU, PORTABLE, DevicePolicy, force_policy

POLICIES = pytest.mark.parametrize("policy", [CPU, GPU, PORTABLE], ids=["cpu", "gpu", "portable"])


@POLICIES
@pytest.mark.parametrize("channels", [0, 1, 3, 8, 9, 40])
@pytest.mark.parametrize(("rows", "count"), [(1, 5000), (700, 5000), (5000, 40), (3, 0)])
def test_sums_are_those_of_float64(policy: DevicePolicy, channels: int, rows: int, count: int) -> None:
    torch.manual_seed(0)
    index, values = torch.randint(rows, (count,)), torch.rand(count, channels)
    wanted = torch.zeros(rows, channels, dtype=torch.float64)
    for row, value in zip(index.tolist(), values.double(), strict=True):
        wanted[row] += value
    with force_policy(policy):
        found = add_rows(rows, index, values)
        of_columns = add_rows(rows, index, values.t().contiguous().t())
        pieces = RowSums(rows, channels, count, index.device)
        for part in (slice(0, count // 3), slice(count // 3, count)):
            pieces.add(index[part], values[part])
        assert torch.equal(pieces.result(), found)
    assert found.is_contiguous() and found.dtype == torch.float32
    torch.testing.assert_close(found, wanted.float(), rtol=2e-5, atol=0)
    torch.testing.assert_close(of_columns, wanted.float(), rtol=2e-5, atol=0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("channels", [2, 16])
def test_the_same_bits_every_time(device: str, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(50, (200_000,), generator=generator).to(device)
    values = torch.randn(200_000, channels, generator=generator).to(device)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(device == "cuda")
        first, *others = (add_rows(50, index, values) for _ in range(4))
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(torch.equal(first, other) for other in others)
