"""The compensated float32 form of alpha has the bits of the float64 form."""

from __future__ import annotations

import pytest
import torch

from rasterizer.arithmetic import complement


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
