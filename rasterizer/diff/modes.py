"""Modes that look at every call of PyTorch, such as that of :func:`torch.set_default_device`, kept out of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])

_modes = torch._C._len_torch_function_stack


def undisturbed(function: F) -> F:
    """Let ``function`` run outside of such modes.

    While one is entered, every look at a tensor costs a microsecond, and a primitive looks a hundred times before it
    has launched anything. What a mode would change is nothing that a primitive asks for: it makes tensors on the
    device of those that it was given. Subclasses of tensors, which may have their own way with each call, keep it.
    """

    @wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        if torch.compiler.is_compiling() or not _modes() or any(map(_is_special, (*args, *named.values()))):
            return function(*args, **named)
        with torch._C.DisableTorchFunction():
            return function(*args, **named)

    return run  # type: ignore[return-value]


def _is_special(value: Any) -> bool:
    return isinstance(value, Tensor) and type(value) not in (Tensor, torch.nn.Parameter)
