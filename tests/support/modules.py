"""Modules that lie where no import looks for them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tests.support.paths import EXAMPLES, ROOT


def load_module(name: str, path: Path) -> ModuleType:
    """Import a file under a name. An ``__init__.py`` is that of a package, as ComfyUI imports a pack."""
    folders = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def load_pack(name: str) -> ModuleType:
    """This pack, under a name of one's own: ``nodes``, its folder, is a module of ComfyUI as well."""
    return load_module(name, ROOT / "__init__.py")


def load_headless() -> ModuleType:
    """The script that runs workflows from outside; a new copy each time, which a test may change."""
    return load_module("torch_rasterizer_headless", EXAMPLES / "headless.py")
