"""The portable policy on a CPU, under a guard that fails on whatever MPS, XPU or DirectML lack or choke on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import rasterizer
from rasterizer.contract import scenes
from rasterizer.runtime.policy import PORTABLE, force_policy

_DATA_DEPENDENT = ("nonzero", "unique", "masked_select", "bincount", "repeat_interleave", "argwhere", "histc")
_INDEXED = {"index_select": (1, 2), "gather": (1, 2), "scatter": (1, 2), "scatter_reduce": (1, 2)}  # dimension, index
_BLOCKING = {"tolist", "item", "__bool__", "__int__", "__float__", "__index__", "cpu", "numpy"}


class MissingError(AssertionError):
    """An operator that the portable path must not use."""


class PortableGuard(TorchDispatchMode):
    """Fails on float64, int64 minima and sorts, data-dependent shapes, and indices out of range."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1].rstrip("_")
        if any(name.startswith(word) for word in _DATA_DEPENDENT):
            raise MissingError(f"{name} has a data-dependent shape")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if name in ("scatter_reduce", "index_reduce", "sort", "argsort") and tensors[0].dtype == torch.int64:
            raise MissingError(f"{name} on int64")
        if name in ("scatter_reduce", "index_reduce") and tensors[0].is_floating_point():
            raise MissingError(f"{name} on floating-point values, NaN among which can hang a GPU")
        self._check_indices(name, args)
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise MissingError(f"{name} made a float64 tensor")
        return out

    @staticmethod
    def _check_indices(name: str, args: Any) -> None:
        if name in _INDEXED:
            dimension, index = (args[place] for place in _INDEXED[name])
            pairs = [(index, args[0].shape[dimension])]
        elif name in ("index", "index_put"):
            if any(index is not None and index.dtype == torch.bool for index in args[1]):
                raise MissingError(f"{name} with a mask")
            pairs = [(index, args[0].shape[place]) for place, index in enumerate(args[1]) if index is not None]
        else:
            return
        for index, size in pairs:
            if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < size):
                raise MissingError(f"{name}: index from {int(index.min())} to {int(index.max())}, size {size}")


class SyncCounter(TorchFunctionMode):
    """Counts what makes the host wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += getattr(func, "__name__", "") in _BLOCKING
        return func(*args, **(kwargs or {}))


SCENES = {
    "sphere": scenes.sphere(3000),
    "large": scenes.soup(50, 1.5),
    "behind the camera": scenes.soup(80, 0.5, behind=0.3),
    "not finite": (scenes.soup(20, 0.5)[0].clone().fill_(float("nan")), scenes.soup(20, 0.5)[1]),
}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("mode", ["batched", "tiled"])
@pytest.mark.parametrize("peel", [False, True])
def test_only_portable_operators(scene: str, mode: str, peel: bool) -> None:
    pos, tri = SCENES[scene]
    prior = torch.full((64, 80), 0.1) if peel else None
    want = rasterizer.rasterize(pos, tri, (64, 80), mode=mode, depth_prior=prior)
    with force_policy(PORTABLE), PortableGuard():
        got = rasterizer.rasterize(pos, tri, (64, 80), mode=mode, depth_prior=prior)
        image = rasterizer.interpolate(pos, *got, tri)
    assert torch.equal(got.findices, want.findices)
    assert torch.equal(got.barycentric, want.barycentric)
    assert image.shape == (64, 80, 4)


def test_guard_fails_where_it_should() -> None:
    pos, tri = SCENES["sphere"]
    with pytest.raises(MissingError, match="float64"), force_policy(replace(PORTABLE, float64=True)), PortableGuard():
        rasterizer.rasterize(pos, tri, (32, 32))
    with pytest.raises(MissingError, match="int64"), force_policy(replace(PORTABLE, int64_min=True)), PortableGuard():
        rasterizer.rasterize(pos, tri, (32, 32))
    with pytest.raises(MissingError, match="data-dependent"), PortableGuard():
        torch.nonzero(tri)
    with pytest.raises(MissingError, match="size 3"), PortableGuard():
        torch.zeros(3).index_select(0, torch.tensor([3]))


@pytest.mark.parametrize("policy", [PORTABLE, replace(PORTABLE, chunk=1 << 12)])
def test_one_synchronisation_per_batch_however_many_chunks(policy: Any) -> None:
    pos, tri = scenes.sphere(3000)
    rasterizer.rasterize(pos, tri, (8, 8))  # the range of the face indices is read once, here
    with force_policy(policy), SyncCounter() as syncs:
        rasterizer.rasterize(pos, tri, (200, 200), mode="batched")
    assert syncs.count == 1
    with force_policy(policy), SyncCounter() as syncs:
        rasterizer.rasterize(pos, tri, (200, 200), mode="batched", batch_size=1500)
    assert syncs.count == 2


def test_synchronisations_of_the_tiled_mode() -> None:
    pos, tri = scenes.soup(30, 1.5)
    rasterizer.rasterize(pos, tri, (8, 8))
    with force_policy(PORTABLE), SyncCounter() as syncs:
        rasterizer.rasterize(pos, tri, (256, 256), mode="tiled")
    assert syncs.count == 4  # the batch, its number of tiles, the tiles kept, the sub-tiles kept


def test_directml_goes_to_the_cpu_with_a_message(caplog: pytest.LogCaptureFixture) -> None:
    from rasterizer.runtime.devices import working_device

    class DirectML:
        type = "privateuseone"

    assert working_device(DirectML()) == torch.device("cpu")  # type: ignore[arg-type]
    assert "DirectML is not supported" in caplog.text and "ROCm" in caplog.text


@pytest.mark.parametrize("chunk", [1500, 5000, 100_000])
def test_lists_of_candidates_in_several_chunks(chunk: int) -> None:
    pos, tri = scenes.soup(400, 0.08, seed=4)
    want = rasterizer.rasterize(pos, tri, (150, 130))
    with force_policy(replace(PORTABLE, chunk=chunk)):
        got = rasterizer.rasterize(pos, tri, (150, 130))
    assert "listed" in got.info.reason
    assert torch.equal(got.findices, want.findices) and torch.equal(got.barycentric, want.barycentric)
