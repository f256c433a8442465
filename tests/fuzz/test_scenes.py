"""Any scene, in every mode and under every policy, has the bits of the plain reference."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from rasterizer import rasterize
from rasterizer.contract.reference import rasterize_reference
from rasterizer.contract.types import MODES
from rasterizer.runtime.policy import force_policy
from tests.fuzz.driver import Fault, Fuzzer
from tests.fuzz.strategies import clip_scenes
from tests.support.policies import POLICIES

SIDES = st.sampled_from([1, 2, 7, 16, 33, 64]) | st.integers(1, 70)


def _same(found: torch.Tensor, wanted: np.ndarray) -> bool:
    return np.array_equal(found.numpy(), wanted, equal_nan=wanted.dtype.kind == "f")


def _check(scene: Any, size: tuple[int, int], prior: float | None, policy: str, tile: int, batch: int) -> None:
    views, faces = scene
    depth = None
    if prior is not None:
        depth = np.full(size, prior, np.float32)
        depth[::2, ::3] = 1e9
    wanted = [rasterize_reference(pos.numpy(), faces.numpy(), *size, depth) for pos in views]
    chosen = POLICIES[policy]
    for mode in MODES:
        with force_policy(chosen) if chosen else nullcontext():
            found = rasterize(
                views,
                faces,
                size,
                depth_prior=None if depth is None else torch.from_numpy(depth),
                mode=mode,
                tile_size=tile,
                batch_size=batch,
                backend="torch",
            )
        for number, (findices, barycentric) in enumerate(wanted):
            if not _same(found.findices[number], findices):
                raise Fault(f"other faces in mode {mode}, policy {policy}")
            if not _same(found.barycentric[number], barycentric):
                raise Fault(f"other barycentrics in mode {mode}, policy {policy}")


def test_scenes(fuzz: Fuzzer) -> None:
    fuzz(
        _check,
        scene=clip_scenes(),
        size=st.tuples(SIDES, SIDES),
        prior=st.none() | st.sampled_from([-4.0, -1.0, 0.0, 0.3, 1.0, float("nan"), float("inf")]),
        policy=st.sampled_from(sorted(POLICIES)),
        tile=st.sampled_from([8, 9, 16, 32, 64, 512]),
        batch=st.sampled_from([0, 1, 2, 17, 100]),
    )
