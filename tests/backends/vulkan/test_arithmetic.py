"""What the shaders compute by integers, and alpha, number by number, beside PyTorch on the CPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rasterizer.backends.vulkan import pipelines
from rasterizer.backends.vulkan.check import same
from rasterizer.backends.vulkan.frame import BINDINGS, PARAMS
from rasterizer.backends.vulkan.session import Card
from rasterizer.contract.rule import complement

SOURCE = """#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "exact.glsl"
#include "scene.glsl"

void main() {
    uint index = thread();
    if (index >= p.items) return;
    uint a = positions[index].x, b = positions[index].y;
    float alpha = complement(uintBitsToFloat(a), uintBitsToFloat(b));
    screen[index] = uvec4(added(a, b), multiplied(a, b), divided(a, b), floatBitsToUint(alpha));
}
"""
COUNT = 200_000


@pytest.fixture
def compute(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``[4, N]`` sums, products, quotients and alphas of two tensors ``[N]``."""
    compiler = shutil.which("glslangValidator")
    if compiler is None:
        pytest.skip("no glslangValidator: it is in the Vulkan SDK, and Debian's glslang-tools")
    (tmp_path / "arithmetic.comp").write_text(SOURCE)
    options = ["-V", "--target-env", "vulkan1.0", f"-I{pipelines.FOLDER}", str(tmp_path / "arithmetic.comp")]
    subprocess.run([compiler, *options, "-o", str(tmp_path / "arithmetic.spv")], check=True, capture_output=True)
    monkeypatch.setattr(pipelines, "FOLDER", tmp_path)
    shaders = pipelines.Shaders(card.gpu, BINDINGS, PARAMS)

    def run(a: Tensor, b: Tensor) -> Tensor:
        size, memory, commands = 16 * len(a), card.memory, card.gpu.commands()
        both = memory.working("given", size)
        memory.send(torch.stack((a, b, a, b), dim=1).contiguous(), both)
        made, other = memory.working("made", size), memory.working("other", 16)
        staging, data = memory.staging("answer", size, read=True)
        shaders.see([both, other, made, *[other] * (BINDINGS - 3)])
        commands.begin()
        shaders.run(commands, "arithmetic", -(-len(a) // 64), shaders.params.pack(*[0] * 11, len(a)))
        commands.copy(made, staging, size)
        commands.submit()
        commands.wait()
        return data[:size].view(torch.float32).view(-1, 4).clone().t()

    return run


def test_numbers_of_all_bits(compute) -> None:
    random = torch.Generator().manual_seed(0)
    a, b = torch.randint(-(2**31), 2**31, (2, COUNT), generator=random).to(torch.int32)
    b[::3] = (a[::3] & 0x7F800000) | (b[::3] & ~0x7F800000)  # of one size: sums cancel, quotients are near 1
    b[::7] ^= (b[::7] ^ a[::7]) & 0x7FFFFF00  # neighbours
    a[::11] &= -(2**12)  # ties
    b[::13] &= -(2**18)
    b[5::50], a[7::50], b[9::40], a[9::80] = 0, -(2**31), 0x7F800000, 0x00000001
    a, b = a.view(torch.float32), b.view(torch.float32)
    sums, products, quotients, _ = compute(a, b)
    for found, want in ((sums, a + b), (products, a * b), (quotients, a / b)):
        assert same(found, want)
        assert torch.equal(found[want == 0].signbit(), want[want == 0].signbit())
        denormal = (want != 0) & (want.abs() < torch.finfo(torch.float32).tiny)
        assert denormal.sum() > 20 and want.isnan().sum() > 20 and want.isinf().sum() > 20


def test_alpha(compute) -> None:
    random = torch.Generator().manual_seed(0)

    def weights() -> Tensor:
        power = torch.randint(-60, 0, (COUNT,), generator=random, dtype=torch.float32)
        return (torch.rand(COUNT, generator=random) + 1) * 2**power

    beta, gamma = weights().clamp(max=1), weights().clamp(max=1)
    beta[::4] = (1 - weights()[::4]).clamp(min=0)
    gamma[1::4] = (1 - beta[1::4]) * (1 + 2**-23 * torch.randint(-3, 3, (COUNT // 4,), generator=random))
    gamma[::5] = 2.0 ** torch.randint(-56, -20, (COUNT // 5,), generator=random, dtype=torch.float32)  # ties
    beta[::10] = 0.5 + 2.0 ** torch.randint(-24, -1, (COUNT // 10,), generator=random, dtype=torch.float32)
    found, want = compute(beta, gamma)[3], complement(beta, gamma, True)
    inside = want >= 0
    assert torch.equal(found[inside], want[inside]) and inside.sum() > COUNT // 2
    assert (found[~inside] < 0).all() and (~inside).sum() > 100
