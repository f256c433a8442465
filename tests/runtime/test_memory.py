"""Working memory follows the budget, not the mesh; and running out of it has a way out."""

from __future__ import annotations

import pytest
import torch

import rasterizer
from rasterizer.backends.eager import rasterize as eager
from rasterizer.contract import scenes
from rasterizer.contract.types import RasterOptions
from rasterizer.runtime import memory
from rasterizer.runtime.devices import free_memory
from tests.support.measures import peak_memory

SIZE = 384
FIXED = SIZE * SIZE * (16 + 12 + 13)  # outputs, z-buffer, and what one merge of the two-pass z-buffer copies

MESHES = {
    "40 k faces": scenes.sphere(40_000),
    "400 k faces": scenes.sphere(400_000),
    "large faces": scenes.soup(300, 1.5),
    "300 faces": scenes.sphere(300),
}
BUDGETS = {"batched": 24 << 20, "tiled": 24 << 20, "auto": 128 << 20}
"""The last lets a GPU evaluate the candidates of 300 faces at once."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", BUDGETS)
@pytest.mark.parametrize("mesh", MESHES)
def test_peak_stays_below_the_budget(mesh: str, mode: str, policy: str) -> None:
    pos, tri = MESHES[mesh]
    budget = BUDGETS[mode]
    options = RasterOptions((SIZE, SIZE), mode=mode, budget=budget)
    peak = peak_memory(lambda: eager.rasterize(pos[None], tri, options))
    assert FIXED // 3 < peak < budget + FIXED


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_interpolation_keeps_no_image_beside_its_result(channels: int, policy: str, monkeypatch) -> None:
    monkeypatch.setattr("rasterizer.backends.eager.interpolate.WORKING_BYTES", 4 << 20)
    pos, tri = MESHES["300 faces"]
    found, weights = rasterizer.rasterize(pos, tri, (1500, 1500))
    col = torch.rand(len(pos), channels)
    peak = peak_memory(lambda: rasterizer.interpolate(col, found, weights, tri))
    assert 0 < peak - 1500 * 1500 * 4 * channels < 6 << 20


@pytest.mark.parametrize("mode", ["batched", "tiled"])
def test_a_single_batch_can_be_stopped_between_chunks(mode: str) -> None:
    class StopError(Exception):
        pass

    shares = []

    def stop(share: float) -> None:
        shares.append(share)
        if len(shares) == 5:
            raise StopError

    with pytest.raises(StopError):
        rasterizer.rasterize(*MESHES["large faces"], (SIZE, SIZE), mode=mode, on_progress=stop)
    assert shares == sorted(shares) and all(0 <= share <= 1 for share in shares)


def test_ladder_tries_less_memory_then_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    tried = []

    def call(device: torch.device, budget: int) -> str:
        tried.append((device.type, budget >> 20))
        if device.type != "cpu":
            raise torch.OutOfMemoryError("HIP out of memory")
        return "done"

    assert memory.with_less_memory(call, torch.device("meta")) == "done"
    assert tried == [("meta", 0), ("meta", 128), ("meta", 16), ("cpu", 0)]
    assert caplog.text.count("Out of memory") == 3 and "using the CPU" in caplog.text


def test_ladder_ends_with_advice_and_passes_other_errors_on() -> None:
    def full(device: torch.device, budget: int) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(MemoryError, match="smaller image"):
        memory.with_less_memory(full, torch.device("cpu"))

    def broken(device: torch.device, budget: int) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        memory.with_less_memory(broken, torch.device("meta"))


@pytest.mark.parametrize("text", ["CUDA out of memory.", "MPS backend out of memory (MPS allocated: 18 GB)"])
def test_out_of_memory_is_recognised(text: str) -> None:
    assert memory.is_out_of_memory(RuntimeError(text))
    assert not memory.is_out_of_memory(ValueError(text))


def test_what_pytorch_holds_unused_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"reserved_bytes": {"all": {"current": 50}}, "allocated_bytes": {"all": {"current": 20}}}
    for known, held in ((figures, 30), ({}, 0)):
        monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda device, known=known: known)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
        assert free_memory(torch.device("cuda", 0)) == 100 + held
