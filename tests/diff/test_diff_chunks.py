"""The differentiable primitives in PyTorch operators in small pieces, side by side, as large images are done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rasterizer.backends.eager.diff import antialias, interpolate, silhouettes, topology
from rasterizer.runtime import threads
from rasterizer.runtime.policy import CPU, GPU, PORTABLE, DevicePolicy, force_policy

POLICIES = pytest.mark.parametrize("policy", [CPU, GPU, PORTABLE], ids=["cpu", "gpu", "portable"])
SIZE = (3, 61, 53)


def image(generator: torch.Generator, triangles: int) -> Tensor:
    ids = torch.randint(0, triangles + 1, SIZE, generator=generator).float()
    return torch.cat((torch.rand((*SIZE, 3), generator=generator), ids[..., None]), -1)


def assert_same(
    monkeypatch: pytest.MonkeyPatch, policy: DevicePolicy, small: dict[tuple[object, str], int], run: Callable
) -> None:
    """``run`` gives what it gives with other sizes of pieces."""
    with force_policy(policy):
        whole = run()
        for (module, name), value in small.items():
            monkeypatch.setattr(module, name, value)
        monkeypatch.setattr(threads, "_PIXELS", 1000)
        pieces = run()
    for found, right in zip(pieces, whole, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)


@POLICIES
@pytest.mark.parametrize("shape", [(1, 40, 3), (3, 40, 3), (40, 18)])
def test_interpolation(monkeypatch: pytest.MonkeyPatch, policy: DevicePolicy, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    rast, tri = image(generator, 25), torch.randint(40, (25, 3), generator=generator, dtype=torch.int32)
    attr, rast_db, d_out, d_da = (
        torch.randn(of, generator=generator) for of in (shape, (*SIZE, 4), (*SIZE, shape[-1]), (*SIZE, 2 * shape[-1]))
    )

    def run() -> tuple[Tensor, ...]:
        forward = interpolate.interpolate(attr, rast, tri, rast_db, True, ())
        wanted = (True, True, True)
        return *forward, *interpolate.interpolate_backward(attr, rast, tri, rast_db, True, (), d_out, d_da, wanted)

    small = {(interpolate, "WORKING_BYTES"): 1, (interpolate, "_COLUMN_CHUNK"): 100, (interpolate, "_PART"): 1000}
    assert_same(monkeypatch, policy, small, run)


@POLICIES
@pytest.mark.parametrize("shared", [True, False])
def test_antialiasing(monkeypatch: pytest.MonkeyPatch, policy: DevicePolicy, shared: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    tri = torch.randint(400, (300, 3), generator=generator, dtype=torch.int32)
    rast, across = image(generator, len(tri)), topology.topology(tri, 400)
    pos = torch.rand((400, 4) if shared else (3, 400, 4), generator=generator) - 0.5
    pos[..., 3] = 1.0
    color, d_out = torch.randn((2, *SIZE, 3), generator=generator)

    def run() -> tuple[Tensor, ...]:
        out, work = antialias.antialias(color, rast, pos, tri, across)
        assert (out != color).any()
        return out, *antialias.antialias_backward(color, rast, pos, tri, across, work, d_out, (True, True))

    assert_same(monkeypatch, policy, {(silhouettes, "WORKING_BYTES"): 20_000, (silhouettes, "_CACHED"): 300}, run)
