"""``rasterize`` and ``interpolate`` in compiled and exported programs: one operator each, and the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import rasterizer
from rasterizer.contract import scenes
from rasterizer.contract.types import Fragments
from rasterizer.ops import compiled  # noqa: F401 - registers the operators

POS, TRI = scenes.sphere(300)
COLOR = torch.rand(len(POS), 3, generator=torch.Generator().manual_seed(0))


def _render(pos: Tensor, color: Tensor) -> tuple[Tensor, Tensor]:
    fragments = rasterizer.rasterize(pos, TRI, (40, 48))
    return rasterizer.interpolate(color, *fragments, TRI) * 2, fragments.findices


def _gradients(render: object) -> tuple[Tensor, Tensor, Tensor]:
    pos, color = POS.clone().requires_grad_(), COLOR.clone().requires_grad_()
    image, _ = render(pos, color)  # type: ignore[operator]
    image.square().sum().backward()
    assert pos.grad is not None and color.grad is not None
    return image.detach(), pos.grad, color.grad


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "eager"])
def test_one_graph_gives_the_same(backend: str) -> None:
    whole = torch.compile(_render, fullgraph=True, backend=backend)
    for found, want in zip(_gradients(whole), _gradients(_render), strict=True):
        torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_exported_program_gives_the_same() -> None:
    class Renderer(torch.nn.Module):
        def forward(self, pos: Tensor, color: Tensor) -> tuple[Tensor, Tensor]:
            return _render(pos, color)

    program = torch.export.export(Renderer(), (POS, COLOR))
    names = {str(node.target) for node in program.graph.nodes}
    assert any("rasterize" in name for name in names) and any("interpolate" in name for name in names)
    image, findices = program.module()(POS, COLOR)
    want, indices = _render(POS, COLOR)
    assert torch.equal(image, want) and torch.equal(findices, indices)


@pytest.mark.slow
def test_pytorch_finds_nothing_wrong_with_the_operators() -> None:
    pos, color = POS.clone().requires_grad_(), COLOR.clone().requires_grad_()
    fragments: Fragments = rasterizer.rasterize(POS, TRI, (40, 48))
    ops = torch.ops.torch_rasterizer
    torch.library.opcheck(ops.rasterize.default, (pos, TRI, 40, 48, None, 1e-6, "auto", 32, 0, "auto"))
    weights = fragments.barycentric.clone().requires_grad_()
    torch.library.opcheck(ops.interpolate.default, (color, fragments.findices, weights, TRI))


@pytest.mark.slow
def test_bad_arguments_are_named_when_a_compiled_program_runs() -> None:
    render = torch.compile(lambda pos: rasterizer.rasterize(pos, TRI + len(POS), (8, 8)).findices, backend="eager")
    with pytest.raises(Exception, match="faces are out of range"):
        render(POS)
