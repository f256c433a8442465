"""Structs and constants that Python shares with GPU programs: the same for both, and part of what is compiled."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
import torch

from rasterizer.backends.kernels import interpolate, rasterize
from rasterizer.gpu import cache, platforms
from rasterizer.gpu.program import Program
from rasterizer.gpu.structs import Struct, c_text, struct
from rasterizer.hierarchy import kernels as hierarchy
from rasterizer.hierarchy import surface_kernels as surface
from rasterizer.rendering import map_kernels as maps
from rasterizer.texturing.bake import kernels as bake
from rasterizer.texturing.fill import kernels as filling

PROGRAMS = [
    pytest.param(one.PROGRAM, id=f"{one.PROGRAM.source.parent.name}/{one.PROGRAM.source.stem}")
    for one in (rasterize, interpolate, hierarchy, surface, maps, bake, filling)
]  # each struct is in one of them
Target = tuple[platforms.Platform, str]


@pytest.fixture(params=[(platforms.Cuda, "sm_80"), (platforms.Hip, "gfx1030")], ids=["nvidia", "amd"])
def target(request: pytest.FixtureRequest) -> Target:
    """Every run-time compiler that is here."""
    make, architecture = request.param
    try:
        found = make()
        found.version()
    except (OSError, AttributeError) as error:
        pytest.skip(f"no {'NVRTC' if make is platforms.Cuda else 'hipRTC'} here: {error}")
    return found, architecture


def _compile(target: Target, text: str) -> bytes:
    return target[0].compile(text, target[0].options(target[1]), "a_test.cu")


def _knows_offsets(target: Target) -> bool:
    """Whether the compiler says where a field lies; NVRTC of CUDA 13.0 does not."""
    try:
        _compile(target, 'struct S { int a, b; };\nstatic_assert(__builtin_offsetof(S, b) == 4, "");\n')
    except platforms.CompileError:
        return False
    return True


def _checks(target: Target, made: type[Struct]) -> str:
    """Assertions in C that every field lies where it lies for ctypes, or at least is of its size there.

    Sizes alone leave nothing open either: no struct has a hole.
    """
    name = made.__name__
    where = "__builtin_offsetof({name}, {field}) == {place.offset} && " if _knows_offsets(target) else ""
    fields = {field: getattr(made, field) for field, _ in made._fields_}
    lines = [
        f"static_assert({where.format(name=name, field=field, place=place)}"
        f'sizeof((({name}*)0)->{field}) == {place.size}, "{name}.{field}");'
        for field, place in fields.items()
    ]
    return "\n".join(lines) + f'\nstatic_assert(sizeof({name}) == {ctypes.sizeof(made)}, "{name}");\n'


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_fields_lie_where_the_compiler_has_them(program: Program, target: Target) -> None:
    _compile(target, program.text() + "".join(_checks(target, made) for made in program.structs))


def test_a_field_elsewhere_is_noticed(target: Target) -> None:
    program = interpolate.PROGRAM
    wrong = _checks(target, program.structs[0]).replace("== 8", "== 12", 1)
    with pytest.raises(platforms.CompileError, match=r"Params\.\w+|static"):
        _compile(target, program.text() + wrong)


def test_a_size_that_differs_does_not_compile(target: Target) -> None:
    pair = struct("Pair", ("u32", "a, b", "numbers"))
    assert ctypes.sizeof(pair) == 8
    _compile(target, "typedef unsigned int u32;\n" + pair.c_text)
    with pytest.raises(platforms.CompileError, match="Python and this compiler"):
        _compile(target, "typedef unsigned long long u32;\n" + pair.c_text)


@pytest.mark.parametrize("table", [[("int", "a", ""), ("i64", "b", "")], [("i64", "b", ""), ("u16", "a[3]", "")]])
def test_holes_are_refused(table: list[tuple[str, str, str]]) -> None:
    with pytest.raises(TypeError, match="Holed: its fields leave a hole"):
        struct("Holed", *table)


def test_structs_in_structs() -> None:
    inner = struct("Inner", ("u16", "x, y[3]", ""))
    outer = struct("Outer", ("const float*", "place", "where"), (inner, "inner[2]", "two"))
    value = outer(place=1 << 40)
    value.inner[1].y[2] = 65_531
    assert outer.from_buffer_copy(bytes(value)).inner[1].y[2] == 65_531 and value.place == 1 << 40
    assert [outer.inner.offset, ctypes.sizeof(outer)] == [8, 24]
    assert "    Inner inner[2];             // two" in outer.c_text.splitlines()


def test_constants_have_their_types_in_c(target: Target) -> None:
    defines = {"WHOLE": 7, "LONG": 2**63 - 1, "REAL": 0.49999, "LOW": -3}
    checks = "".join(
        f'static_assert({check}, "");\n'
        for check in (
            "WHOLE == 7",
            "sizeof(LONG) == 8",
            "LONG > 0",
            "sizeof(REAL) == 4",
            "REAL == 0.49999f",
            "LOW == -3",
        )
    )
    _compile(target, c_text((), defines) + checks)


def _program(folder: Path, text: str, **shared: object) -> Program:
    (folder / "a_test.cu").write_text(text)
    return Program(folder / "a_test.cu", ("f",), "a test", **shared)


def test_messages_count_the_lines_of_the_source(target: Target, tmp_path: Path) -> None:
    program = _program(tmp_path, 'extern "C" __global__ void f(int* p) {\n    *p = undeclared_name;\n}\n')
    with pytest.raises(platforms.CompileError, match=r"a_test.cu[:(]2.*undeclared_name"):
        _compile(target, program.text())


def test_all_that_is_compiled_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "kernels")
    made = []

    class Compiler:
        def version(self) -> str:
            return "1"

        def options(self, architecture: str) -> list[str]:
            return [architecture]

        def compile(self, source: str, options: list[str], name: str) -> bytes:
            made.append(source)
            return source.encode()

    one, other = (struct("S", ("int", "a", meaning)) for meaning in ("", "other"))
    for structs, defines in (((one,), {"N": 1}), ((one,), {"N": 2}), ((other,), {"N": 2}), ((other,), {"N": 2})):
        _program(tmp_path, "source", structs=structs, defines=defines).compiled(Compiler(), "x")
    assert len(made) == 3 and all("typedef" in text and text.endswith("source\n") for text in made)


def test_addresses_are_of_what_kernels_expect() -> None:
    made = struct("Some", ("const float*", "values", ""), ("unsigned char*", "marks", ""), ("i64", "count", ""))(
        count=3
    )
    device, values = torch.device("cpu"), torch.rand(4, 3)
    made.point(device, values=values, marks=torch.ones(2, dtype=torch.bool))
    assert made.values == values.data_ptr() and made.count == 3
    made.point(device, values=None)
    assert made.values is None and made.marks
    for wrong in (values.double(), values.T, values[:, 1:], torch.empty(4, 3, device="meta")):
        with pytest.raises(TypeError, match=r"^Some\.values: found torch.float.* expected float, contiguous on cpu$"):
            made.point(device, values=wrong)
