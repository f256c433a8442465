"""A bake over several devices is that of the first one, to the bit."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from rasterizer.cameras.views import turntable
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.texturing import bake_views
from rasterizer.texturing.bake.blend import Baked

MESH = replace(sample_mesh("torus"), texture=None)
CAMERAS = [view.camera() for view in turntable(5)]
GPU = [("cuda:0", "cuda:0"), ("cuda:1", "cuda:0")]


@pytest.fixture(params=[("cpu", "cpu"), ("cpu",) * 3, *(pytest.param(names, marks=pytest.mark.gpu) for names in GPU)])
def devices(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Devices that this machine has."""
    if "cuda:1" in request.param and torch.cuda.device_count() < 2:
        pytest.skip("no CUDA or ROCm device beside the first")
    return request.param


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Pictures with some detail."""
    y, x = torch.meshgrid(torch.linspace(0, 20, 80), torch.linspace(0, 30, 96), indexing="ij")
    waves = torch.stack((y.sin(), x.cos(), (x + y).sin()), dim=-1) / 2 + 0.5
    return torch.stack([waves.roll(number * 7, 1) for number in range(5)])


@pytest.mark.parametrize("agreeing", [False, True])
def test_the_texture_has_the_same_bits(devices: tuple[str, ...], images: Tensor, agreeing: bool) -> None:
    masks = torch.ones(5, 80, 96)
    masks[2, :40] = 0.5
    how = {"match_colors": agreeing, "align_views": int(agreeing), "masks": masks}
    mesh = MESH.to(devices[0])
    one = bake_views(mesh, images, CAMERAS, 128, **how)
    told: list[float] = []
    many = bake_views(mesh, images, CAMERAS, 128, devices=devices, on_progress=told.append, **how)
    for field in fields(Baked):
        value, wanted = getattr(many, field.name), getattr(one, field.name)
        if isinstance(wanted, Tensor):
            assert value.device == torch.device(devices[0])
            # Vertex normals on a GPU are sums whose order differs from run to run.
            close = torch.allclose(value, wanted, atol=1e-4) if value.is_floating_point() else True
            assert torch.equal(value, wanted) if devices[0] == "cpu" else close
    assert (one.painted.float().mean() > 0.2) and told == sorted(told) and told[-1] == 1
    assert (many.agreement is not None) == agreeing


def test_the_mesh_may_lie_elsewhere(devices: tuple[str, ...], images: Tensor) -> None:
    made = bake_views(MESH, images[:2], CAMERAS[:2], 32, devices=devices)
    assert made.texture.device == torch.device(devices[0]) and made.painted.any()


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.7])
def test_stopping(devices: tuple[str, ...], images: Tensor, at: float) -> None:
    def stop(share: float) -> None:
        if share >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bake_views(MESH, images, CAMERAS, 64, devices=devices, on_progress=stop)


@pytest.mark.parametrize("given", ["cuda:0", [], ["cpu", "gpu"], ["cuda:99"]])
def test_devices_that_are_none_are_refused_by_name(images: Tensor, given: object) -> None:
    with pytest.raises(ValueError, match=r"^devices(\[[01]\])?: is "):
        bake_views(MESH, images, CAMERAS, 64, devices=given)
