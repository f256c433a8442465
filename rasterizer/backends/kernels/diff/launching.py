"""What the launchers of the differentiable primitives share."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ....contract.diff_rule import ID_BITS, MOST_PLAIN_ID

SHARED = Path(__file__).with_name("shared.cu")
"""What their programs share."""

SHARED_DEFINES = {"MOST_PLAIN_ID": MOST_PLAIN_ID, "ID_BITS": ID_BITS}
"""Constants that it needs."""

MOST_IMAGES = 65535
"""Blocks of a grid along y at most."""


def aligned(value: Tensor) -> Tensor:
    """On a 16-byte boundary, as kernels read several numbers at once; PyTorch's tensors are, but for views."""
    return value if value.data_ptr() % 16 == 0 else value.clone()


def address(value: Tensor | None) -> int:
    """Where a tensor lies, 0 for None."""
    return 0 if value is None else value.data_ptr()
