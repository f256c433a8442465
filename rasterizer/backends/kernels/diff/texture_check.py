"""Self-tests of the kernels of texture sampling: small calls in every mode, compared with PyTorch's operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ....contract.types import Boundary, Filter
from ....runtime.devices import elsewhere
from ...diff_interface import TextureWants
from ...eager.diff import texture as eager

_FILTERS: tuple[Filter, ...] = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
_CHANNELS = (1, 2, 3, 4, 7, 8)

Arguments = tuple[list[Tensor], Tensor, "Tensor | None", "Tensor | None", Filter, Boundary]


def compare(run: Callable[..., Tensor], boundary: Boundary, device: torch.device) -> None:
    """Hold the forward step, on ``device``, against :func:`rasterizer.backends.eager.diff.texture.texture`.

    Raises:
        RuntimeError: a value differs.
    """
    run = elsewhere(run, device, torch.device("cpu"))
    for arguments in _calls(boundary):
        _check("values", arguments, run(*arguments), eager.texture(*arguments))


def compare_gradients(run: Callable[..., Any], boundary: Boundary, device: torch.device) -> None:
    """The same for the backward step.

    Raises:
        RuntimeError: a value differs.
    """
    run = elsewhere(run, device, torch.device("cpu"))
    for arguments in _calls(boundary):
        _, uv, uv_da, bias, filter_mode, _ = arguments
        blend = filter_mode == "linear-mipmap-linear"
        wanted = TextureWants(True, filter_mode != "nearest", blend and uv_da is not None, blend and bias is not None)
        out = eager.texture(*arguments)
        none = torch.arange(uv[..., 0].numel()).view(uv.shape[:3]) % 5 < 2  # a pixel without gradient
        d_out = (out + 0.5).masked_fill(none[..., None] | ~out.isfinite(), 0.0)
        found, expected = (_flat(way(*arguments, d_out, wanted)) for way in (run, eager.texture_backward))
        for one, other in zip(found, expected, strict=True):
            _check("gradients", arguments, one, other)


def _flat(gradients: Any) -> list[Tensor]:
    levels, *others = gradients
    return [*levels, *(each for each in others if each is not None)]


def _check(what: str, arguments: Arguments, found: Tensor, expected: Tensor) -> None:
    scale = max(1.0, float(expected.abs().nan_to_num(0.0).max()))
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * scale, equal_nan=True):
        error = float((found - expected).abs().nan_to_num(torch.inf).max())
        channels = arguments[0][0].shape[-1]
        raise RuntimeError(f"self-test: {what} of {channels} channels by {arguments[4]} off by {error:.1e}")


def _calls(boundary: Boundary) -> Iterator[Arguments]:
    """Calls that reach every way in which gradients are added up: pixels that lie close together on the texture, about
    as close as texels, far apart, and beyond the border."""
    random = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float32)

    cube, (images, rows, columns) = boundary == "cube", (2, 20, 70)
    across, down = ((torch.arange(size) / (size / 2) - 1).float() for size in (columns, rows))
    scales = torch.tensor([0.004, 0.15], dtype=torch.float32)[:, None, None]
    s, t = ((value * scales).expand(images, rows, columns) for value in (across, down[:, None]))
    # Around a corner of the cube, and over an edge of the texture.
    uv = torch.stack((1.0 + s, 1.0 + t, torch.ones_like(s)) if cube else (0.6 + s, 0.98 + t), -1)
    stray = (numbers(rows, columns) < -1.0) & (torch.arange(columns) > 50)
    uv = torch.where(stray[..., None], numbers(*uv.shape), uv)
    reach = (numbers(images, rows, columns, 1) * 2 - 6).exp2()
    uv_da = numbers(images, rows, columns, 6 if cube else 4) * reach
    bias = numbers(images, rows, columns)
    for channels in _CHANNELS:
        for filter_mode in _FILTERS:
            mipmapped = filter_mode.startswith("linear-mipmap")
            batch = 1 + channels % 2, *([6] if cube else [])
            levels = [
                numbers(*batch, side, side if cube else 2 * side, channels)
                for side in ([128, 64, 32, 16] if mipmapped else [97])
            ]
            yield levels, uv, uv_da if mipmapped else None, bias if mipmapped else None, filter_mode, boundary
