"""Whether somebody else's module is there, without running any of it, and what is wrong with one that fails."""

from __future__ import annotations

import importlib.util
import sys


def installed(name: str) -> bool:
    """Whether ``import name`` would find something, our own stand-ins (:mod:`rasterizer.dropin`) left aside."""
    if stand_in(sys.modules.get(name)):
        return False
    try:
        spec = importlib.util.find_spec(name)
        return spec is not None and not stand_in(spec.loader)
    except ValueError:  # a stand-in that some other package put into sys.modules, without a spec
        return False


def stand_in(module: object) -> str:
    """Why :mod:`rasterizer.dropin` put one of its modules in this place; empty for anybody else's."""
    return getattr(module, "__dropin__", "")


def broken(error: Exception) -> str:
    """Why an installed module cannot be used, in one line."""
    first = str(error).splitlines()[0] if str(error) else ""
    return f"installed but broken ({type(error).__name__}: {first})"
