"""Whether somebody else's module is there, without running any of it, and what is wrong with one that fails."""

from __future__ import annotations

import importlib.util


def installed(name: str) -> bool:
    """Whether ``import name`` would find something."""
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a stand-in that some other package put into sys.modules, without a spec
        return False


def broken(error: Exception) -> str:
    """Why an installed module cannot be used, in one line."""
    first = str(error).splitlines()[0] if str(error) else ""
    return f"installed but broken ({type(error).__name__}: {first})"
