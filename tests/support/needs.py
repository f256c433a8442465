"""Packages that the library does without where they are not installed."""

from __future__ import annotations

import importlib.util
import sys

import pytest

needs_xatlas = pytest.mark.skipif(importlib.util.find_spec("xatlas") is None, reason="xatlas is not installed")
needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")
needs_simplification = pytest.mark.skipif(
    importlib.util.find_spec("fast_simplification") is None, reason="fast-simplification is not installed"
)
needs_ray = pytest.mark.skipif(
    sys.platform == "win32" or importlib.util.find_spec("ray") is None, reason="no Ray, or one without its Cluster"
)
needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
