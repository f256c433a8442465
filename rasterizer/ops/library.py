"""The primitives in PyTorch's operator registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@lru_cache(maxsize=1)
def _library() -> torch.library.Library:
    """A namespace of our own, made when the first operator is registered. A process may have this package twice, as a
    ComfyUI node pack and as an installed one."""
    for number in range(1, 100):
        try:
            return torch.library.Library(f"torch_rasterizer{number if number > 1 else ''}", "DEF")
        except RuntimeError:  # taken
            continue
    raise RuntimeError("torch_rasterizer: its operators are registered a hundred times in this process")


def operator(
    schema: str,
    function: Callable[..., Any],
    fake: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    setup: Callable[..., None] | None = None,
) -> Callable[..., Any]:
    """Register an operator.

    Args:
        schema: its name and signature.
        function: what it does, for every device.
        fake: the same for tensors without values: shapes alone.
        backward: ``backward(ctx, *gradients)``, for one with gradients.
        setup: ``setup(ctx, inputs, output)``, which remembers what ``backward`` needs.

    Returns:
        What calls it.
    """
    library = _library()
    name = library.define(schema, tags=(torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order))
    library.impl(name, function, "CompositeExplicitAutograd")
    qualified = f"{library.ns}::{name}"
    torch.library.register_fake(qualified, fake, lib=library)
    if backward is not None:
        torch.library.register_autograd(qualified, backward, setup_context=setup, lib=library)
    return getattr(getattr(torch.ops, library.ns), name)


def traced(*tensors: Tensor | None) -> bool:
    """Whether a program is being traced, rather than run: then the operators are called, which tracing leaves whole."""
    if _is_compiling() or _dispatch_modes() or _transform() is not None:
        return True
    for value in tensors:  # noqa: SIM110 - a generator takes longer than all else here
        if value is not None and type(value) not in _PLAIN:
            return True
    return False


_PLAIN = (Tensor, torch.nn.Parameter)
_is_compiling = torch.compiler.is_compiling
_dispatch_modes = torch._C._len_torch_dispatch_stack
_transform = torch._C._functorch.peek_interpreter_stack


def applied(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """``function.apply`` without what it costs to look for transforms of functorch, where :func:`traced` has looked."""
    base: Any = super(torch.autograd.Function, function)
    return base.apply


def once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """:func:`torch.autograd.function.once_differentiable` for a function that records no gradients itself, without what
    that costs where nobody asks for gradients of gradients."""
    guarded = once_differentiable(backward)

    def run(ctx: Any, *gradients: Any) -> Any:
        return (guarded if torch.is_grad_enabled() else backward)(ctx, *gradients)

    return run


FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""Public primitives by name, for operators that are registered after them."""


def empty(like: Tensor) -> Tensor:
    """What stands for None among an operator's results."""
    return like.new_empty(0)


def none(value: Tensor) -> Tensor | None:
    """A result of an operator, or None where it is :func:`empty`."""
    return None if value.ndim == 1 and value.shape[0] == 0 else value
