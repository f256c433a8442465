"""Does this machine compute what it should? Small scenes, every mode, compared bit for bit with the plain reference;
what is differentiable is compared by :mod:`.diff_selftest`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..contract import scenes
from ..contract.reference import rasterize_reference
from ..hierarchy import build_hierarchy, construct
from ..ops import interpolate, rasterize
from . import diff_selftest
from .check import Check

_SCENES = {
    "sphere": (scenes.sphere(400), 64, 48),
    "slivers and large triangles": (scenes.soup(40, 1.5, seed=1), 80, 96),
    "small triangles": (scenes.soup(600, 0.05, seed=2), 64, 64),
    "vertices behind the camera": (scenes.soup(40, 0.6, seed=3, behind=0.2), 56, 72),
    "uv grid, pixels on edges": (scenes.uv_grid(98), 64, 64),
}


CHECKS = 7 * len(_SCENES) + 1 + diff_selftest.CHECKS
"""How many comparisons :func:`run` makes."""


def run(device: torch.device, backend: str = "auto") -> Iterator[Check]:
    """Compare every scene in every mode on ``device`` with the reference, then a second layer and interpolation;
    a grid hierarchy with that of the CPU; and the differentiable primitives with plain formulas."""
    for name, ((pos, tri), height, width) in _SCENES.items():
        want, weights = rasterize_reference(pos.numpy(), tri.numpy(), height, width)
        depth = _ndc_depth(pos, tri, want, weights)
        want2, weights2 = rasterize_reference(pos.numpy(), tri.numpy(), height, width, depth)
        prior = torch.from_numpy(depth).to(device)
        clip, faces = pos.to(device), tri.to(device)
        for mode in ("batched", "tiled", "auto"):
            first = rasterize(clip, faces, (height, width), mode=mode, backend=backend)
            second = rasterize(clip, faces, (height, width), mode=mode, backend=backend, depth_prior=prior)
            yield _compare(f"{name}, {mode}", *first, want, weights)
            yield _compare(f"{name}, {mode}, second layer", *second, want2, weights2)
        image = interpolate(clip[:, :3], *first, faces).cpu().numpy()
        plain = (weights[..., None] * pos[:, :3].numpy()[tri.numpy()[np.maximum(want - 1, 0)]]).sum(axis=2)
        error = _difference(image, plain)
        yield Check(f"{name}, interpolation", error < 1e-5, f"largest difference {error:.1e}")
    yield _hierarchy(device)
    yield from diff_selftest.run(device)


def _hierarchy(device: torch.device) -> Check:
    random = torch.Generator().manual_seed(0)
    positions = [torch.rand(3, 12, 12, 4, generator=random, dtype=torch.float32) * 1.9 - 0.95 for _ in range(3)]
    for view in positions:
        view[..., 3] = view[..., 3] > -0.5  # which pixels of a layer show something
    normals = [torch.randn(3, 12, 12, 3, generator=random, dtype=torch.float32) for _ in range(3)]
    want = build_hierarchy(positions, normals, 3, 16)
    found = build_hierarchy([view.to(device) for view in positions], [view.to(device) for view in normals], 3, 16)
    pairs = [(a.cpu(), b) for one, other in zip(found, want, strict=True) for a, b in zip(one, other, strict=True)]
    wrong = sum(not torch.equal(a, b) for a, b in pairs)
    way = "kernels" if construct.kernels_work(device) else "PyTorch operators"
    detail = f"{wrong} of {len(pairs)} outputs are not those of the CPU" if wrong else f"{len(want[0][0])} cells"
    return Check("grid hierarchy", not wrong, f"{detail}, by {way}")


def _ndc_depth(pos: torch.Tensor, tri: torch.Tensor, findices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    corners = pos.numpy()[tri.numpy()[np.maximum(findices - 1, 0)]]
    z, w = (weights[..., None] * corners[..., 2:]).sum(axis=2).transpose(2, 0, 1)
    with np.errstate(all="ignore"):
        return np.where(findices > 0, z / w, 1e9).astype(np.float32)


def _difference(found: np.ndarray, want: np.ndarray) -> float:
    """Largest difference; infinite where only one of the two is NaN."""
    if (np.isnan(found) != np.isnan(want)).any():
        return float("inf")
    return float(np.nanmax(np.abs(found - want), initial=0.0))


def _compare(name: str, findices: torch.Tensor, weights: torch.Tensor, want: np.ndarray, bary: np.ndarray) -> Check:
    wrong = int((findices.cpu().numpy() != want).sum())
    error = _difference(weights.cpu().numpy(), bary)
    detail = f"{int((want > 0).sum())} of {want.size} pixels drawn"
    if wrong or not error <= 2e-7:
        detail = f"{wrong} of {want.size} pixels show another face, barycentrics off by up to {error:.1e}"
    return Check(name, not wrong and error <= 2e-7, detail)
