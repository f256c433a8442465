"""The least squares: conjugate gradients between robust weightings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .operator import Rows, Sampling

SMOOTH = 3e-3
NEAR = 1e-4


@dataclass
class Problem:
    """Pictures to give back.

    Attributes:
        views: what the pixels of each show.
        pixels: ``[P, C]`` of each, their colours.
        weights: ``[P]`` of each.
        prior: of changes of the texels, ``[T, T]``.
    """

    views: Sequence[Sampling]
    pixels: Sequence[Tensor]
    weights: Sequence[Tensor]
    prior: Rows

    def residuals(self, texels: Tensor) -> list[Tensor]:
        """``[P, C]`` of each view, what pictures have beyond what ``texels [T, C]`` show."""
        return [wanted - view.render(texels) for view, wanted in zip(self.views, self.pixels, strict=True)]

    def normal(self, texels: Tensor) -> Tensor:
        total = self.prior.times(texels)
        for view, weight in zip(self.views, self.weights, strict=True):
            view.add_to(total, view.render(texels).mul_(weight[:, None]))
        return total

    def transposed(self, pixels: Sequence[Tensor], count: int) -> Tensor:
        total = pixels[0].new_zeros((count, pixels[0].shape[1]))
        for view, weight, some in zip(self.views, self.weights, pixels, strict=True):
            view.add_to(total, some * weight[:, None])
        return total


def solve(problem: Problem, start: Tensor, steps: int, rounds: int, report: Callable[[float], None], robust=2.5, floor=0.01) -> Tensor:
    change = torch.zeros_like(start)
    known = problem
    done = 0
    for number in range(rounds):
        residuals = problem.residuals(start + change)
        if number:
            scale = robust * _spread(residuals, problem.weights) + floor
            known = replace(problem, weights=[w / (1 + (r.square().mean(1).sqrt() / scale).square()) for w, r in zip(problem.weights, residuals)])
        gradient = known.transposed(residuals, len(start)) - problem.prior.times(change)
        inverse = 1 / (known.transposed([torch.ones_like(r[:, :1]) for r in residuals], len(start)) + 4 * SMOOTH + NEAR)
        last = (number + 1) * steps // rounds
        direction = gradient * inverse
        slope = dot(gradient, direction)
        while done < last:
            report(done / steps)
            applied = known.normal(direction)
            length = slope / dot(direction, applied).clamp(min=1e-30)
            change.addcmul_(direction, length)
            gradient.addcmul_(applied, length, value=-1)
            z = torch.mul(gradient, inverse, out=applied)
            slope, before = dot(gradient, z), slope
            direction.mul_(slope / before.clamp(min=1e-30)).add_(z)
            done += 1
    return change


def dot(one, other):
    return torch.dot(one.view(-1), other.view(-1))


def prior(ids: Tensor) -> Rows:
    """ids [H,W] int32, -1 unknown."""
    h, w = ids.shape
    padded = torch.nn.functional.pad(ids, (1, 1, 1, 1), value=-1)
    at = (ids.view(-1) >= 0).nonzero().squeeze(1)
    me = ids.view(-1)[at]
    cols, wts = [me], []
    degree = torch.zeros_like(me, dtype=torch.float32)
    for dy, dx in ((0, 1), (1, 0), (1, 2), (2, 1)):
        other = padded[dy : dy + h, dx : dx + w].reshape(-1)[at]
        there = (other >= 0).float()
        degree += there
        cols.append(torch.where(other >= 0, other, me))
        wts.append(there * -SMOOTH)
    wts = [degree * SMOOTH + NEAR, *wts]
    n = len(me)
    return Rows(torch.arange(0, 5 * n + 1, 5, dtype=torch.int32), torch.stack(cols, 1).view(-1), torch.stack(wts, 1).view(-1))


def _spread(residuals, weights):
    r = torch.cat([r.square().mean(1).sqrt() for r in residuals])
    return r.median()
