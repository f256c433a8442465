"""Whether a module is there, without running any of it."""

from __future__ import annotations

import importlib.util


def installed(name: str) -> bool:
    """Whether ``import name`` would find something."""
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a stand-in that some other package put into sys.modules, without a spec
        return False
