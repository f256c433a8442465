"""The ways in which each step of the differentiable primitives can be done, as one fixture."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from rasterizer.backends.kernels import diff as kernels
from rasterizer.runtime.policy import PORTABLE, force_policy
from tests.support.emulator import emulated, programs_of


@dataclass(frozen=True)
class Way:
    """One implementation on one device; called with a step's name it gives the function.

    Attributes:
        name: for tests that expect less of one.
        family: ``eager`` or ``kernels``.
        device: where the function wants its tensors.
    """

    name: str
    family: str
    device: torch.device

    def __call__(self, step: str) -> Callable[..., Any]:
        name = step.removesuffix("_backward")
        found = importlib.import_module(
            f"rasterizer.backends.{self.family}.diff.{'texture' if name in ('mipmaps', 'mipmapped') else name}"
        )
        if self.name == "kernels":
            assert found.reason_against(self.device) == ""
        return getattr(found, step)


_WAYS = {
    "eager": Way("eager", "eager", torch.device("cpu")),
    "portable": Way("portable", "eager", torch.device("cpu")),
    "eager on cuda": Way("eager on cuda", "eager", torch.device("cuda", 0)),
    "emulated": Way("emulated", "kernels", torch.device("cpu")),
    "kernels": Way("kernels", "kernels", torch.device("cuda", 0)),
}


_OPERATORS = ["eager", "portable", pytest.param("eager on cuda", marks=pytest.mark.gpu)]
_KERNELS = ["emulated", pytest.param("kernels", marks=pytest.mark.gpu)]

OPERATORS = pytest.mark.parametrize("way", _OPERATORS, indirect=True)
"""For a test of PyTorch's operators alone."""

KERNELS = pytest.mark.parametrize("way", _KERNELS, indirect=True)
"""For a test of the kernels alone."""


@pytest.fixture(params=[*_OPERATORS, *_KERNELS])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Every implementation that this machine can run."""
    with _only(request.param):
        yield _WAYS[request.param]


def _only(name: str) -> AbstractContextManager[None]:
    """What a way needs around it."""
    if name == "portable":
        return force_policy(PORTABLE)
    if name == "emulated":
        modules = [
            importlib.import_module(f"{kernels.__name__}.{found.name}")
            for found in pkgutil.iter_modules(kernels.__path__)
        ]
        return emulated(*programs_of(*modules))
    return nullcontext()
