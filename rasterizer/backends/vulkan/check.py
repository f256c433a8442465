"""Whether a card draws what the rule asks for, and how fast, before it is used."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ...contract import scenes
from ...contract.types import RasterOptions
from ..eager import rasterize as eager
from ..eager.interpolate import interpolate as by_operators
from .frame import Rasterizer
from .pixels import Interpolator

_TIMED = (10_000, (1024, 1024))
"""Faces of the sphere that is timed, and its image: an ordinary mesh."""


def self_test(rasterizer: Rasterizer, interpolator: Interpolator) -> None:
    """Compare the card with the eager path, bit for bit, on scenes that reach every branch.

    Raises:
        RuntimeError: something differs.
    """
    for name, pos, tri in _scenes():
        options = RasterOptions((95, 117), depth_prior=_prior() if name in ("layer", "extreme") else None)
        want, weights, told = eager.rasterize(pos[None], tri, options)
        found, got, info = rasterizer.draw(pos[None], tri, options)
        wrong = int((found != want).sum())
        if wrong or not same(got, weights) or int(info.invalid) != int(told.invalid):
            raise RuntimeError(f"self-test '{name}': {wrong} of {want.numel()} pixels show another face")
    _test_pieces(rasterizer)
    random = torch.Generator().manual_seed(0)
    col = torch.randn(2, 9, 5, generator=random) * 2.0 ** torch.randint(-149, 100, (2, 9, 5), generator=random)
    col = col.float()  # the user's default may be another, here and below
    tri = torch.randint(9, (7, 3), generator=random)
    findices = torch.randint(8, (2, 6, 11), generator=random, dtype=torch.int32)
    weights = torch.rand(2, 6, 11, 3, generator=random, dtype=torch.float32) * (findices > 0)[..., None]
    if not same(interpolator.interpolate(col, findices, weights, tri), by_operators(col, findices, weights, tri)):
        raise RuntimeError("self-test: interpolated values differ")


def _test_pieces(rasterizer: Rasterizer) -> None:
    """The same of views that are drawn in bands, by a queue that is too short for them."""
    pos, tri = scenes.soup(100, 0.6, seed=2)
    views, options = torch.stack((pos, pos * pos.new_tensor([1.0, -0.7, 1.0, 1.0]))), RasterOptions((95, 117))
    usual = rasterizer.capacity, rasterizer.band
    rasterizer.capacity, rasterizer.band = 30, 37 * 117
    try:
        found, got, _ = rasterizer.draw(views, tri, options)
    finally:
        rasterizer.capacity, rasterizer.band = usual
    want, weights, _ = eager.rasterize(views, tri, options)
    wrong = int((found != want).sum())
    if wrong or not same(got, weights):
        raise RuntimeError(f"self-test 'pieces': {wrong} of {want.numel()} pixels show another face")


def same(one: Tensor, other: Tensor) -> bool:
    """Equal to the bit, but for the sign of zeros and what is in a NaN."""
    return torch.equal(one.nan_to_num(nan=torch.inf), other.nan_to_num(nan=torch.inf)) and torch.equal(
        one.isnan(), other.isnan()
    )


def _scenes() -> list[tuple[str, Tensor, Tensor]]:
    random = torch.Generator().manual_seed(0)
    extreme = (torch.rand(900, 4, generator=random) * 2 - 1) * 2.0 ** torch.randint(
        -140, 60, (900, 1), generator=random
    )
    extreme[:300] *= 2.0 ** torch.randint(-9, 50, (300, 4), generator=random)
    extreme[::50] = torch.nan
    grid = scenes.soup(200, 0.5, seed=4)[0]
    grid[:, :2] = (grid[:, :2] * 16).round() / 16  # corners on pixel centres, edges through them
    extreme = extreme.float()
    faces = torch.arange(900, dtype=torch.int32).view(300, 3)
    return [
        ("small", *scenes.soup(2_000, 0.05, seed=1, behind=0.1)),
        ("medium", *scenes.soup(100, 0.6, seed=2)),
        ("large", *scenes.soup(12, 2.5, seed=3, behind=0.2)),
        ("edges", grid, faces[:200]),
        ("layer", *scenes.soup(100, 0.6, seed=2)),
        ("extreme", extreme, faces),
    ]


def _prior() -> Tensor:
    random = torch.Generator().manual_seed(1)
    prior = torch.rand(1, 95, 117, generator=random, dtype=torch.float32) * 3 - 2
    prior[prior > 0.8] = torch.nan
    return prior


def _times_rasterizing(rasterizer: Rasterizer, _: Interpolator, device: torch.device) -> tuple[float, float]:
    faces, size = _TIMED
    pos, tri = (tensor.to(device) for tensor in scenes.sphere(faces))
    options = RasterOptions(size)

    def ours() -> None:
        findices, barycentric, _ = rasterizer.draw(pos[None], tri, options)
        findices.to(device), barycentric.to(device)

    def theirs() -> None:
        findices, barycentric, _ = eager.rasterize(pos[None], tri, options)
        findices[0, 0, 0].item(), barycentric[0, 0, 0, 0].item()  # which waits for the device

    return _milliseconds(ours), _milliseconds(theirs)


def _times_interpolating(
    rasterizer: Rasterizer, interpolator: Interpolator, device: torch.device
) -> tuple[float, float]:
    faces, size = _TIMED
    pos, tri = scenes.sphere(faces)
    findices, barycentric, _ = rasterizer.draw(pos[None], tri, RasterOptions(size))
    col, findices, barycentric, tri = (each.to(device) for each in (pos[None, :, :3], findices, barycentric, tri))
    return (
        _milliseconds(lambda: interpolator.interpolate(col, findices, barycentric, tri).to(device)),
        _milliseconds(lambda: by_operators(col, findices, barycentric, tri)[0, 0, 0].tolist()),
    )


TIMES: dict[str, Callable[[Rasterizer, Interpolator, torch.device], tuple[float, float]]] = {
    "rasterize": _times_rasterizing,
    "interpolate": _times_interpolating,
}
"""By operation, milliseconds of a call for tensors on a device, transfers included: on the card, and by PyTorch
operators."""


def _milliseconds(call: Callable[[], object]) -> float:
    call()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)
