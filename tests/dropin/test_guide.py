"""The examples of the original guide, word for word, and what it promises of an empty mesh."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import rasterizer
from rasterizer import PyTorchRasterizer, RasterizerWrapper, create_optimized_rasterizer
from rasterizer.contract import scenes
from rasterizer.dropin.modules import custom_rasterizer_kernel

V, F = scenes.soup(40, 0.7, seed=5)
D = torch.zeros(0)
WIDTH, HEIGHT = 40, 30

OBJECTS = {
    "PyTorchRasterizer": PyTorchRasterizer,
    "create_optimized_rasterizer": create_optimized_rasterizer,
    "auto": lambda: create_optimized_rasterizer(mode="auto"),
    "tiled": lambda: create_optimized_rasterizer(mode="tiled", tile_size=64),
    "batched": lambda: create_optimized_rasterizer(mode="batched", batch_size=200),
    "on the CPU": lambda: create_optimized_rasterizer(device=torch.device("cpu")),
    "RasterizerWrapper": RasterizerWrapper,
}


@pytest.fixture(params=OBJECTS)
def rast(request: pytest.FixtureRequest) -> PyTorchRasterizer:
    """Each object of the guide."""
    return OBJECTS[request.param]()


def _same(got: tuple[torch.Tensor, torch.Tensor], want: tuple[torch.Tensor, torch.Tensor]) -> None:
    findices, barycentric = got
    assert torch.equal(findices.cpu(), want[0])
    torch.testing.assert_close(barycentric.cpu(), want[1], rtol=0, atol=2e-7)


def test_rasterize(rast: PyTorchRasterizer) -> None:
    findices, barycentric = rast.rasterize(V, F, (HEIGHT, WIDTH))
    assert findices.device == barycentric.device == rast.device
    _same((findices, barycentric), rasterizer.rasterize(V, F, (HEIGHT, WIDTH)))


def test_rasterize_image(rast: PyTorchRasterizer) -> None:
    want = rasterizer.rasterize_image(V, F, D, WIDTH, HEIGHT, 1e-6, 0)
    findices, barycentric = rast.rasterize_image(V, F, D, WIDTH, HEIGHT, 1e-6, 0)
    assert findices.shape == (HEIGHT, WIDTH) and findices.dtype == torch.int32 and findices.any()
    assert barycentric.shape == (HEIGHT, WIDTH, 3) and barycentric.dtype == torch.float32
    _same((findices, barycentric), want)
    _same(rast.rasterize_image(V.numpy(), F.tolist(), None, WIDTH, HEIGHT), want)


def test_rasterize_image_behind_a_layer(rast: PyTorchRasterizer) -> None:
    first = rasterizer.rasterize(V, F, (HEIGHT, WIDTH))
    z, w = rasterizer.interpolate(V[:, 2:], *first, F).unbind(-1)
    prior = torch.where(first.findices > 0, z / w, 1e9)
    want = rasterizer.rasterize_image(V, F, prior, WIDTH, HEIGHT, 0.01, 1)
    assert want.findices.any() and not torch.equal(want.findices, first.findices)
    _same(rast.rasterize_image(V, F, prior, WIDTH, HEIGHT, 0.01, 1), want)


def test_interpolate(rast: PyTorchRasterizer) -> None:
    col = V[None, :, :3]
    findices, barycentric = rast.rasterize(V, F, (HEIGHT, WIDTH))
    image = rast.interpolate(col, findices, barycentric, F)
    assert image.shape == (1, HEIGHT, WIDTH, 3)
    drawn = rasterizer.rasterize(V, F, (HEIGHT, WIDTH))
    torch.testing.assert_close(image.cpu(), rasterizer.interpolate(col, *drawn, F), rtol=1e-5, atol=1e-6)


def test_mode_and_device() -> None:
    wrapper = RasterizerWrapper()
    assert wrapper.mode.startswith("pytorch_") and isinstance(wrapper.device, torch.device)
    assert RasterizerWrapper(device="cpu").mode == "pytorch_cpu"
    assert create_optimized_rasterizer(device=torch.device("cpu")).device == torch.device("cpu")


NOTHING: dict[str, Callable[..., tuple[torch.Tensor, torch.Tensor]]] = {
    "rasterize": lambda v, f: rasterizer.rasterize(v, f, (HEIGHT, WIDTH)),
    "rasterize_image": lambda v, f: rasterizer.rasterize_image(v, f, D, WIDTH, HEIGHT, 1e-6, 0),
    "with a prior": lambda v, f: rasterizer.rasterize_image(v, f, torch.zeros(HEIGHT, WIDTH), WIDTH, HEIGHT, 1e-6, 1),
    "RasterizerWrapper": lambda v, f: RasterizerWrapper(device="cpu").rasterize_image(v, f, D, WIDTH, HEIGHT, 1e-6, 0),
    "drop-in": lambda v, f: custom_rasterizer_kernel.rasterize_image(v, f, D, WIDTH, HEIGHT, 1e-6, 0),
}


@pytest.mark.parametrize("vertices", [V, V[:0]], ids=["vertices", "none"])
@pytest.mark.parametrize("draw", NOTHING)
def test_an_empty_mesh_draws_nothing(draw: str, vertices: torch.Tensor) -> None:
    findices, barycentric = NOTHING[draw](vertices, F[:0])
    assert findices.shape == (HEIGHT, WIDTH) and findices.dtype == torch.int32 and not findices.any()
    assert barycentric.shape == (HEIGHT, WIDTH, 3) and barycentric.dtype == torch.float32 and not barycentric.any()
    image = rasterizer.interpolate(vertices[:, :3], findices, barycentric, F[:0])
    assert image.shape == (HEIGHT, WIDTH, 3) and not image.any()


def test_an_empty_mesh_in_every_backend_batch_and_gradient() -> None:
    for views, shape in ((V[None].expand(3, -1, -1), (3, 6, 7)), (V[None, :0], (1, 6, 7)), (V[None][:0], (0, 6, 7))):
        drawn = rasterizer.rasterize(views, F[:0], (6, 7), backend="torch")
        assert drawn.findices.shape == shape and drawn.barycentric.shape == (*shape, 3)
        assert drawn.info.backend == "torch" and drawn.info.invalid_faces == 0
    assert rasterizer.rasterize(V[None][:0], F, (6, 7)).findices.shape == (0, 6, 7)
    with pytest.raises(ValueError, match="backend: 'glide' is no backend"):
        rasterizer.rasterize(V, F[:0], (6, 7), backend="glide")
    leaf, shares = V.clone().requires_grad_(), []
    rasterizer.rasterize(leaf, F[:0], (6, 7), on_progress=shares.append).barycentric.sum().backward()
    assert not leaf.grad.any() and shares == [1.0]
    assert not rasterizer.barycentrics(V, F[:0], torch.zeros(6, 7)).any()


def test_what_is_no_mesh_is_still_refused() -> None:
    with pytest.raises(ValueError, match="tri: shape is"):
        rasterizer.rasterize(V, F[:0, :2], (6, 7))
    with pytest.raises(ValueError, match="no vertex"):
        rasterizer.rasterize(V[:0], F, (6, 7))


def test_facades() -> None:
    pos, tri = scenes.sphere(200)
    wrapper = rasterizer.RasterizerWrapper()
    assert wrapper.mode == "pytorch_" + rasterizer.backend_info().platform
    found, weights = rasterizer.RasterizerWrapper(device="cpu").rasterize(pos, tri, (20, 30))
    want = rasterizer.rasterize(pos, tri, (20, 30))
    assert torch.equal(found, want.findices) and torch.equal(weights, want.barycentric)
    made = rasterizer.create_optimized_rasterizer(mode="tiled", tile_size=16, batch_size=64, device="cpu")
    got = made.rasterize(pos.numpy(), tri.numpy(), (20, 30))
    assert torch.equal(got.findices, want.findices) and made.device == torch.device("cpu")
    image = rasterizer.PyTorchRasterizer("cpu").interpolate(pos[None, :, :3], found, weights, tri)
    assert torch.equal(image, rasterizer.interpolate(pos[None, :, :3], found, weights, tri))
    with pytest.raises(ValueError, match="mode: is 'quick'"):
        rasterizer.create_optimized_rasterizer(mode="quick")
