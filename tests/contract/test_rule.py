"""The compensated float32 form of alpha has the bits of the float64 form; constants are real ones."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import rasterizer
from rasterizer.contract import rule as arithmetic
from rasterizer.contract import scenes
from rasterizer.contract.rule import complement, constant


def _weights(count: int, random: torch.Generator) -> torch.Tensor:
    """Values in [0, 1] of every magnitude, including powers of two, their neighbours, and values next to 0 and 1."""
    uniform = torch.rand(count, generator=random)
    small = 2.0 ** torch.randint(-70, 0, (count,), generator=random).float()
    power = torch.randint(0, 5, (count,), generator=random).float() * small
    kinds = torch.stack(
        (uniform, uniform * small, 1 - uniform * small, power, 1 - power, 0.5 + (uniform - 0.5) * small)
    )
    pick = torch.randint(0, len(kinds), (count,), generator=random)
    return kinds[pick, torch.arange(count)].clamp(0, 1)


@pytest.mark.parametrize("seed", range(6))
def test_compensated_alpha_has_the_bits_of_float64(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    count = 1_000_000
    beta, gamma = _weights(count, random), _weights(count, random)
    if seed % 3:  # next to the edge alpha = 0, where a sign decides coverage
        nudge = torch.randn(count, generator=random, dtype=torch.float64)
        nudge *= 2.0 ** torch.randint(-60, -20, (count,), generator=random).double()
        gamma = (1 - beta.double() + nudge).float().clamp(0, 1)
    exact, compensated = complement(beta, gamma, True), complement(beta, gamma, False)
    covered = exact >= 0
    assert torch.equal(covered, compensated >= 0)
    assert torch.equal(exact[covered], compensated[covered])
    assert 0 < int(covered.sum()) < count


def test_plain_float32_would_not_do() -> None:
    random = torch.Generator().manual_seed(0)
    beta, gamma = _weights(100_000, random), _weights(100_000, random)
    assert not torch.equal(1 - beta - gamma, complement(beta, gamma, True))


def test_constants_do_not_remember_what_is_made_under_a_mode() -> None:
    cpu, values = torch.device("cpu"), (3.0, 1.0, 4.0)
    with FakeTensorMode():
        assert isinstance(constant(values, cpu), FakeTensor)
    real = constant(values, cpu)
    assert type(real) is torch.Tensor and real.tolist() == list(values) and constant(values, cpu) is real
    with FakeTensorMode():
        assert isinstance(constant(values, cpu), FakeTensor)
    assert constant(values, cpu) is real


def test_rasterizing_is_whole_after_it_was_tried_under_fake_tensors() -> None:
    pos, tri = scenes.soup(50, 0.5, seed=3)
    want = rasterizer.rasterize(pos, tri, (33, 31))
    with FakeTensorMode(allow_non_fake_inputs=True), contextlib.suppress(Exception):  # which has no numbers to draw by
        rasterizer.rasterize(pos * 2, tri, (33, 29))
    got = rasterizer.rasterize(pos, tri, (33, 31))
    assert torch.equal(got.findices, want.findices) and torch.equal(got.barycentric, want.barycentric)
    assert rasterizer.rasterize(pos, tri, (33, 29)).findices.any()


def test_constants_made_in_a_capture_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    capturing, gpu = [True], torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capturing[0])
    monkeypatch.setattr(arithmetic, "_made", lambda values, device, dtype: torch.tensor(values, dtype=dtype))
    monkeypatch.setattr(arithmetic, "_kept", {})
    first = constant((2.0, 7.0), gpu)
    assert constant((2.0, 7.0), gpu) is not first
    capturing[0] = False
    kept = constant((2.0, 7.0), gpu)
    assert constant((2.0, 7.0), gpu) is kept is not first
    capturing[0] = True
    assert constant((2.0, 7.0), gpu) is kept  # which was there before the capture


def test_constants_kept_are_bounded() -> None:
    for number in range(3 * arithmetic._MOST_KEPT):
        assert constant((float(number),), torch.device("cpu")).item() == number
    assert len(arithmetic._kept) <= arithmetic._MOST_KEPT
