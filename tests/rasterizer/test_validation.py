"""Every refusal is a ValueError that names the argument, what was found and what is expected."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rasterizer

POS = torch.tensor([[-1.0, -1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
TRI = torch.tensor([[0, 1, 2]], dtype=torch.int32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pos": POS[:, :3]}, ("pos", "[3, 3]", "[N, 4]")),
        ({"pos": POS.int()}, ("pos", "int32", "float")),
        ({"pos": POS[:0]}, ("pos", "[0, 4]", "no vertex")),
        ({"pos": "mesh"}, ("pos", "str", "Tensor")),
        ({"tri": TRI[:0]}, ("tri", "[0, 3]", "no faces")),
        ({"tri": TRI[:, :2]}, ("tri", "[1, 2]", "[M, 3]")),
        ({"tri": TRI.float()}, ("tri", "float32", "integer")),
        ({"tri": TRI.bool()}, ("tri", "bool", "integer")),
        ({"tri": torch.tensor([[0, 1, 2], [0, 1, 3]])}, ("tri", "face 1", "[0, 1, 3]", "3 vertices")),
        ({"tri": torch.tensor([[0, 1, -1]])}, ("tri", "face 0", "[0, 1, -1]", "0 .. 2")),
        ({"tri": TRI.to("meta")}, ("tri", "meta", "cpu", ".to(")),
        ({"resolution": (0, 64)}, ("resolution", "0 x 64", "1 to")),
        ({"resolution": (64, 99999)}, ("resolution", "64 x 99999")),
        ({"resolution": 64}, ("resolution", "64", "(height, width)")),
        ({"depth_prior": torch.zeros(3, 5)}, ("depth_prior", "[3, 5]", "[32, 48]")),
        ({"mode": "fast"}, ("mode", "fast", "auto, tiled, batched")),
        ({"tile_size": 4}, ("tile_size", "4", "8 to 512")),
        ({"tile_size": 32.5}, ("tile_size", "32.5", "whole number")),
        ({"batch_size": -1}, ("batch_size", "-1")),
        ({"backend": "vulkan"}, ("backend", "vulkan", "auto, kernels, torch")),
    ],
)
def test_refusals(change: dict, words: tuple[str, ...]) -> None:
    arguments = {"pos": POS, "tri": TRI, "resolution": (32, 48), **change}
    with pytest.raises(ValueError) as refusal:
        rasterizer.rasterize(**arguments)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_vertex_dtypes_are_converted(dtype: torch.dtype) -> None:
    got = rasterizer.rasterize(POS.to(dtype), TRI, (32, 48))  # these coordinates are exact in every dtype
    want = rasterizer.rasterize(POS, TRI, (32, 48))
    assert got.barycentric.dtype == torch.float32
    assert torch.equal(got.findices, want.findices) and torch.equal(got.barycentric, want.barycentric)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.uint8])
def test_face_dtypes_are_converted(dtype: torch.dtype) -> None:
    got = rasterizer.rasterize(POS, TRI.to(dtype), (32, 48))
    assert torch.equal(got.findices, rasterizer.rasterize(POS, TRI, (32, 48)).findices)


def test_any_strides_and_array_likes() -> None:
    want = rasterizer.rasterize(POS, TRI, (32, 48))
    wide = torch.zeros(3, 8)
    wide[:, ::2] = POS
    strided = rasterizer.rasterize(wide[:, ::2], TRI.t().contiguous().t(), (32, 48))
    arrays = rasterizer.rasterize(POS.numpy(), TRI.numpy(), np.array([32, 48]))
    for got in (strided, arrays):
        assert torch.equal(got.findices, want.findices) and torch.equal(got.barycentric, want.barycentric)


@pytest.mark.parametrize("inference", [False, True])
def test_faces_changed_in_place_are_read_again(inference: bool) -> None:
    with torch.inference_mode(inference):  # in which tensors do not count their changes
        tri = TRI.clone()
        rasterizer.rasterize(POS, tri, (8, 8))
        tri[0, 0] = 7
        with pytest.raises(ValueError, match="face 0"):
            rasterizer.rasterize(POS, tri, (8, 8))


def test_a_choice_is_refused_even_if_its_equal_was_accepted() -> None:
    rasterizer.rasterize(POS, TRI, (8, 8), batch_size=0)
    with pytest.raises(ValueError, match="batch_size: is False"):
        rasterizer.rasterize(POS, TRI, (8, 8), batch_size=False)


def test_single_views_and_batches_of_one() -> None:
    one, batch = rasterizer.rasterize(POS, TRI, (8, 9)), rasterizer.rasterize(POS[None], TRI, (8, 9))
    assert one.findices.shape == (8, 9) and batch.barycentric.shape == (1, 8, 9, 3)
    assert torch.equal(one.findices, batch.findices[0]) and torch.equal(one.barycentric, batch.barycentric[0])
    leaf = POS.clone().requires_grad_()
    weights = rasterizer.rasterize(leaf, TRI, (8, 9)).barycentric
    assert weights.shape == (8, 9, 3) and weights.requires_grad


def test_inputs_are_not_changed() -> None:
    pos, tri, prior = POS.clone(), TRI.clone(), torch.zeros(16, 16)
    rasterizer.rasterize(pos, tri, (16, 16), depth_prior=prior)
    assert torch.equal(pos, POS) and torch.equal(tri, TRI) and not prior.any()
