"""The native module's own outputs, reproduced to the last bit: every file, layer, mode and device policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rasterizer
from rasterizer.contract.reference import rasterize_reference


def _layers(golden: dict[str, np.ndarray]):
    """Each layer's depth prior (None for the first), face indices and barycentrics."""
    priors = [None, *golden["depth_prior"]]
    return zip(priors, golden["findices"], golden["barycentric"], strict=True)


@pytest.mark.parametrize("mode", ["auto", "tiled", "batched"])
def test_every_mode_and_policy(golden_raster: dict[str, np.ndarray], mode: str, policy: str) -> None:
    pos, tri = torch.from_numpy(golden_raster["V"]), torch.from_numpy(golden_raster["F"])
    size = int(golden_raster["height"]), int(golden_raster["width"])
    for prior, findices, barycentric in _layers(golden_raster):
        found, weights = rasterizer.rasterize(
            pos,
            tri,
            size,
            depth_prior=None if prior is None else torch.from_numpy(prior),
            occlusion_truncation=float(golden_raster["occlusion_truncation"]),
            mode=mode,
            backend="torch",
        )
        np.testing.assert_array_equal(found.numpy(), findices)
        np.testing.assert_array_equal(weights.numpy(), barycentric)


def test_every_device(golden_raster: dict[str, np.ndarray], device: torch.device) -> None:
    pos, tri = torch.from_numpy(golden_raster["V"]).to(device), torch.from_numpy(golden_raster["F"]).to(device)
    size = int(golden_raster["height"]), int(golden_raster["width"])
    for prior, findices, barycentric in _layers(golden_raster):
        depth = None if prior is None else torch.from_numpy(prior).to(device)
        found, weights = rasterizer.rasterize(pos, tri, size, depth_prior=depth)
        np.testing.assert_array_equal(found.cpu().numpy(), findices)
        np.testing.assert_allclose(weights.cpu().numpy(), barycentric, rtol=0, atol=2e-7)


def test_native_signature(golden_raster: dict[str, np.ndarray]) -> None:
    pos, tri = torch.from_numpy(golden_raster["V"]), torch.from_numpy(golden_raster["F"])
    width, height = int(golden_raster["width"]), int(golden_raster["height"])
    for prior, findices, barycentric in _layers(golden_raster):
        depth = torch.empty(0) if prior is None else torch.from_numpy(prior)
        found, weights = rasterizer.rasterize_image(pos, tri, depth, width, height, 1e-6, int(prior is not None))
        assert found.dtype == torch.int32 and weights.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), findices)
        np.testing.assert_array_equal(weights.numpy(), barycentric)


@pytest.mark.slow
def test_plain_reference_agrees(golden_raster: dict[str, np.ndarray]) -> None:
    height, width = int(golden_raster["height"]), int(golden_raster["width"])
    for prior, findices, barycentric in _layers(golden_raster):
        found, weights = rasterize_reference(golden_raster["V"], golden_raster["F"], height, width, prior)
        np.testing.assert_array_equal(found, findices)
        np.testing.assert_array_equal(weights, barycentric)
