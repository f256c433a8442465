"""The graphics cards of this machine."""

from __future__ import annotations

import torch

KINDS = {
    "cuda": "no CUDA or ROCm device",
    "mps": "no Apple GPU (MPS)",
    "xpu": "no Intel GPU (XPU)",
}
"""What is said where there is none, by PyTorch's name of the kind."""


def reason_against(kind: str = "cuda") -> str:
    """Why no test can run on a device of this kind; empty where it can."""
    backend = torch.backends.mps if kind == "mps" else getattr(torch, kind, None)
    return "" if backend is not None and backend.is_available() else KINDS[kind]
