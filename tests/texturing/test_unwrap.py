"""UVs by xatlas: that they are right, fit their texture, and that the work can be stopped."""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh, trefoil_knot
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing.unwrap import unwrap
from rasterizer.texturing.unwrap.unwrap import advice, unwrap_uv
from tests.support.measures import connected
from tests.support.needs import needs_xatlas

TETRAHEDRON = Mesh(
    torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], dtype=torch.int32),
)


@pytest.fixture(scope="module")
def knot() -> Mesh:
    """A small knot with every attribute."""
    colors = torch.rand(101 * 17, 4, generator=torch.Generator().manual_seed(0))
    return replace(trefoil_knot(100, 16), vertex_colors=colors, metallic_roughness=torch.rand(4, 4, 3))


@pytest.fixture(scope="module")
def unwrapped(knot: Mesh) -> Mesh:
    """The same with other UVs, for 256 x 256 and 4 pixels between charts."""
    return unwrap_uv(knot, 256, 4)


def corners(mesh: Mesh, attribute: str) -> torch.Tensor:
    """``[M, 3, C]``: an attribute at the corners of each face."""
    return getattr(mesh, attribute)[mesh.faces.long()]


@needs_xatlas
def test_faces_and_attributes_stay(knot: Mesh, unwrapped: Mesh) -> None:
    for name in ("vertices", "normals", "vertex_colors"):
        assert torch.equal(corners(unwrapped, name), corners(knot, name)), name
    assert unwrapped.texture is None and unwrapped.metallic_roughness is None
    assert unwrapped.faces.dtype == torch.int32 and unwrapped.uvs.dtype == torch.float32
    assert knot.texture is not None and len(unwrapped.vertices) > len(knot.vertices.unique(dim=0))


@needs_xatlas
def test_charts_are_apart_by_the_padding(unwrapped: Mesh) -> None:
    size = 256
    assert unwrapped.uvs.min() >= 0 and unwrapped.uvs.max() <= 1
    # Faces of a chart hang together by vertices at the same place of the layout: the same label spreads over them.
    _, place = (unwrapped.uvs * 1e5).round().unique(dim=0, return_inverse=True)
    faces = place[unwrapped.faces.long()]
    label = connected(faces, int(place.max()) + 1)
    found = rasterize_mesh(unwrapped, None, (size, size), space="uv").findices[0, 0].long()
    charts = torch.where(found > 0, label[faces[:, 0]][found - 1] + 1, 0)
    assert len(charts.unique()) > 3 and (charts > 0).float().mean() > 0.15
    for rows in range(5):
        for columns in range(-4, 5):  # a texture repeats, so charts at opposite borders are neighbours
            other = charts.roll((rows, columns), (0, 1))
            assert not ((charts > 0) & (other > 0) & (charts != other)).any(), (rows, columns)


@needs_xatlas
def test_no_two_faces_overlap_and_none_is_stretched(knot: Mesh, unwrapped: Mesh) -> None:
    def edges(points: torch.Tensor) -> torch.Tensor:
        return (points - points.roll(1, dims=1)).norm(dim=-1)

    ratio = edges(corners(unwrapped, "uvs")) / edges(corners(knot, "vertices"))
    assert ratio.quantile(0.99) / ratio.quantile(0.01) < 2.5
    a, b, c = corners(unwrapped, "uvs").double().unbind(1)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs().sum() / 2
    drawn = rasterize_mesh(unwrapped, None, (1024, 1024), space="uv").mask.double().mean()
    assert float(drawn) == pytest.approx(float(area), rel=0.03)  # covered once


@needs_xatlas
@pytest.mark.parametrize("size", [1e-4, 1e5])
def test_size_and_place_of_the_mesh_do_not_matter(knot: Mesh, size: float) -> None:
    found = unwrap_uv(replace(knot, vertices=knot.vertices * size + size * 3), 256)
    assert rasterize_mesh(found, None, (64, 64), space="uv").mask.mean() > 0.2


@needs_xatlas
def test_faces_without_area_do_no_harm(knot: Mesh) -> None:
    flat = torch.tensor([[0, 0, 1], [5, 7, 5]], dtype=torch.int32)
    found = unwrap_uv(replace(knot, faces=torch.cat((flat, knot.faces))), 128)
    assert torch.equal(corners(found, "vertices")[2:], corners(knot, "vertices"))
    assert torch.isfinite(found.uvs).all()
    with pytest.raises(ValueError, match="mesh: xatlas cannot unwrap it: it found no face with an area"):
        unwrap_uv(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]], dtype=torch.int32)))


@needs_xatlas
def test_padding_that_cannot_be_is_reported(knot: Mesh, caplog: pytest.LogCaptureFixture) -> None:
    found = unwrap_uv(knot, 16, 16)
    assert "16 pixels between charts do not fit into 16 x 16" in caplog.text
    assert found.uvs.min() >= 0 and found.uvs.max() <= 1 and rasterize_mesh(found, space="uv").mask.any()


@needs_xatlas
def test_a_stop_ends_the_work_at_once() -> None:
    class StopError(Exception):
        pass

    calls = []

    def report(share: float) -> None:
        calls.append(share)
        if len(calls) == 3:
            raise StopError

    start = time.perf_counter()
    with pytest.raises(StopError):
        unwrap_uv(sample_mesh("trefoil knot"), on_progress=report)
    assert time.perf_counter() - start < 2 and calls == [0, 0, 0]


def test_limits(knot: Mesh) -> None:
    for change, words in (({"resolution": 8}, "resolution: is 8"), ({"padding": -1}, "padding: is -1")):
        with pytest.raises(ValueError, match=words):
            unwrap_uv(knot, **change)


def test_without_xatlas_it_says_what_to_do(knot: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xatlas", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="xatlas, which is not installed.*pip install xatlas.*ComfyUI's Unwrap Mesh"):
        unwrap_uv(knot)


def test_a_worker_that_fails_is_reported(knot: Mesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    for code, words in (("raise MemoryError('too big')", "MemoryError: too big"), ("import os; os._exit(7)", "code 7")):
        worker = tmp_path / "worker.py"
        worker.write_text(code)
        monkeypatch.setattr(unwrap, "_WORKER", worker)
        with pytest.raises(RuntimeError, match=f"xatlas has failed on this mesh: .*{words}.*Unwrap Mesh"):
            unwrap_uv(knot)


def test_many_faces_are_warned_of(
    knot: Mesh, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unwrap, "MANY_FACES", 10)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        unwrap_uv(knot, on_progress=stop)
    assert advice(len(knot.faces)) in caplog.text and "Simplify Mesh" in caplog.text


@needs_xatlas
@pytest.mark.parametrize("vertex", [4, -1])
def test_faces_out_of_range_are_the_meshs_fault(vertex: int) -> None:
    faces = TETRAHEDRON.faces.clone()
    faces[2, 1] = vertex
    with pytest.raises(ValueError, match=r"mesh: face 2 is .* but the mesh has 4 vertices"):
        unwrap_uv(Mesh(TETRAHEDRON.vertices, faces))


@pytest.mark.slow
@needs_xatlas
@pytest.mark.parametrize("padding", [2, 64])
def test_few_faces_are_quick_at_any_resolution(padding: int, caplog: pytest.LogCaptureFixture) -> None:
    start = time.perf_counter()
    found = unwrap_uv(TETRAHEDRON, 16384, padding)
    assert time.perf_counter() - start < 10 and not caplog.text
    a, b, c = found.uvs[found.faces.long()].double().unbind(1)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs().sum() / 2
    assert area > 0.2 and found.uvs.min() >= 0 and found.uvs.max() <= 1


@needs_xatlas
def test_padding_holds_where_it_is_packed_smaller() -> None:
    found = unwrap_uv(trefoil_knot(60, 12), 8192, 5)
    place, number = (found.uvs.double() * 8192).unique(dim=0, return_inverse=True)
    faces = number[found.faces.long()]
    chart = connected(faces, len(place))  # faces of a chart hang together by their corners
    used = faces.unique()
    place, chart = place[used], chart[used]
    assert len(chart.unique()) > 3
    assert torch.cdist(place, place)[chart[:, None] != chart].min() > 5
