"""``devices``: what several of them draw together is what one draws, and comes back on the first."""

from __future__ import annotations

from dataclasses import fields, replace
from unittest import mock

import pytest
import torch
from torch import Tensor

import rasterizer
from rasterizer.cameras.views import turntable
from rasterizer.contract import scenes
from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.maps import Maps, render_maps
from rasterizer.rendering.raster import rasterize_mesh

BASE, TRI = scenes.soup(400, 0.6, seed=11, behind=0.1)
POS = torch.stack([BASE * torch.tensor([factor, 1.0, 1.0, 1.0]) for factor in (1.0, 0.9, 0.8)])
SIZE = (120, 150)
CAMERAS = [view.camera() for view in turntable(4)]
MESH = replace(sample_mesh("torus"), texture=None)

EQUAL = [("cpu", "cpu"), ("cpu",) * 5]
GPU = [("cuda:0", "cuda:0", "cuda:0"), ("cuda:0", "cuda:1"), ("cuda:1", "cuda:0"), ("cuda:0", "cpu"), ("cpu", "cuda:0")]


@pytest.fixture(params=[*EQUAL, *(pytest.param(names, marks=pytest.mark.gpu) for names in GPU)], ids=" ".join)
def devices(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Devices that this machine has."""
    if "cuda:1" in request.param and torch.cuda.device_count() < 2:
        pytest.skip("no CUDA or ROCm device beside the first")
    return request.param


@pytest.fixture(params=["torch", pytest.param("auto", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> str:
    """Operators alone, or what the device takes."""
    return request.param


def _same(one: Tensor, many: Tensor, devices: tuple[str, ...]) -> None:
    """To the bit, but between devices that round otherwise."""
    assert many.device == torch.device(devices[0])
    one, many = one.cpu(), many.cpu()
    if one.is_floating_point() and len({name.partition(":")[0] for name in devices}) > 1:
        torch.testing.assert_close(many, one, rtol=1e-5, atol=1e-5, equal_nan=True)
    else:
        assert torch.equal(one, many)


@pytest.mark.parametrize("home", ["first", "cpu"])
def test_rasterize(devices: tuple[str, ...], backend: str, home: str) -> None:
    first = devices[0]
    pos, tri = (value.to(first if home == "first" else "cpu") for value in (POS, TRI))
    prior = torch.full(SIZE, 0.1)
    for given in (None, prior, prior.expand(3, *SIZE)):
        alone = None if given is None else given.to(first)
        one = rasterizer.rasterize(POS.to(first), TRI.to(first), SIZE, depth_prior=alone, backend=backend)
        prior_here = None if given is None else given.to(pos.device)
        many = rasterizer.rasterize(pos, tri, SIZE, depth_prior=prior_here, backend=backend, devices=devices)
        _same(one.findices, many.findices, devices)
        _same(one.barycentric, many.barycentric, devices)
        assert many.info.invalid_faces == one.info.invalid_faces
        assert all(name in many.info.device for name in devices[:3])


def test_gradients_come_back(devices: tuple[str, ...], backend: str) -> None:
    found = []
    for given in (None, devices):
        pos = POS.to(devices[0], copy=True).requires_grad_()
        drawn = rasterizer.rasterize(pos, TRI.to(devices[0]), SIZE, backend=backend, devices=given)
        weights = torch.linspace(-1, 1, drawn.barycentric.numel(), device=devices[0]).view_as(drawn.barycentric)
        (drawn.barycentric * weights).sum().backward()
        found.append(pos.grad.cpu())
    assert found[0].abs().max() > 1
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-3)  # sums on GPUs differ from run to run


def test_a_mesh_in_layers(devices: tuple[str, ...], backend: str) -> None:
    cameras = [*CAMERAS, replace(CAMERAS[0], normalized=False)]
    one = rasterize_mesh(MESH.to(devices[0]), cameras, SIZE, layers=2, backend=backend)
    many = rasterize_mesh(MESH, cameras, SIZE, layers=2, backend=backend, devices=devices)
    _same(one.findices, many.findices, devices)
    _same(one.barycentric, many.barycentric, devices)
    assert (many.findices[:, 1] > 0).any()
    assert (
        many.cameras == one.cameras and many.mesh.uvs is not None and many.mesh.vertices.device == one.findices.device
    )


@pytest.mark.parametrize("style", ["hunyuan3d-2", "hunyuan3d-2.1"])
def test_maps(devices: tuple[str, ...], style: str) -> None:
    # Sums of normals on a GPU differ from run to run.
    mesh = MESH if style == "hunyuan3d-2.1" or devices[0] == "cpu" else replace(MESH, faces=MESH.faces[:1])
    one = render_maps(mesh.to(devices[0]), CAMERAS, SIZE, style)
    many = render_maps(mesh, CAMERAS, SIZE, style, devices=devices)
    for field in fields(Maps):
        _same(getattr(one, field.name), getattr(many, field.name), devices)


def test_a_single_view_is_drawn_on_the_first_device(devices: tuple[str, ...]) -> None:
    with mock.patch("threading.Thread.start", side_effect=AssertionError("a thread was started")):
        for pos in (BASE, BASE[None]):
            many = rasterizer.rasterize(pos, TRI, SIZE, devices=devices)
            assert many.findices.shape == (*pos.shape[:-2], *SIZE) and many.info.device == devices[0]
        assert rasterize_mesh(MESH, None, SIZE, devices=devices).findices.device == torch.device(devices[0])
        layout = rasterize_mesh(MESH, None, SIZE, space="uv", devices=devices)
        assert layout.findices.device == layout.mesh.faces.device == torch.device(devices[0])


def test_nothing_to_draw(devices: tuple[str, ...]) -> None:
    for pos, tri in ((POS, TRI[:0]), (POS[:0], TRI)):
        drawn = rasterizer.rasterize(pos, tri, SIZE, devices=devices)
        assert drawn.findices.shape == (len(pos), *SIZE) and not drawn.findices.any()
    with pytest.raises(ValueError, match=r"^mesh: has .* no faces, expected faces"):
        render_maps(Mesh(BASE[:, :3].contiguous(), TRI[:0]), CAMERAS, SIZE, devices=devices)


def test_stopping(devices: tuple[str, ...], backend: str) -> None:
    calls = []

    def stop(share: float) -> None:
        calls.append(share)
        raise KeyboardInterrupt

    for draw in (
        lambda: rasterizer.rasterize(POS, TRI, SIZE, backend=backend, on_progress=stop, devices=devices),
        lambda: rasterize_mesh(MESH, CAMERAS, SIZE, backend=backend, on_progress=stop, devices=devices),
        lambda: render_maps(MESH, CAMERAS, SIZE, on_progress=stop, devices=devices),
    ):
        with pytest.raises(KeyboardInterrupt):
            draw()
    assert len(calls) == 3


def test_a_mesh_is_copied_once_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    moved, to = [], Mesh.to

    def noted(mesh: Mesh, device: torch.device) -> Mesh:
        moved.append(str(device))
        return to(mesh, device)

    monkeypatch.setattr(Mesh, "to", noted)
    render_maps(MESH, CAMERAS, (16, 16), devices=["cpu"] * 4)
    assert len(moved) == 2  # to the first device, and once to each that there is


@pytest.mark.parametrize("given", ["cuda:0", [], ["cpu", "gpu"], ["cuda:99"], 3])
def test_devices_that_are_none_are_refused_by_name(given: object) -> None:
    for draw in (
        lambda: rasterizer.rasterize(POS, TRI, SIZE, devices=given),
        lambda: rasterize_mesh(MESH, CAMERAS, SIZE, devices=given),
        lambda: render_maps(MESH, CAMERAS, SIZE, devices=given),
    ):
        with pytest.raises(ValueError, match=r"^devices(\[[01]\])?: is "):
            draw()


def test_an_error_is_told_as_without_devices() -> None:
    with pytest.raises(ValueError, match=r"^backend: 'kernels' cannot be used on cpu"):
        rasterizer.rasterize(POS, TRI, SIZE, backend="kernels", devices=["cpu", "cpu"])
    with pytest.raises(ValueError, match=r"^tri: face \d+ is .* out of range"):
        rasterizer.rasterize(POS, TRI + 1000, SIZE, devices=["cpu", "cpu"])


def test_a_compiled_program_refuses_devices() -> None:
    with (
        mock.patch("torch.compiler.is_compiling", return_value=True),
        pytest.raises(ValueError, match="^devices: cannot be part of a compiled program"),
    ):
        rasterizer.rasterize(POS, TRI, SIZE, devices=["cpu"])
