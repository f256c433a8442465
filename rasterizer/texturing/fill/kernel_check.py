"""What the GPU kernels must pass before they are used on a device."""

from __future__ import annotations

import torch

from . import kernels, outward

_CASES = ((97, 130, 3, 0.0005), (40, 33, 1, 0.3), (5, 64, 6, 0.02), (64, 64, 2, 0.0))  # size, channels, share known
_CLOSE = 1e-5  # what is summed in another order is rounded otherwise


def check_kernels(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators on random texels.

    Raises:
        RuntimeError: an output differs.
    """
    random = torch.Generator().manual_seed(0)
    for height, width, channels, share in _CASES:
        known = torch.rand(height, width, generator=random, dtype=torch.float32) < share
        texture = torch.rand(height, width, channels, generator=random, dtype=torch.float32) * known[..., None]
        known, texture = known.to(device), texture.to(device)
        got, want = (way.spread_into(texture.clone(), known, lambda share: None) for way in (kernels, outward))
        if not torch.allclose(got, want, rtol=0, atol=_CLOSE):
            raise RuntimeError(f"self-test: texels differ by up to {float((got - want).abs().max())}")
