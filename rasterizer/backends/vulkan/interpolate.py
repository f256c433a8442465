"""Interpolating by Vulkan, for tensors on any device: what is not on the host travels through it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..eager.interpolate import interpolate as by_operators
from . import session

reason_against = session.reason_against
reason_to_pass_over = partial(session.reason_to_pass_over, "interpolate")


def interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor, budget: int = 0) -> Tensor:
    """As :func:`rasterizer.backends.eager.interpolate.interpolate`; falls back to it for what the shader is not for,
    and when the card fails."""
    arguments = (col, findices, barycentric, tri)
    suited = col.dtype == barycentric.dtype == torch.float32 and findices.numel() and col.numel() and len(tri)
    if not suited:
        return by_operators(*arguments, budget)
    return session.attempt(
        lambda card: card.interpolator.interpolate(*arguments).to(col.device),
        lambda: by_operators(*arguments, budget),
    )
