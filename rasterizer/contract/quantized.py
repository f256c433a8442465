"""Vertices that are stored as integers, and how they come to clip space: stated once, for every backend."""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import as_tensor


def to_clip(positions: Tensor, matrices: Tensor) -> Tensor:
    """``[B, N, 4]`` float32 clip space of ``positions [N, 3]`` int16 under ``matrices [B, 4, 4]`` float32.

    Row by row ``((m0*x + m1*y) + m2*z) + m3``, in float32 with one rounding per operation and no fused multiply-add;
    integers of 16 bits are exact in it. A vertex before the near plane, where ``z < -w``, has NaN for ``w``: nothing is
    clipped, and the faces that it belongs to draw nothing instead of smearing over the image.
    """
    x, y, z = positions.to(torch.float32).unbind(1)
    # Not a matrix product: that sums in another order, and may run in TF32 where an application has allowed it.
    m = matrices[..., None]
    clip = m[:, :, 0] * x + m[:, :, 1] * y
    clip = clip.add_(m[:, :, 2] * z).add_(m[:, :, 3])
    depth, w = clip[:, 2], clip[:, 3]
    clip[:, 3] = torch.where(depth >= -w, w, torch.nan)
    return clip.transpose(1, 2).contiguous()


def check_quantized(positions: Tensor, name: str = "positions") -> Tensor:
    """Vertices ``[N, 3]`` int16.

    Raises:
        ValueError: they are something else.
    """
    positions = as_tensor(positions, name)
    if positions.dtype != torch.int16 or positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(
            f"{name}: is {list(positions.shape)} {positions.dtype}, expected [N, 3] torch.int16; of unsigned integers "
            "take 32768 away, and move the matrices by as much"
        )
    return positions


def check_matrices(matrices: Tensor, device: torch.device, name: str = "matrices") -> Tensor:
    """Matrices ``[4, 4]`` or ``[B, 4, 4]`` float32, on ``device``, of one view or of several.

    Raises:
        ValueError: they are something else.
    """
    matrices = as_tensor(matrices, name)
    if not matrices.is_floating_point() or matrices.ndim not in (2, 3) or matrices.shape[-2:] != (4, 4):
        raise ValueError(f"{name}: is {list(matrices.shape)} {matrices.dtype}, expected [4, 4] or [B, 4, 4] float32")
    if matrices.device != device:
        raise ValueError(f"{name}: is on {matrices.device}, expected {device}, where the positions are")
    return matrices.detach().to(torch.float32)
