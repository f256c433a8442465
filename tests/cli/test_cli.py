"""The command line as a person uses it: files, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rasterizer.cli import main as cli
from rasterizer.diagnostics import diff_speed, selftest, speed
from rasterizer.meshes.files import load_mesh
from tests.support.needs import needs_simplification
from tests.support.paths import ROOT


def _run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_render_writes_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new folder" / "torus.png"
    options = ("--view", "-30,20", "--size", "96x64", "--background", "#102030", "--device", "cpu")
    assert _run("render", "torus", "-o", out, *options) == 0
    image = np.asarray(Image.open(out))
    assert image.shape == (64, 96, 3)
    assert image[0, 0].tolist() == [0x10, 0x20, 0x30] and len(np.unique(image.reshape(-1, 3), axis=0)) > 100
    said = capsys.readouterr().out
    assert str(out) in said and "9216 faces" in said and "batched" in said
    assert [path.name for path in out.parent.iterdir()] == ["torus.png"]


@pytest.mark.parametrize("attribute", ["position", "uv", "depth", "face-id", "texture", "barycentric"])
def test_render_attributes(tmp_path: Path, attribute: str) -> None:
    out = tmp_path / "out.png"
    assert _run("render", "trefoil knot", "-o", out, "--size", 64, "--attribute", attribute, "--perspective", 49) == 0
    assert np.asarray(Image.open(out)).std() > 1


def test_render_lit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lit.png"
    options = ("--size", "64x48", "--attribute", "lit", "--background", "#00ff00", "--view", "30,20")
    assert _run("render", "torus", "-o", out, *options) == 0
    picture = np.asarray(Image.open(out).convert("RGB"))
    assert picture.shape == (48, 64, 3) and picture[0, 0].tolist() == [0, 255, 0]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 300
    assert f"{out}: lit of 9216 faces, 64 x 48" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("render", "missing.glb", "-o", "x.png"), "missing.glb"),
        (("render", "notes.txt", "-o", "x.png"), "expected one of .glb"),
        (("render", "torus", "-o", "x.png", "--size", "0"), "resolution: is 0 x 0"),
        (("render", "torus", "-o", "x.png", "--attribute", "vertex-color"), "'vertex color' but the mesh has none"),
        (("render", "torus", "-o", "x.abc"), "unknown file extension"),
        (("info", "--device", "tpu9"), "--device: 'tpu9' cannot be used"),
        (("info", "--device", "cpu,cpu"), "--device: 'cpu,cpu' cannot be used"),
        (
            ("texture", "torus", "--views", ".", "-o", "x.glb", "--device", "cpu,tpu9"),
            "--device: 'tpu9' cannot be used",
        ),
        (("bench", "--repeats", "0", "--quick"), "--repeats: is 0"),
        (("bench", "--quick", "--save", "x.json"), "--save: goes with --diff"),
        (("bench", "--diff", "--case", speed.QUICK[0]), "goes without --diff"),
        (("bench", "--case", diff_speed.QUICK[0]), "goes with --diff"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no mesh")
    assert _run(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and len(error.splitlines()) == 1
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "arguments", [("render", "torus"), ("render", "torus", "-o", "x.png", "--view", "front"), ("fly",)]
)
def test_usage_errors(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        _run(*arguments)
    assert stop.value.code == 2 and "usage" in capsys.readouterr().err


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("info", "--device", "cpu") == 0
    assert "Backends:" in capsys.readouterr().out
    assert _run("info", "--json", "--device", "cpu") == 0
    assert json.loads(capsys.readouterr().out)["active"] == "torch"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six views of the torus' own texture."""
    folder = tmp_path / "views"
    for number, view in enumerate(("0,0", "90,0", "180,0", "270,0", "0,90", "180,-90")):
        out = folder / f"{number}.png"
        assert _run("render", "torus", "-o", out, "--attribute", "texture", "--view", view, "--size", 192) == 0
    return folder


@pytest.mark.parametrize("name", ["out.glb", "out.obj"])
def test_texture_makes_one_from_pictures(
    tmp_path: Path, pictures: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / name
    assert _run("texture", "torus", "--views", pictures, "-o", out, "--size", 256) == 0
    said = capsys.readouterr().out
    assert str(out) in said and "6 views" in said and "% painted" in said
    again, wanted = tmp_path / "again.png", tmp_path / "wanted.png"
    for mesh, picture in ((out, again), ("torus", wanted)):
        assert _run("render", mesh, "-o", picture, "--attribute", "texture", "--view", "40,30", "--size", 128) == 0
    one, other = (np.asarray(Image.open(path), dtype=float) for path in (again, wanted))
    assert np.abs(one - other).mean() < 3


@needs_simplification
def test_texture_can_lie_on_fewer_faces(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out.glb"
    assert (
        _run("texture", "torus", "--views", pictures, "-o", out, "--size", 128, "--faces", 2000, "--device", "cpu,cpu")
        == 0
    )
    assert len(load_mesh(out).faces) == 2000


def test_texture_can_be_written_with_integers(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, small = tmp_path / "plain.glb", tmp_path / "small.glb"
    call = ("texture", "torus", "--views", pictures, "--size", 64, "-o")
    assert _run(*call, plain) == 0 and _run(*call, small, "--quantize") == 0
    assert small.stat().st_size < plain.stat().st_size - 12 * len(load_mesh(plain).vertices)
    assert _run(*call, tmp_path / "out.obj", "--quantize") != 0
    assert "--quantize" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--no-match-colors", "--align-views", 0), ("--blend", "sharp")])
def test_texture_can_be_refined(
    options: tuple[object, ...], tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    textures = []
    for refine in ((), ("--refine", 4)):
        out, picture = tmp_path / "out.glb", tmp_path / "out.png"
        capsys.readouterr()
        assert _run("texture", "torus", "--views", pictures, "-o", out, "--size", 256, *options, *refine) == 0
        assert ("view 6: " in capsys.readouterr().out) == ("sharp" in options)  # what was changed is said
        assert _run("render", out, "-o", picture, "--attribute", "texture", "--view", "90,0", "--size", 192) == 0
        one, other = (np.asarray(Image.open(path), dtype=float) for path in (picture, pictures / "1.png"))
        assert np.abs(one - other).mean() < 0.5
        textures.append(load_mesh(out).texture)
    assert 0.0005 < (textures[0] - textures[1]).abs().mean() < 0.05


def test_texture_says_what_is_wrong(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.glb"
    (pictures / "5.png").unlink()
    capsys.readouterr()
    assert _run("texture", "torus", "--views", pictures, "-o", out) == 2
    assert "has 5 pictures, expected 6 for hunyuan3d-2" in capsys.readouterr().err
    assert _run("texture", "torus", "--views", pictures, "--cameras", "turntable", "--size", 64, "-o", out) == 0
    (pictures / "5.png").write_bytes(b"no picture")
    assert _run("texture", "torus", "--views", pictures, "-o", out) == 2
    assert "5.png: cannot be read" in capsys.readouterr().err
    Image.new("RGB", (7, 9)).save(pictures / "5.png")
    assert _run("texture", "torus", "--views", pictures, "-o", out) == 2
    assert "5.png: is 7 x 9, expected 192 x 192" in capsys.readouterr().err
    assert _run("texture", "torus", "--views", pictures, "-o", tmp_path / "out.stl") == 2
    assert "expected .glb or .obj" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [False, True])
def test_work_that_fails_is_one_line_and_exit_code_1(
    verbose: bool, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **options: object) -> None:
        raise RuntimeError("xatlas has failed on this mesh: it ended with code 7.\nException raised from here\nframe 0")

    monkeypatch.setattr("rasterizer.cli.texture.unwrap_uv", fail)
    triangle = tmp_path / "triangle.obj"
    triangle.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    capsys.readouterr()
    arguments = ("texture", triangle, "--views", pictures, "-o", tmp_path / "out.glb", "--size", 64)
    assert _run(*arguments, *(["--verbose"] if verbose else [])) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1] == "rasterizer texture: xatlas has failed on this mesh: it ended with code 7."
    assert (len(error) == 1) != verbose and any("Traceback" in line for line in error) == verbose


def test_selftest_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run("selftest", "--device", "cpu") == 0
    assert "Everything agrees" in capsys.readouterr().out
    failing = [selftest.Check("a scene", False, "3 of 9 pixels show another face")]
    monkeypatch.setattr(selftest, "run", lambda device, backend: iter(failing))
    assert _run("selftest") == 1
    assert "FAIL a scene: 3 of 9" in capsys.readouterr().out


def test_bench_measures_every_mode_and_compares_results(capsys: pytest.CaptureFixture[str]) -> None:
    case = speed.QUICK[0]
    assert _run("bench", "--case", case, "--repeats", 1, "--json", "--device", "cpu") == 0
    rows = [row for row in json.loads(capsys.readouterr().out)["rows"] if row["backend"] == "torch"]
    assert [row["mode"] for row in rows] == ["auto", "batched", "tiled"]
    assert all(row["case"] == case and row["milliseconds"] > 0 and row["differing"] == 0 for row in rows)
    assert _run("bench", "--case", case, "--repeats", 1, "--markdown", "--device", "cpu") == 0
    assert "| torch auto | torch batched | torch tiled |" in capsys.readouterr().out.splitlines()[0]


def test_bench_measures_differentiable_primitives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = diff_speed.QUICK[0]
    monkeypatch.setitem(diff_speed.CASES, case, (100, 32, 1))
    arguments = ("bench", "--diff", "--case", case, "--repeats", 1, "--device", "cpu")
    saved = tmp_path / "found.json"
    assert _run(*arguments, "--json", "--save", saved) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(saved.read_text("utf-8"))
    assert [row["step"] for row in document["rows"]] == list(diff_speed.STEPS)
    assert document["steps"]["texture_backward"] == "torch" and document["summary"] == {}
    assert _run(*arguments, "--markdown") == 0
    assert capsys.readouterr().out.startswith(
        "| chain forward and backward; bake | wall ms |\n|---|---:|\n| 20 k, 512²"
    )
    assert _run(*arguments) == 0
    assert "Differentiable primitives by torch: rasterize, rasterize backward," in capsys.readouterr().out


@pytest.mark.slow
def test_demo_as_the_readme_says(tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", "rasterizer", "demo", str(out)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str((out / "contact_sheet.png").resolve()) in done.stdout and " ms" in done.stdout
    pictures = list(out.glob("*.png"))
    assert len(pictures) == 27
    assert load_mesh(out / "textured.glb").texture.shape == (1024, 1024, 3)
    numbers = re.search(r"(\d+\.\d)% of.*?(\d+\.\d) dB", done.stdout, re.DOTALL)
    assert float(numbers[1]) > 80 and float(numbers[2]) > 35
    sheet = np.asarray(Image.open(out / "contact_sheet.png"))
    assert sheet.shape[1] > sheet.shape[0] > 500 and sheet.std() > 20


@pytest.mark.slow
def test_runs_by_its_path_where_python_ignores_the_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(ROOT / "rasterizer"), "info", "--device", "cpu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "Backends:" in done.stdout, done.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["no-such-command"]])
def test_what_asks_for_no_work_does_not_wait_for_pytorch(words: list[str]) -> None:
    code = f"""
import sys
from rasterizer.cli.main import main
try:
    main({words!r})
except SystemExit:
    sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
