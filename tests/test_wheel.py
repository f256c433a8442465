"""``pip install .`` gives the library, whole and alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PARTS = ("rasterizer", "pyproject.toml", "README.md", "LICENSE")


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_folder(tmp_path: Path) -> None:
    source, site, empty = tmp_path / "source", tmp_path / "site", tmp_path / "empty"
    for part in PARTS:  # building leaves folders beside what it builds
        kind = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        (source / part).parent.mkdir(parents=True, exist_ok=True)
        kind(ROOT / part, source / part)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(tmp_path), str(source)], check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("torch_rasterizer-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(site)
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rasterizer").rglob("*") if path.is_file()}
    assert names == {name for name in there if name.endswith((".py", ".cu", ".comp", ".glsl", ".spv", "py.typed"))}
    assert {Path(name).suffix for name in names} == {".py", ".cu", ".comp", ".glsl", ".spv", ".typed"}
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "rasterizer", "demo"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (made,) = empty.iterdir()
    assert made.name == "demo_output" and list(made.glob("*.glb")) and list(made.glob("*.png"))


def test_extras() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.search(r"^\[project.optional-dependencies\]\n(.*?)^\[", text, re.MULTILINE | re.DOTALL).group(1)
    named = dict(re.findall(r"^(\w+) = \[(.*)\]$", extras, re.MULTILINE))
    assert set(named) == {"dev", "hunyuan3d", "draco", "browser", "ray"}
    lines = (ROOT / "tests" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for tool in ("ruff", "mypy"):  # one version for all who check the same code
        (pinned,) = [line for line in lines if line.startswith(f"{tool}==")]
        assert f'"{pinned}"' in named["dev"]
