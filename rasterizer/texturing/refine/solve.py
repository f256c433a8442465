"""The least squares: conjugate gradients between robust weightings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...runtime.progress import counted
from .sampling import Rows, Sampling

_SMOOTH = 3e-3  # what a step between neighbouring changes costs, against a difference of a pixel: see `prior`
_NEAR = 1e-4  # what a change costs
_ROUNDS = 3  # of weighting
_OUTLIER = 0.02  # of full range, by which a view differs from others where its pixels count for half
_SHARED = 0.1  # of a texel's weight that views beside the heaviest must have to tell how far views differ
_DIFFER = 0.005  # of full range: views that differ by more are hardly followed


@dataclass(frozen=True)
class Problem:
    """Pictures to give back, by P pixels each and T texels.

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
        """``[P, C]`` of each view: what pictures have beyond what ``texels [T, C]`` show."""
        return [wanted - view.render(texels) for view, wanted in zip(self.views, self.pixels, strict=True)]

    def gathered(self, pixels: Sequence[Tensor]) -> Tensor:
        """``[T, C]``: the transpose of rendering, of pixels ``[P, C]`` times their weights."""
        total = pixels[0].new_zeros((len(self.prior), pixels[0].shape[1]))
        for view, weight, some in zip(self.views, self.weights, pixels, strict=True):
            view.add_to(total, some * weight[:, None])
        return total

    def normal(self, texels: Tensor) -> Tensor:
        """The matrix of the normal equations times ``texels [T, C]``."""
        total = self.prior.times(texels)
        for view, weight in zip(self.views, self.weights, strict=True):
            view.add_to(total, view.render(texels).mul_(weight[:, None]))
        return total


def prior(numbers: Tensor) -> Rows:
    """What changes cost where pixels say little: steps between neighbouring texels, and a bit the change itself.

    A pixel as wide as m texels says m² times less of each of them than of one as large as itself, and steps between
    texels of a wave that long are m² times less, too: the balance is the same for all sizes.

    Args:
        numbers: ``[H, W]`` int32, of texels that may change, row by row; -1 elsewhere.
    """
    height, width = numbers.shape
    where = (numbers.view(-1) >= 0).nonzero().squeeze(1)
    own = numbers.view(-1).index_select(0, where)
    padded = pad(numbers, (1, 1, 1, 1), value=-1)
    columns = [own]
    for row, column in ((0, 1), (1, 0), (1, 2), (2, 1)):
        neighbour = padded[row : row + height, column : column + width].reshape(-1).index_select(0, where)
        columns.append(torch.where(neighbour >= 0, neighbour, own))
    weights = torch.stack([(column != own) * -_SMOOTH for column in columns], dim=1)
    weights[:, 0] = _NEAR - weights.sum(1)
    starts = torch.arange(0, 5 * len(own) + 1, 5, dtype=torch.int32, device=own.device)
    return Rows(starts, torch.stack(columns, dim=1).view(-1), weights.view(-1))


def evened(views: Sequence[Sampling], weights: Sequence[Tensor], texels: int) -> list[Tensor]:
    """Weights ``[P]`` of pixels by which those of all views together count alike everywhere, as a mean does."""
    total = weights[0].new_zeros((texels, 1))
    for view, weight in zip(views, weights, strict=True):
        ours, count = torch.zeros_like(total), torch.zeros_like(total)
        view.add_to(ours, weight[:, None])
        view.add_to(count, (weight > 0).to(weight)[:, None])
        total += ours / count.clamp(min=1e-9)
    return [weight / view.render(total)[:, 0].clamp(min=1e-9) for view, weight in zip(views, weights, strict=True)]


def solve(problem: Problem, start: Tensor, steps: int, report: Callable[[float], None]) -> tuple[Tensor, float]:
    """The change of texels ``[T, C]`` after which they show the pictures, and what share of it is wise, 0..1.

    Least squares, in which pixels that lie far off what other views show count less, by conjugate gradients with the
    inverse of the weight that each texel has as their preconditioner. The share is the smaller, the more views differ
    where several show the same: what sharpens a picture sharpens its errors, too.

    Args:
        problem: what to give back.
        start: ``[T, C]``.
        steps: of conjugate gradients.
        report: takes the share done.
    """

    told = counted("step", steps, report)

    def tick(step: int) -> None:
        told(step / steps)

    change, rounds, weighted = torch.zeros_like(start), min(_ROUNDS, steps), problem
    for number in range(rounds):
        residuals = problem.residuals(start + change)
        if number:
            weighted = replace(problem, weights=_without_outliers(problem, residuals))
        gradient = weighted.gathered(residuals).sub_(problem.prior.times(change))
        weight = weighted.gathered([torch.ones_like(residual[:, :1]) for residual in residuals])
        some = range(number * steps // rounds, (number + 1) * steps // rounds)
        _descend(weighted, change, gradient, weight, some, tick)
    return change, 1 / (1 + (float(_difference(weighted, start + change)) / _DIFFER) ** 4)


def _descend(
    problem: Problem, change: Tensor, gradient: Tensor, weight: Tensor, steps: range, tick: Callable[[int], None]
) -> None:
    """Steps of conjugate gradients, in place.

    Args:
        problem: what to give back.
        change: ``[T, C]`` of the texels.
        gradient: ``[T, C]`` there, downhill.
        weight: ``[T, 1]`` of what pixels say of each texel.
        steps: their numbers.
        tick: called before each.
    """
    inverse = (weight + (4 * _SMOOTH + _NEAR)).reciprocal_()
    direction = gradient * inverse
    slope = _dot(gradient, direction)
    for step in steps:
        tick(step)
        applied = problem.normal(direction)
        length = slope / _dot(direction, applied).clamp(min=1e-30)
        change.addcmul_(direction, length)
        gradient.addcmul_(applied, length, value=-1)
        downhill = torch.mul(gradient, inverse, out=applied)
        before, slope = slope, _dot(gradient, downhill)
        direction.mul_(slope / before.clamp(min=1e-30)).add_(downhill)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return torch.dot(one.view(-1), other.view(-1))


def _without_outliers(problem: Problem, residuals: Sequence[Tensor]) -> list[Tensor]:
    """Weights of pixels, less where their view differs from what others show of the same texels (Cauchy's weights)."""
    weights = []
    for view, weight, residual in zip(problem.views, problem.weights, residuals, strict=True):
        sums, share = _means(view, weight, residual)
        sizes = (sums / share.clamp(min=1e-9)).square_().mean(1, keepdim=True).sqrt_()
        every = sizes.new_zeros((len(problem.prior), 1)).index_copy_(0, view.used, sizes)
        weights.append(weight / (view.render(every)[:, 0] / _OUTLIER).square_().add_(1))
    return weights


def _means(view: Sampling, weight: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sums ``[K, C]`` of a view's residuals over the texels that it shows, and of the weights ``[K, 1]``.

    Where a single view shows a texel, least squares leave nothing of these: the residuals there are what no texture can
    show. Where several do, the sum of all vanishes, but that of each alone is what they differ by.
    """
    return view.backward.times(residual * weight[:, None]), view.backward.times(weight[:, None])


def _difference(problem: Problem, texels: Tensor) -> Tensor:
    """By how much views differ where several show the same, root mean square."""
    squares, total, own = (texels.new_zeros(len(texels)) for _ in range(3))
    for view, weight, residual in zip(problem.views, problem.weights, problem.residuals(texels), strict=True):
        sums, share = _means(view, weight, residual)
        share = share[:, 0]
        # No texel comes twice in a view, so that the order of additions is always the same.
        squares.index_add_(0, view.used, sums.square().mean(1) / share.clamp(min=1e-9))
        total.index_add_(0, view.used, share)
        own.index_add_(0, view.used, share.square())
    free = total - own / total.clamp(min=1e-9)  # by which the mean of independent errors lowers their squares
    shared = (free > _SHARED * total).to(texels)
    return (torch.dot(squares, shared) / torch.dot(free, shared).clamp(min=1e-9)).sqrt()
