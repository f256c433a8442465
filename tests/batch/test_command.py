"""The command ``batch`` as a person uses it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rasterizer.batch import cluster, hardware, local, reading
from rasterizer.batch.jobs import RECIPE_NAMES
from rasterizer.batch.recipes import RECIPES
from rasterizer.cli import main as cli
from rasterizer.meshes.files import load_mesh, save_mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from tests.support.batch import manifest_of
from tests.support.paths import ROOT


def batch(*words: object) -> int:
    return cli.main(["batch", *map(str, words)])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have manifests read by this process: another takes seconds to start."""
    monkeypatch.setattr(
        reading, "_answers", lambda given: json.loads(json.dumps(list(reading.answers(json.loads(json.dumps(given))))))
    )


@pytest.mark.slow
def test_from_a_folder_of_meshes_to_textured_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "meshes", tmp_path / "out"
    save_mesh(sample_mesh("torus"), folder / "ring.glb")
    assert batch("scan", folder) == 0
    render = ("-o", out / "views", "--recipe", "render", "--set", "attribute=texture", "--set", "size=96")
    assert batch(folder / "manifest.jsonl", *render, "--workers", 1, "--device", "cpu") == 0
    (out / "views" / "ring").rename(folder / "ring_views")
    assert batch("scan", folder, "-o", tmp_path / "m.jsonl") == 0
    assert f"--root {folder}" in capsys.readouterr().out
    texture = (tmp_path / "m.jsonl", "--root", folder, "-o", out / "made", "--recipe", "texture", "--set", "size=128")
    assert batch(*texture, "--workers", 1, "--device", "cpu") == 0
    made = load_mesh(out / "made" / "ring" / "ring.glb")
    assert made.texture.shape == (128, 128, 3) and len(made.faces) == len(sample_mesh("torus").faces)
    assert np.asarray(Image.open(out / "made" / "ring" / "preview.png")).std() > 10
    assert batch("status", out / "made") == 0 and "1 done, 0 failed, 0 left" in capsys.readouterr().out
    assert batch("report", out / "made", "-o", tmp_path / "report") == 0
    assert (tmp_path / "report" / "contact_sheet_01.png").is_file()
    capsys.readouterr()
    assert batch(*texture, "--device", "cpu") == 0 and "1 were done before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gone.jsonl", "-o", "out", "--recipe", "maps"), "gone.jsonl"),
        (("m.jsonl", "-o", "out"), "--recipe: is needed"),
        (("m.jsonl", "--recipe", "maps"), "--output: is needed"),
        (("m.jsonl", "x", "-o", "out", "--recipe", "maps"), "is followed by 'x'"),
        (("m.jsonl", "-o", "out", "--recipe", "maps", "--set", "sise=3"), "'sise' is unknown"),
        (("m.jsonl", "-o", "out", "--recipe", "maps", "--set", "size=big"), "size: is 'big'"),
        (("m.jsonl", "-o", "out", "--recipe", "maps", "--device", "tpu9"), "--device: 'tpu9' cannot be used"),
        (("m.jsonl", "-o", "m.jsonl", "--recipe", "maps"), "m.jsonl"),
        (("m.jsonl", "-o", "out", "--recipe", "maps", "--address", "auto"), "expected none without --engine ray"),
        (("m.jsonl", "-o", "out", "--recipe", "maps", "--engine", "ray"), "pip install '.[ray]'"),
        (
            ("m.jsonl", "-o", "out", "--recipe", "maps", "--device", "cpu", "--gpus-per-worker", "2"),
            "is 2, and there is no",
        ),
        (
            ("m.jsonl", "-o", "out", "--recipe", "maps", "--per-gpu", "3", "--gpus-per-worker", "2"),
            "--gpus-per-worker: is 2 with --per-gpu 3",
        ),
        (("bad.jsonl", "-o", "out", "--recipe", "maps"), "no line that can be used"),
        (("scan", "gone"), "gone: is no folder"),
        (("scan", "empty"), "empty: has no mesh file"),
        (("status", "empty"), "empty: is no output folder of a batch"),
        (("report", "empty"), "--output: is needed"),
    ],
)
@pytest.mark.usefixtures("at_once")
def test_wrong_use_is_one_line_and_exit_code_2(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "absent", lambda name: "not installed")
    monkeypatch.setattr(local.LocalEngine, "start", lambda self, place: pytest.fail("a worker was started"))
    manifest_of(tmp_path, {"id": "a", "mesh": "torus"}).rename("m.jsonl")
    manifest_of(tmp_path, {"id": "a", "mesh": "gone.glb"}).rename("bad.jsonl")
    Path("empty").mkdir()
    assert batch(*words) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "options", [("--recipe", "fly"), ("--workers", "0"), ("--timeout", "-1"), ("--set", "size"), ("--retry", "all")]
)
def test_usage_errors(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        batch("m.jsonl", "-o", "out", *options)
    assert stop.value.code == 2 and "usage" in capsys.readouterr().err


def test_recipes_are_named() -> None:
    assert tuple(RECIPES) == RECIPE_NAMES


def test_what_lives_as_long_as_a_batch_has_no_pytorch() -> None:
    words = ["batch", "m.jsonl", "-o", "out", "--recipe", "render"]
    code = (
        f"import sys; from rasterizer.cli import main; main._parser({words}).parse_args({words}); print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    modules = set(said.split())
    assert "rasterizer.batch.driver" in modules and not {"torch", "numpy", "ray"} & modules


def test_a_reader_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reader.py").write_text("import sys; sys.exit(3)")
    monkeypatch.setattr(reading, "_READER", tmp_path / "reader.py")
    with pytest.raises(RuntimeError, match="ended with code 3"):
        reading.read_apart(tmp_path / "m.jsonl", "maps", {})


def test_status_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".batch").mkdir()
    assert batch("status", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"done": 0, "failed": 0, "left": 0}


def test_names_that_an_old_encoding_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of Windows, where output goes to a file."""
    (tmp_path / "椅子" / ".batch").mkdir(parents=True)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert batch("status", tmp_path / "椅子") == 0
    sys.stdout.flush()
    assert rb"\u6905\u5b50: 0 done" in sys.stdout.buffer.getvalue()


def test_workers_are_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = local.Output(tmp_path)
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    monkeypatch.setattr(hardware.torch.cuda, "device_count", lambda: 2)
    assert hardware.devices(None) == hardware.devices("cuda") == ["cuda:0", "cuda:1"]
    assert hardware.devices("cuda:1") == ["cuda:1"] and hardware.devices("cpu") == ["cpu"]
    with pytest.raises(ValueError, match="'cuda:2' cannot be used"):
        hardware.devices("cuda:2")
    assert local.LocalEngine(output, ["cuda:0", "cuda:1"]).places == ("cuda:0", "cuda:1")
    two = local.LocalEngine(output, ["cuda:0", "cuda:1"], per_gpu=2)
    assert sorted(two.places) == ["cuda:0 (1)", "cuda:0 (2)", "cuda:1 (1)", "cuda:1 (2)"]
    assert len(local.LocalEngine(output, ["cpu"]).places) == 4
    assert local.LocalEngine(output, ["cpu"], workers=1).places == ("cpu",)
    with pytest.raises(ValueError, match=r"is 2, and there is 1 GPU to have workers on \(cuda:1\)"):
        hardware.devices("cuda:1", 2)
    monkeypatch.setattr(hardware.torch.cuda, "device_count", lambda: 5)
    assert (pairs := hardware.devices(None, 2)) == ["cuda:0,cuda:1", "cuda:2,cuda:3"], "one GPU is no pair"
    assert local.LocalEngine(output, pairs).places == tuple(pairs)
    assert local.LocalEngine(output, pairs, workers=1).places == ("cuda:0,cuda:1",)
    with pytest.raises(ValueError, match="is 6, and there is 5 GPUs"):
        hardware.devices(None, 6)
    monkeypatch.setattr(hardware.torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match="has no such device"):
        hardware.devices("cuda")
