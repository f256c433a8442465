"""The benchmark of giant meshes: its scenes anywhere, its figures on a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rasterizer.diagnostics import giant
from rasterizer.meshes.sample_meshes import SAMPLES, sample_mesh

MESH = sample_mesh(SAMPLES[0])
SMALL = tuple(replace(case, faces=300_000, resolution=(45, 80)) for case in giant.CASES[:2]) + (
    replace(giant.CASES[-1], faces=300_000, resolution=(45, 80)),
)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.kind)
def test_scenes_are_whole_and_share_nothing(case: giant.GiantCase) -> None:
    pos, tri = giant.scene(case, MESH, torch.device("cpu"))
    assert abs(len(tri) - case.faces) < 0.1 * case.faces
    assert int(tri.min()) == 0 and int(tri.max()) == len(pos) - 1 and torch.isfinite(pos).all()
    assert len(torch.unique(tri, dim=0)) == len(tri)
    if case.kind == "instances":
        assert len(pos) == len(tri) // len(MESH.faces) * len(MESH.vertices)
        beside = (pos[:, :2].abs() > pos[:, 3:]).any(dim=1).double().mean()
        assert 0.1 < beside < 0.6 and (pos[:, 3] > 0).all()


def test_shuffled_is_the_same_grid() -> None:
    straight, shuffled = (giant.scene(case, MESH, torch.device("cpu")) for case in SMALL[:2])
    assert torch.equal(straight[0], shuffled[0]) and not torch.equal(straight[1], shuffled[1])
    assert torch.equal(torch.unique(straight[1], dim=0), torch.unique(shuffled[1], dim=0))


def test_needs_a_gpu() -> None:
    with pytest.raises(ValueError, match="--giant: goes with a CUDA or ROCm device, not with 'cpu'"):
        next(giant.measure(torch.device("cpu"), MESH, 1))


@pytest.mark.gpu
def test_small_cases_are_measured() -> None:
    rows = list(giant.measure(torch.device("cuda", 0), MESH, 2, SMALL))
    assert [row.differing for row in rows] == [0, 0, 0] and all(row.busy > 0 and row.bytes > 4e6 for row in rows)
    assert giant.markdown(rows).count("\n") == len(rows) + 1


@pytest.mark.gpu
def test_more_than_there_is_memory_for_is_refused() -> None:
    huge = replace(giant.CASES[0], faces=1 << 50)
    with pytest.raises(ValueError, match="takes .* GiB, and .* GiB are free"):
        next(giant.measure(torch.device("cuda", 0), MESH, 1, (huge,)))
