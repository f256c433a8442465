"""Packages that the library does without where they are not installed."""

from __future__ import annotations

import importlib.util

import pytest

needs_xatlas = pytest.mark.skipif(importlib.util.find_spec("xatlas") is None, reason="xatlas is not installed")
needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")
needs_simplification = pytest.mark.skipif(
    importlib.util.find_spec("fast_simplification") is None, reason="fast-simplification is not installed"
)
