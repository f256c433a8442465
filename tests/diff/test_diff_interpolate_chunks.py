"""Interpolation in PyTorch operators in small pieces, side by side, as large images are done."""

from __future__ import annotations

import pytest
import torch

from rasterizer.backends.eager.diff import interpolate as module
from rasterizer.runtime import threads
from rasterizer.runtime.policy import CPU, GPU, PORTABLE, DevicePolicy, force_policy


@pytest.mark.parametrize("policy", [CPU, GPU, PORTABLE], ids=["cpu", "gpu", "portable"])
@pytest.mark.parametrize("shape", [(1, 40, 3), (3, 40, 3), (40, 18)])
def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, policy: DevicePolicy, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    size = (3, 61, 53)
    ids = torch.randint(0, 26, size, generator=generator).float()
    rast = torch.cat((torch.rand((*size, 3), generator=generator), ids[..., None]), -1)
    rast_db, attr = torch.randn((*size, 4), generator=generator), torch.randn(shape, generator=generator)
    tri = torch.randint(40, (25, 3), generator=generator, dtype=torch.int32)
    d_out = torch.randn((*size, shape[-1]), generator=generator)
    d_da = torch.randn((*size, 2 * shape[-1]), generator=generator)

    def results() -> tuple[torch.Tensor, ...]:
        with force_policy(policy):
            forward = module.interpolate(attr, rast, tri, rast_db, True, ())
            backward = module.interpolate_backward(attr, rast, tri, rast_db, True, (), d_out, d_da, (True, True, True))
        return *forward, *backward

    whole = results()
    monkeypatch.setattr(module, "WORKING_BYTES", 1)  # 256 pixels at once
    monkeypatch.setattr(module, "_COLUMN_CHUNK", 100)
    monkeypatch.setattr(module, "_PART", 1000)
    monkeypatch.setattr(threads, "_PIXELS", 1000)
    for found, right in zip(results(), whole, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)
