"""Whether somebody else's module is there, which of two by one name it is, and what is wrong with one that fails."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType


class StandInError(ImportError):
    """The name is taken by :mod:`rasterizer.dropin`; the text says why."""


def absent(name: str) -> str:
    """Why ``import name`` would not give somebody else's module, of which nothing is run; empty if it would.

    It is not there, or it is why :mod:`rasterizer.dropin` gives its own.
    """
    if stand_in(sys.modules.get(name)):
        return stand_in(sys.modules[name])
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a stand-in that some other package put into sys.modules, without a spec
        spec = None
    return stand_in(spec.loader) if spec is not None else "not installed"


def original(name: str) -> ModuleType:
    """Import somebody else's module.

    Raises:
        StandInError: what is imported by that name is ours.
        Exception: whatever its import raises.
    """
    module = importlib.import_module(name)
    if stand_in(module):
        raise StandInError(stand_in(module))
    return module


def stand_in(module: object) -> str:
    """Why :mod:`rasterizer.dropin` put one of its modules in this place; empty for anybody else's."""
    return getattr(module, "__dropin__", "")


def broken(error: Exception) -> str:
    """Why an installed module cannot be used, in one line."""
    first = str(error).splitlines()[0] if str(error) else ""
    return f"installed but broken ({type(error).__name__}: {first})"
