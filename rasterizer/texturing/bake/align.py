"""Aligning views whose features do not meet: each picture moves smoothly towards what the others show.

After Zhou and Koltun, "Color Map Optimization for 3D Reconstruction with Consumer Depth Cameras", 2014, who bend
pictures by a grid of control points; here by a dense smooth flow, found anew in each round from pictures as they are
bent so far, and only as far as what is found there looks alike.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import max_pool2d

from ...runtime.progress import counted, shares
from ...runtime.threads import share_rows
from .flow import find_flow, likeness, masked_blur, warp
from .scene import Scene
from .view import selects

_LEAST = 1e-5  # trust from which on a view counts
_ALIKE = 0.6  # correlation from which on a flow is believed
_REST = 0.05  # share of believed pixels in the neighbourhood at which the flow is halved
_REACH = 32  # the flow is smoothed over this part of a picture's side
_FARTHEST = 40  # and is at most this part of its height
_NOISE = 0.3  # pixels that a flow may well be off; shorter ones are not followed
_TOGETHER = 1 << 20  # pixels of views whose flow is found at once, where views are worked on together
_STEPS_OF_FLOW = 64  # times as much work a pixel as drawing one


def find_shifts(scene: Scene, rounds: int, report: Callable[[float], None]) -> tuple[Tensor, Tensor]:
    """How far to move each picture: ``[V, 2, h, w]`` (x, y) in pixels of the scene; what belongs to pixel p lies so far
    from it. And ``[V]`` bool: views that moving made no more alike to the others, whose flow is not to be followed.
    """
    count, height, width = scene.shape
    flow = scene.gray.new_zeros(count, 2, height, width)
    moved, before = scene.gray, scene.gray.new_zeros(count)
    most = height / _FARTHEST
    steps = shares(counted("round", rounds + 1, report), rounds + 1)
    for number in range(rounds):
        looking, finding = shares(next(steps), 2)
        seen = scene.others(moved, looking)
        if not number:
            before = _difference(moved, *seen)
        step = _towards(moved, *seen, finding)
        flow = step + warp(flow, step)
        flow = flow * (most / flow.norm(dim=1, keepdim=True).clamp(min=most))
        moved = warp(scene.gray, flow)
    after = _difference(moved, *scene.others(moved, next(steps)))
    far = (flow.norm(dim=1) > 0.99 * most).to(flow).mean((1, 2)) > scene.shown.mean((1, 2, 3)) / 2
    finite = flow.isfinite().flatten(1).all(1)
    report(1.0)
    return flow, ~(finite & (after <= before)) | far


def _mask(trust: Tensor, own: Tensor) -> Tensor:
    """Where a view and others both show something, less a rim of one pixel."""
    mask = ((trust > _LEAST) & (own > _LEAST)).to(trust)
    return 1 - max_pool2d(1 - mask, 3, 1, 1)


def _difference(moved: Tensor, others: Tensor, trust: Tensor, own: Tensor) -> Tensor:
    """``[V]``: how far each view is from what the others show, mean squares."""
    mask = _mask(trust, own)
    total = ((moved - others).square() * mask).sum((1, 2, 3))
    return total / mask.sum((1, 2, 3)).clamp(min=1)


def _towards(moved: Tensor, others: Tensor, trust: Tensor, own: Tensor, report: Callable[[float], None]) -> Tensor:
    """The flow of one round, ``[V, 2, h, w]``."""
    count, _, height, width = moved.shape
    found = moved.new_zeros(count, 2, height, width)

    def find(some: slice) -> None:
        found[some] = _flow(moved[some], others[some], trust[some], own[some])

    chunk = 1 if selects(moved.device) else max(1, _TOGETHER // (height * width))
    weight = height * width * _STEPS_OF_FLOW
    share_rows(find, count, moved.device, weight=weight, chunk=chunk, report=report)
    return found


def _flow(moved: Tensor, others: Tensor, trust: Tensor, own: Tensor) -> Tensor:
    """The flow of some views, ``[V, 2, h, w]``."""
    mask = _mask(trust, own)
    flow = find_flow(moved, others, mask)
    alike = likeness(warp(moved, flow), others, mask)
    believed = mask * ((alike - _ALIKE) / (1 - _ALIKE)).clamp(0, 1)
    sigma = max(moved.shape[2:]) / _REACH
    flow = masked_blur(flow, believed, sigma, _REST)
    squared = flow.square().sum(1, keepdim=True)
    # The view that is trusted less moves more; two alike meet halfway.
    share = masked_blur(trust / (trust + own).clamp(min=1e-9), mask, sigma, 1e-3)
    return flow * share * (squared / (squared + _NOISE**2))
