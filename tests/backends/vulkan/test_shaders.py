"""The compiled shaders are those of the sources, and no driver may contract what they compute."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rasterizer.backends.vulkan.pipelines import FOLDER
from rasterizer.backends.vulkan.spirv import instructions, rounding_to_even

SHADERS = sorted(file.stem for file in FOLDER.glob("*.comp"))
_COMPILER = 2  # word of the header that names the compiler and its version
_ARITHMETIC = {127, 129, 131, 133, 136, 140, 141, 142, 143, 144, 145, 146, 148}  # OpFNegate to OpDot, of floats
_FMA, _NO_CONTRACTION = 50, 42


def _code(name: str) -> bytes:
    return (FOLDER / f"{name}.spv").read_bytes()


def test_every_shader_is_compiled() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.spv")) == SHADERS and len(SHADERS) == 5


@pytest.mark.parametrize("name", SHADERS)
def test_nothing_may_be_contracted(name: str) -> None:
    found = instructions(_code(name))
    decorated = {each[1] for each in found if each[0] & 0xFFFF == 71 and each[2] == _NO_CONTRACTION}
    computed = {each[2] for each in found if each[0] & 0xFFFF in _ARITHMETIC - {127}}
    assert computed <= decorated
    assert (len(computed) > 10) == (name != "interpolate")
    assert not [each for each in found if each[0] & 0xFFFF == 12 and each[4] == _FMA]


@pytest.mark.parametrize("name", SHADERS)
def test_recompiled_they_are_the_same(name: str, tmp_path: Path) -> None:
    """``UPDATE_SHADERS=1`` writes them."""
    compiler = shutil.which("glslangValidator")
    if compiler is None:
        pytest.skip("no glslangValidator: it is in the Vulkan SDK, and Debian's glslang-tools")
    made = tmp_path / "made.spv"
    options = ["-V", "-g0", "--target-env", "vulkan1.0"]
    subprocess.run([compiler, *options, str(FOLDER / f"{name}.comp"), "-o", str(made)], check=True, capture_output=True)
    code = made.read_bytes()
    if os.environ.get("UPDATE_SHADERS"):
        (FOLDER / f"{name}.spv").write_bytes(code)
    ours = _code(name)
    if code[4 * _COMPILER : 4 * _COMPILER + 4] != ours[4 * _COMPILER : 4 * _COMPILER + 4]:
        pytest.skip("no glslangValidator of the version that made them: another makes other code of the same source")
    assert code == ours


@pytest.mark.parametrize("name", SHADERS)
def test_the_rounding_that_is_asked_for(name: str, tmp_path: Path) -> None:
    code, plain = rounding_to_even(_code(name)), instructions(_code(name))
    more = [each for each in instructions(code) if each not in plain]
    assert [each[0] & 0xFFFF for each in more] == [17, 10, 16] and more[0][1] == 4467 and more[2][2:] == (4462, 32)
    assert len(instructions(code)) == len(plain) + 3
    checker = shutil.which("spirv-val")
    if checker is None:
        pytest.skip("no Vulkan tools: spirv-val is in Debian's spirv-tools")
    (tmp_path / "code.spv").write_bytes(code)
    subprocess.run([checker, "--target-env", "vulkan1.1", str(tmp_path / "code.spv")], check=True)
