"""The GPU kernels of filling against PyTorch's operators: emulated on the CPU, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch

from rasterizer.hierarchy import surface_choice, surface_kernel_check, surface_kernels
from rasterizer.meshes.sample_meshes import trefoil_knot
from rasterizer.texturing import Texels, fill_texture, spread
from rasterizer.texturing.fill import kernel_check, kernels, plane
from tests.support.emulator import emulated, with_fault

CHOICES = (surface_choice, plane)


@contextmanager
def _working(answer: bool) -> Iterator[None]:
    one, other = (mock.patch.object(choice, "kernels_work", lambda device: answer) for choice in CHOICES)
    with one, other:
        yield


@contextmanager
def _emulating() -> Iterator[None]:
    with emulated(surface_kernels.PROGRAM, kernels.PROGRAM), _working(True):
        yield


Way = tuple[torch.device, Callable[[], AbstractContextManager[None]]]
"""Where to fill, and what lets the kernels do it there."""


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param == "emulated":
        return torch.device("cpu"), _emulating
    device = torch.device("cuda", 0)
    assert all(choice.kernels_work(device) for choice in CHOICES)
    return device, nullcontext


@pytest.mark.parametrize("channels", [1, 3])
def test_agrees_with_operators(way: Way, channels: int) -> None:
    device, working = way
    mesh = trefoil_knot(60, 12, radius=0.25).to(device)
    texels = Texels.of(mesh, (160, 160))
    texture = texels.image(torch.sin(4 * texels.interpolate(mesh.vertices)))[..., :channels].contiguous()
    painted = texels.image(texels.interpolate(mesh.vertices)[:, 2] > -0.1)
    with working():
        ours, filled = fill_texture(texture, painted, mesh)
    with _working(False):
        theirs, wanted = fill_texture(texture, painted, mesh)
    assert torch.equal(filled, wanted) and filled.any() and torch.equal(ours[painted], texture[painted])
    # Where two cells are as near, rounding decides.
    assert ((ours - theirs).abs() > 1e-3).float().mean() < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (37, 50), (64, 3)])
def test_gutters_of_any_size(way: Way, size: tuple[int, int]) -> None:
    device, working = way
    texture = torch.rand(*size, 2, generator=torch.Generator().manual_seed(0)).to(device)
    known = torch.zeros(size, dtype=torch.bool, device=device)
    for _ in range(2):
        with working():
            ours = spread(texture, known)
        with _working(False):
            torch.testing.assert_close(ours, spread(texture, known), rtol=0, atol=1e-6)
        known[-1, -1] = True


def test_a_texture_that_32_bits_cannot_count_is_left_to_operators() -> None:
    texture, known = torch.zeros(1, 1, 1).expand(1 << 16, 1 << 15, 1), torch.zeros(1, 1, dtype=torch.bool)
    with emulated(kernels.PROGRAM):
        instead = mock.Mock()
        kernels.PROGRAM.attempt(torch.device("cpu"), kernels.spread_into, instead, texture, known, lambda share: None)
    assert instead.called


def test_self_tests(way: Way) -> None:
    device, working = way
    with working():
        kernel_check.check_kernels(device)
        surface_kernel_check.check_kernels(device)


@pytest.mark.parametrize(
    ("module", "check", "right", "wrong"),
    [
        (kernels, kernel_check, "< p.number) near", "<= p.number) near"),
        (kernels, kernel_check, "p.known[texel] ? 0", "p.known[texel] ? 1"),
        (kernels, kernel_check, "k >> 1 ? 0.25f : 0.75f", "k >> 1 ? 0.5f : 0.5f"),
        (kernels, kernel_check, "p.coarse_share[place] = (float)count", "p.coarse_share[place] = 1.0f"),
        (kernels, kernel_check, "if (y[1] >= p.rows) y[1] = y[0]", "if (y[1] >= p.rows) y[1] = 0"),
        (surface_kernels, surface_kernel_check, "place < at + 2", "place < at + 1"),
        (surface_kernels, surface_kernel_check, "score += POOR", "score += 0.1f"),
        (surface_kernels, surface_kernel_check, "k < 27", "k < 26"),
        (surface_kernels, surface_kernel_check, "k != 13) consider(p, x", "k != 13) consider(p, y"),
        (surface_kernels, surface_kernel_check, "p.keep * p.step[place]", "p.step[place]"),
        (surface_kernels, surface_kernel_check, "p.free[node] > 0.0f", "true"),
    ],
)
def test_self_tests_see_faults(
    module: ModuleType, check: ModuleType, right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = with_fault(module.PROGRAM, right, wrong, tmp_path)
    monkeypatch.setattr(module, "PROGRAM", program)
    with emulated(program), pytest.raises(RuntimeError, match="self-test: "):
        check.check_kernels(torch.device("cpu"))
