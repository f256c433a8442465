"""Texture calls of an implementation of :mod:`rasterizer.backends.diff_interface`, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rasterizer.backends.diff_interface import TextureWants

MODES = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES = ("wrap", "clamp", "zero", "cube")

Step = Callable[[str], Callable[..., Any]]
"""An implementation: gives the function of a step's name."""


@dataclass
class Call:
    """Arguments of a call, on the CPU.

    Attributes:
        levels: all levels, if ``custom``; otherwise level 0 alone.
        depth: levels above level 0 to make of it.
        custom: whether the levels are given.
    """

    levels: list[Tensor]
    uv: Tensor
    mode: str
    boundary: str
    uv_da: Tensor | None = None
    bias: Tensor | None = None
    depth: int = 0

    def pyramid(self, step: Step, device: torch.device) -> list[Tensor]:
        """The levels, on a device."""
        levels = [level.to(device) for level in self.levels]
        return levels + step("mipmaps")(levels[0], self.depth) if self.depth else levels

    def run(self, step: Step, device: torch.device) -> Tensor:
        """The forward step alone."""
        return step("texture")(self.pyramid(step, device), *self._rest(device)).cpu()

    def _rest(self, device: torch.device) -> tuple[Any, ...]:
        places = (None if value is None else value.to(device) for value in (self.uv, self.uv_da, self.bias))
        return *places, self.mode, self.boundary

    @property
    def wants(self) -> TextureWants:
        """Everything that has a gradient."""
        sloped = self.mode == "linear-mipmap-linear"
        return TextureWants(
            True, self.mode != "nearest", sloped and self.uv_da is not None, sloped and self.bias is not None
        )

    def gradients(
        self, step: Step, device: torch.device, d_out: Tensor, wants: TextureWants | None = None
    ) -> dict[str, Tensor]:
        """By name: ``tex``, further levels that were given ``mip1`` and so on, ``uv``, ``uv_da`` and ``bias``."""
        levels = self.pyramid(step, device)
        by_level, *others = step("texture_backward")(
            levels, *self._rest(device), d_out.to(device), self.wants if wants is None else wants
        )
        found = dict(zip(("uv", "uv_da", "bias"), others, strict=True))
        if by_level is not None:
            assert [each.shape for each in by_level] == [each.shape for each in levels]
            found["tex"] = step("mipmaps_backward")(by_level) if self.depth else by_level[0]
            found |= {f"mip{number}": each for number, each in enumerate(by_level) if number and not self.depth}
        assert all(value is None or value.is_contiguous() for value in found.values())
        return {name: value.cpu() for name, value in found.items() if value is not None}


def sizes(height: int, width: int, most: int = 99) -> list[tuple[int, int]]:
    """Of the levels above a level 0 of this size that halve evenly, at most ``most``."""
    found: list[tuple[int, int]] = []
    while (
        len(found) < most and (height, width) != (1, 1) and all(side == 1 or side % 2 == 0 for side in (height, width))
    ):
        height, width = max(1, height // 2), max(1, width // 2)
        found.append((height, width))
    return found
