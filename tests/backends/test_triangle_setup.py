"""Triangle setup in stacks, for GPUs, and in columns, for CPUs: the same boxes, bit for bit."""

from __future__ import annotations

from inspect import isfunction, signature
from types import ModuleType

import pytest
import torch

from rasterizer.backends.eager import columns, stacks
from rasterizer.backends.eager.boxes import AX, ROWS, WA, X0
from rasterizer.backends.eager.layout import Layout
from rasterizer.backends.eager.triangles import ScreenCorners, Triangles

SIZE = 97, 130
_NASTY = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-42, 3e38, -3e38, 1.0, -1.0])


def _mesh(scale: float, orthographic: bool) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(5)
    pos = (torch.rand(400, 4, generator=random) * 2 - 1) * scale
    pos[:, 3] = 1.0 if orthographic else pos[:, 3] + 0.5 * scale
    nasty = (
        torch.randint(0, 400, (60,), generator=random),
        torch.randint(0, 3 + (not orthographic), (60,), generator=random),
    )
    pos[nasty] = _NASTY[torch.randint(0, len(_NASTY), (60,), generator=random)]
    return pos, torch.randint(0, 400, (3000, 3), generator=random)


def _triangles(pos: torch.Tensor, tri: torch.Tensor, layout: Layout, budget: int) -> Triangles:
    return Triangles(ScreenCorners(pos, tri, SIZE, budget, layout, 128), budget, 700)


@pytest.mark.parametrize("orthographic", [False, True])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e30])
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("budget", [0, 1 << 30], ids=["mapped when asked for", "mapped once"])
def test_columns_and_stacks_agree(scale: float, orthographic: bool, views: int, budget: int) -> None:
    pos, tri = _mesh(scale, orthographic)
    pos = torch.stack([pos, pos.flip(0)][:views])
    both = [_triangles(pos, tri, layout, budget) for layout in (stacks, columns)]
    stacked, apart = (triangles.set_up(0, views * len(tri)) for triangles in both)
    bad = torch.isnan(stacked.rows[:WA]).any(0)
    assert 0 < bad.sum() < len(bad) and stacked.rows[X0:].any()
    assert stacked.invalid() == apart.invalid() == bad.sum()
    assert all((boxes.extent()[:, bad].prod(0) == 0).all() for boxes in (stacked, apart))
    kept = torch.arange(ROWS)
    if both[1].corners.orthographic:
        kept = torch.cat((kept[:WA], kept[AX:]))
    found = (boxes.rows[kept][:, ~bad] for boxes in (stacked, apart))
    torch.testing.assert_close(*found, rtol=0, atol=0, equal_nan=True)  # an area may be infinity - infinity


@pytest.mark.parametrize("budget", [0, 1 << 30], ids=["anew", "kept"])
def test_what_pixels_look_up_agrees(budget: int) -> None:
    pos, tri = _mesh(1.0, orthographic=False)
    both = [_triangles(pos[None], tri, layout, budget) for layout in (stacks, columns)]
    good = [~torch.isnan(triangles.set_up(0, len(tri)).rows[:WA]).any(0) for triangles in both][0]
    findex = ((torch.arange(len(tri)) + 1) * good).to(torch.int32).view(-1, 50)  # 0 is background
    stacked, apart = (triangles.at(findex, None) for triangles in both)
    assert torch.equal(stacked.corner, torch.stack(apart.corner)) and torch.equal(stacked.inv, apart.inv)
    assert torch.equal(stacked.slopes, torch.stack([torch.stack(axis) for axis in apart.slopes]))
    assert torch.equal(stacked.weights, torch.stack(list(apart.weights)))
    assert (apart.inv.view(-1)[~good] == 0).all() and (stacked.weights.view(3, -1)[:, ~good] == 1).all()


@pytest.mark.parametrize("layout", [stacks, columns])
def test_each_layout_offers_the_interface_and_nothing_else(layout: ModuleType) -> None:
    def functions(of: ModuleType | type, home: str) -> dict[str, list[str]]:
        own = {name: each for name, each in vars(of).items() if isfunction(each) and each.__module__ == home}
        return {
            name: [word for word in signature(each).parameters if word != "self"]
            for name, each in own.items()
            if not name.startswith("_")
        }

    assert functions(layout, layout.__name__) == functions(Layout, Layout.__module__)
