"""The emulator of GPUs itself, on kernels whose results are known."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import ModuleType

import pytest
import torch

from rasterizer.backends.kernels import interpolate, quantized, rasterize
from rasterizer.backends.kernels.workload import is_dense
from rasterizer.contract import scenes
from rasterizer.contract.types import RasterOptions
from rasterizer.gpu.program import Program, parameters_of
from rasterizer.gpu.structs import struct
from tests.support import emulator
from tests.support.guards import Guards

pytestmark = pytest.mark.skipif(bool(emulator.reason_against()), reason=emulator.reason_against())

_Params = struct("Params", ("int*", "out", ""), ("float*", "sums", ""))

_KERNELS = """
extern "C" __global__ void places(Params p) {
    u32 block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    u32 place = blockIdx.z * 1000000 + blockIdx.y * 10000 + blockIdx.x * 100;
    p.out[block * blockDim.x + threadIdx.x] = place + threadIdx.x;
}
extern "C" __global__ void barriers(Params p) {
    __shared__ int turned[70], total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    turned[69 - threadIdx.x] = threadIdx.x + 100 * blockIdx.x;
    atomicAdd(&total, 1);
    int odd = __syncthreads_count(threadIdx.x % 2), any = __syncthreads_or(threadIdx.x == 69);
    int* out = p.out + (blockIdx.x * 70 + threadIdx.x) * 3;
    out[0] = turned[threadIdx.x], out[1] = total + 1000 * odd, out[2] = any;
}
extern "C" __global__ void warps(Params p) {
    int lane = threadIdx.x & 31, *out = p.out + threadIdx.x * 7;
    if (threadIdx.x >= 48) return;
    out[0] = votes(threadIdx.x % 3 == 0);
    out[1] = __shfl_sync(~0u, (int)threadIdx.x, 5);
    out[2] = __shfl_xor_sync(~0u, (int)threadIdx.x, 3);
    out[3] = __shfl_up_sync(~0u, (int)threadIdx.x, 2);
    out[4] = __shfl_down_sync(~0u, (int)threadIdx.x, 1, 4);
    out[5] = __match_any_sync(~0u, threadIdx.x / 5);
    if (lane < 8) out[6] = __ballot_sync(0xffu, lane % 2);
}
extern "C" __global__ void astray(Params p) {
    if (threadIdx.x < 3) __syncthreads();
    else votes(true);
}
extern "C" __global__ void order(Params p) {
    p.sums[0] += 1.0f;
    atomicAdd(p.sums + 1, p.sums[0] * (float)(threadIdx.x + 64 * blockIdx.x));
    if (atomicCAS(p.out, -1, (int)(threadIdx.x + 64 * blockIdx.x)) == -1) atomicMax(p.out + 1, 7);
}
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    source = tmp_path / "known.cu"
    source.write_text(_KERNELS)
    return Program(source, ("places", "barriers", "warps", "astray", "order"), "a test", structs=(_Params,))


def _run(
    program: Program, kernel: str, blocks: tuple[int, int, int], threads: int, size: int, **how: bool
) -> list[int]:
    out, sums = (ctypes.c_int * size)(*[-1] * size), (ctypes.c_float * 2)()
    params = _Params(ctypes.addressof(out), ctypes.addressof(sums))
    emulator.load(program, **how).launcher(kernel, blocks, threads)(0, parameters_of(params))
    return [*out, *sums]


@pytest.mark.parametrize("backwards", [False, True])
def test_places(program: Program, backwards: bool) -> None:
    out = _run(program, "places", (2, 3, 2), 40, 480, backwards=backwards)[:480]
    assert out == [
        z * 1000000 + y * 10000 + x * 100 + t for z in (0, 1) for y in range(3) for x in (0, 1) for t in range(40)
    ]


@pytest.mark.parametrize("backwards", [False, True])
def test_barriers(program: Program, backwards: bool) -> None:
    out = _run(program, "barriers", (2, 1, 1), 70, 420, backwards=backwards)[:420]
    assert out == [number for b in (0, 1) for t in range(70) for number in (69 - t + 100 * b, 70 + 35000, 1)]


@pytest.mark.parametrize("backwards", [False, True])
def test_warps(program: Program, backwards: bool) -> None:
    out = torch.tensor(_run(program, "warps", (1, 1, 1), 64, 448, backwards=backwards)[:448]).view(64, 7).tolist()
    for t, row in enumerate(out):
        first, lane, present = t & ~31, t & 31, 32 if t < 32 else 16

        def bits(those: list[int]) -> int:
            return ctypes.c_int32(sum(1 << (k & 31) for k in those)).value

        if t >= 48:
            assert row == [-1] * 7
            continue
        group = range(first, first + present)
        assert row[:4] == [bits([k for k in group if k % 3 == 0]), first + 5, t ^ 3, t if lane < 2 else t - 2]
        assert row[4:6] == [t if lane % 4 == 3 else t + 1, bits([k for k in group if k // 5 == t // 5])]
        assert row[6] == (0b10101010 if lane < 8 else -1)


def test_threads_that_wait_for_others_that_do_not_come(program: Program) -> None:
    for _ in range(2):  # after which the emulator is as good as new
        with pytest.raises(emulator.EmulationError, match="astray.*wait"):
            _run(program, "astray", (1, 1, 1), 8, 1)
    assert _run(program, "places", (1, 1, 1), 3, 3)[:3] == [0, 1, 2]


def test_order(program: Program) -> None:
    assert _run(program, "order", (2, 1, 1), 64, 2) == [0, 7, 128.0, sum((k + 1.0) * k for k in range(128))]
    assert _run(program, "order", (2, 1, 1), 64, 2, backwards=True)[0] == 127


@pytest.mark.parametrize(("before", "count", "shift"), [(False, 11, 0), (True, 10, 4)])
def test_memory_outside_a_tensor(program: Program, before: bool, count: int, shift: int) -> None:
    out = Guards(before).guard(torch.zeros(10, dtype=torch.int32))
    launch = emulator.load(program).launcher
    launch("places", 1, 10)(0, parameters_of(_Params(out.data_ptr(), 0)))
    assert out.tolist() == list(range(10))
    for _ in range(2):
        with pytest.raises(emulator.EmulationError, match="memory"):
            launch("places", 1, count)(0, parameters_of(_Params(out.data_ptr() - shift, 0)))


@pytest.mark.parametrize(
    "module", [interpolate, rasterize, quantized], ids=lambda module: module.__name__.split(".")[-1]
)
@pytest.mark.parametrize("backwards", [False, True])
def test_kernels_of_this_library_pass_their_tests(backwards: bool, module: ModuleType) -> None:
    with emulator.emulated(module.PROGRAM, backwards=backwards), Guards(backwards):
        module._self_test(torch.device("cpu"))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("size", [0.1, 3.0])
def test_dense_triangles_that_are_handed_over_in_several_rounds(backwards: bool, size: float) -> None:
    # More of a block's triangles than it has threads are kept, and most of these are larger than a thread draws itself.
    pos, tri = scenes.soup(1_300, size, seed=3, behind=0.1)
    options = RasterOptions((6, 6))
    assert is_dense(len(tri), 36)
    want, weights, info = rasterize.eager.rasterize(pos[None], tri, options)
    with emulator.emulated(rasterize.PROGRAM, backwards=backwards):
        found, got, account = rasterize._run(pos[None], tri, options)
    assert torch.equal(found, want) and int(account.invalid) == int(info.invalid)
    torch.testing.assert_close(got, weights, rtol=0, atol=2e-7, equal_nan=True)
