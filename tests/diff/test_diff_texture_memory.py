"""Working memory of texture sampling by operators."""

from __future__ import annotations

import pytest
import torch

from rasterizer.backends.eager.diff import texture as eager
from rasterizer.runtime.policy import CPU, GPU, PORTABLE, DevicePolicy, force_policy
from tests.diff.test_diff_texture_gradients import scene
from tests.support.measures import peak_memory
from tests.support.nvdiffrast_golden import normal

BUDGET = 32 << 20
"""What is used however little is free."""


@pytest.mark.parametrize("policy", [CPU, GPU, PORTABLE], ids=["cpu", "gpu", "portable"])
@pytest.mark.parametrize("channels", [3, 40])
@pytest.mark.parametrize("boundary", ["zero", "cube"])
def test_memory_does_not_grow_with_the_image(
    boundary: str, channels: int, policy: DevicePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rasterizer.runtime.memory.free_memory", lambda device: 0)
    call = scene("linear-mipmap-linear", boundary, texture=(16, 16, channels), image=(400, 500), batch=(1, 1))
    levels = call.pyramid(lambda step: getattr(eager, step), torch.device("cpu"))
    assert call.uv_da is not None and call.bias is not None
    given = (levels, call.uv, call.uv_da, call.bias, "linear-mipmap-linear", boundary)
    d_out = normal(1, 1, 400, 500, channels)
    with force_policy(policy):
        forward = peak_memory(lambda: eager.texture(*given))
        backward = peak_memory(lambda: eager.texture_backward(*given, d_out, call.wants))
    assert forward - 4 * d_out.numel() < BUDGET
    results = sum(value.numel() for value in (call.uv, call.uv_da, call.bias, *levels))
    assert backward - 4 * results < 1.5 * BUDGET
