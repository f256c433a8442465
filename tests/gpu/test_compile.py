"""The compile step for both vendors, which needs no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from rasterizer.backends.kernels import interpolate, quantized, rasterize
from rasterizer.backends.kernels.diff import antialias, coverage, mipmaps, texture, topology
from rasterizer.backends.kernels.diff import interpolate as diff_interpolate
from rasterizer.backends.kernels.diff import rasterize as diff_rasterize
from rasterizer.gpu import cache, platforms, program
from rasterizer.hierarchy import kernels, surface_kernels
from rasterizer.rendering import map_kernels
from rasterizer.texturing.bake import kernels as baking
from rasterizer.texturing.fill import kernels as filling

PROGRAMS = [
    pytest.param(module.PROGRAM, id=f"{module.PROGRAM.source.parent.name}/{module.PROGRAM.source.stem}")
    for module in (
        rasterize,
        interpolate,
        kernels,
        surface_kernels,
        map_kernels,
        baking,
        filling,
        coverage,
        diff_rasterize,
        diff_interpolate,
        antialias,
        topology,
        mipmaps,
    )
] + [
    pytest.param(quantized.PROGRAM, id="kernels/rasterize-quantized"),
    *(
        pytest.param(made, id=f"{made.source.stem}-{boundary}")
        for programs in (texture.FORWARD, texture.BACKWARD)
        for boundary, made in programs.items()
    ),
]


@pytest.mark.parametrize("source", PROGRAMS)
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_compiles_for_nvidia(architecture: str, source: program.Program) -> None:
    try:
        cuda = platforms.Cuda()
    except OSError as error:
        pytest.skip(f"no NVRTC here: {error}")
    code = cuda.compile(source.text(), cuda.options(architecture))
    assert code[:4] == b"\x7fELF" and all(name.encode() in code for name in source.kernels)


@pytest.mark.slow
@pytest.mark.parametrize("source", PROGRAMS)
@pytest.mark.parametrize("architecture", ["gfx906", "gfx1030"])
def test_compiles_for_amd(architecture: str, source: program.Program) -> None:
    try:
        hip = platforms.Hip()
        hip.version()
    except (OSError, AttributeError) as error:
        pytest.skip(f"no hipRTC here: {error}")
    code = hip.compile(source.text(), hip.options(architecture))
    assert b"amdgcn" in code and all(name.encode() in code for name in source.kernels)


@pytest.mark.parametrize(("make", "architecture"), [(platforms.Cuda, "sm_75"), (platforms.Hip, "gfx1030")])
def test_compile_errors_carry_the_log(make: type, architecture: str) -> None:
    try:
        target = make()
    except OSError as error:
        pytest.skip(f"no run-time compiler here: {error}")
    with pytest.raises(platforms.CompileError, match="undeclared_name"):
        source = 'extern "C" __global__ void f(int* p) { *p = undeclared_name; }'
        target.compile(source, target.options(architecture))


def test_compile_errors_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        target = platforms.Cuda()  # hipRTC takes a name too, and says another in its log
    except OSError as error:
        pytest.skip(f"no run-time compiler here: {error}")
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "kernels")
    source = tmp_path / "broken.cu"
    source.write_text("int f() { return undeclared_name; }")
    with pytest.raises(platforms.CompileError, match="broken.cu.*undeclared_name"):
        program.Program(source, (), "a test").compiled(target, "sm_75")
