"""The golden files: what the native modules and Hunyuan3D's own renderer made, to be met to the last bit."""

from __future__ import annotations

import numpy as np

from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "golden"


def golden_names(pattern: str) -> list[str]:
    """Files without their suffix; none would make a parametrised test vanish silently, so that is an error."""
    names = sorted(path.stem for path in FOLDER.glob(f"{pattern}.npz"))
    if not names:
        raise FileNotFoundError(f"no {pattern}.npz in {FOLDER}")
    return names


def load_golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of a file by their names."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)
