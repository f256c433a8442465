"""Recipes give what the functions give that they call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rasterizer.batch import work
from rasterizer.batch.jobs import Job
from rasterizer.batch.output import Output
from rasterizer.batch.recipes import RECIPES, complete, groups
from rasterizer.batch.recipes.parameters import cameras_of, views_of
from rasterizer.batch.work import Worker, check_device, do_job
from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.files import load_mesh, save_mesh
from rasterizer.meshes.sample_meshes import sample_mesh, trefoil_knot
from rasterizer.pictures.files import to_pil
from rasterizer.rendering import raster
from rasterizer.rendering.lit import render_mesh
from rasterizer.rendering.maps import render_maps
from rasterizer.runtime.several import Share, over_devices
from tests.support.needs import needs_simplification, needs_xatlas


def done(folder: Path, recipe: str, mesh: str = "torus", views: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
    """What ``done.json`` says of a job ``a``, which must be done."""
    job = Job("a", recipe, mesh, views, complete(recipe, given), "key")
    made = do_job(job, Output(folder), [torch.device("cpu")])
    assert made["what"] == "done", made
    return Output(folder).done("a")


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_render_lit(tmp_path: Path) -> None:
    told = done(tmp_path, "render", size=48, samples=2, cameras=[[30, 20], {"azimuth": 90, "elevation": 0, "fov": 40}])
    assert list(told["files"]) == ["view_01.png", "view_02.png"] and told["result"] == {"faces": 9216, "views": 2}
    wanted = render_mesh(sample_mesh("torus"), [orbit_camera(30, 20)], (48, 48), samples=2).color[0]
    assert (picture(tmp_path / "a" / "view_01.png") == np.asarray(to_pil(wanted))).all()


@pytest.mark.parametrize("attribute", ["lit", "normal"])
def test_render_transparent(tmp_path: Path, attribute: str) -> None:
    done(tmp_path, "render", size=48, samples=1, cameras=1, attribute=attribute, transparent=True)
    alpha = picture(tmp_path / "a" / "view_01.png")[..., 3]
    assert alpha.min() == 0 and alpha.max() == 255 and 0.1 < (alpha > 0).mean() < 0.9


def test_maps(tmp_path: Path) -> None:
    told = done(tmp_path, "maps", size=48, cameras=2, style="hunyuan3d-2.1", perspective=40)
    assert len(told["files"]) == 8
    cameras = cameras_of({"cameras": 2, "perspective": 40})
    wanted = render_maps(sample_mesh("torus"), cameras, (48, 48), "hunyuan3d-2.1")
    for name in ("normal", "position", "depth", "mask"):
        made = picture(tmp_path / "a" / f"{name}_02.png")
        assert (made == np.asarray(to_pil(getattr(wanted, name)[1]))).all()


@pytest.mark.parametrize(
    ("recipe", "given"),
    [("maps", {}), ("render", {"attribute": "normal", "transparent": True})],
    ids=["maps", "render"],
)
def test_views_in_groups_and_over_devices_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, given: dict[str, Any]
) -> None:
    parameters = complete(recipe, {"size": 32, "cameras": 5, **given})
    job = Job("a", recipe, "torus", (), parameters, "key")
    found, drawn = [], []

    def noted(shares: list[Share], *given: Any, **how: Any) -> list[torch.Tensor]:
        drawn.append(len(shares))
        return over_devices(shares, *given, **how)

    monkeypatch.setattr(raster, "over_devices", noted)
    for place, free, devices in (("whole", 1 << 30, 1), ("one by one", 1, 1), ("in pairs", 1, 2), ("over", 1 << 30, 3)):
        monkeypatch.setattr(groups, "free_memory", lambda device, free=free: free)
        (tmp_path / place).mkdir()
        RECIPES[recipe].run(job, tmp_path / place, [torch.device("cpu")] * devices)
        found.append({path.name: path.read_bytes() for path in (tmp_path / place).iterdir()})
    assert len(found[0]) == (20 if recipe == "maps" else 5) and all(files == found[0] for files in found)
    if recipe == "render":
        assert drawn == [2, 2, 3]


def test_a_worker_with_several_devices_shares_its_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    drawn, tested = [], []
    name = f"{device}:0" if device.type in ("cuda", "xpu") else str(device)

    def noted(shares: list[Share], *given: Any, **how: Any) -> list[torch.Tensor]:
        drawn.append([share.device.type for share in shares])
        return over_devices(shares, *given, **how)

    monkeypatch.setattr(raster, "over_devices", noted)
    monkeypatch.setattr(work, "check_device", tested.append)
    monkeypatch.setattr(work.torch, "set_num_threads", lambda count: None)
    job = Job("a", "render", "torus", (), complete("render", {"size": 32, "cameras": 5, "attribute": "normal"}), "key")
    made = []
    for folder, names in (("one", name), ("several", f"{name},{name}")):
        assert Worker(names, 1, str(tmp_path / folder)).do(job.as_dict())["what"] == "done"
        made.append(Output(tmp_path / folder).done("a"))
    assert drawn == [[device.type] * 2] and tested == [torch.device(name)] * 2, "each is tested once"
    assert made[0]["files"] == made[1]["files"] and len(made[0]["files"]) == 5
    assert made[1]["device"] == f"{made[0]['device']}, {made[0]['device']}"


def test_groups_follow_from_what_the_devices_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(groups, "free_memory", lambda device: 4 * 100 * 1000)
    # Of 1000 pixels a fragment of 16 bytes and two results of 4 are 24 000; a quarter of what is free is 100 000.
    parts = list(groups.groups(10, 1000, 4, [cpu]))
    assert parts == [(1, slice(0, 4)), (5, slice(4, 8)), (9, slice(8, 12))]
    assert [part for _, part in groups.groups(10, 1000, 3, [cpu, cpu])] == [slice(0, 4), slice(4, 8), slice(8, 12)]
    assert len(list(groups.groups(3, 10**9, 4, [cpu]))) == 3


@pytest.fixture
def views(tmp_path: Path) -> tuple[str, ...]:
    """Six views of the torus' own texture."""
    done(tmp_path / "views", "render", size=128, attribute="texture")
    return tuple(map(str, sorted((tmp_path / "views" / "a").glob("*.png"))))


def test_bake(tmp_path: Path, views: tuple[str, ...]) -> None:
    told = done(tmp_path, "bake", views=views, size=64, align_views=0, match_colors=False)
    texture, painted = (picture(tmp_path / "a" / f"{name}.png") for name in ("texture", "painted"))
    assert texture.shape == (64, 64, 3) and painted.shape == (64, 64)
    assert told["result"]["views"] == 6 and 0.5 < told["result"]["painted"] <= 1
    assert (texture[painted == 0] == 0).all() and texture[painted > 0].std() > 10
    bare = tmp_path / "bare.ply"
    save_mesh(replace(sample_mesh("torus"), uvs=None, texture=None), bare)
    job = Job("b", "bake", str(bare), views, complete("bake", {"size": 64}), "key")
    assert "recipe texture makes them" in do_job(job, Output(tmp_path), [torch.device("cpu")])["error"]


@pytest.mark.slow
@needs_xatlas
@needs_simplification
def test_texture_of_a_bare_mesh(tmp_path: Path, views: tuple[str, ...]) -> None:
    bare = tmp_path / "bare.ply"
    save_mesh(replace(trefoil_knot(60, 12), uvs=None, texture=None), bare)
    told = done(tmp_path, "texture", str(bare), views, size=128, faces=500, refine=2, method="dilate", quantize=True)
    made = load_mesh(tmp_path / "a" / "a.glb")
    assert told["result"]["faces"] == len(made.faces) == 500 and made.texture.shape == (128, 128, 3)
    assert told["result"]["painted"] + told["result"]["filled"] == pytest.approx(1, abs=0.01)
    assert picture(tmp_path / "a" / "preview.png").std() > 10
    assert b"KHR_mesh_quantization" in (tmp_path / "a" / "a.glb").read_bytes()


@pytest.mark.parametrize(
    ("value", "pictures", "count"), [("hunyuan3d-2", None, 6), (5, None, 5), ("turntable", 7, 7), ([[0, 0]] * 3, 3, 3)]
)
def test_cameras(value: object, pictures: int | None, count: int) -> None:
    assert len(views_of({"cameras": value, "perspective": None}, pictures)) == count
    with pytest.raises(ValueError, match="are 99 pictures"):
        views_of({"cameras": 98, "perspective": None}, 99)


def test_a_device_is_checked(device: torch.device) -> None:
    check_device(device)


def test_a_device_that_draws_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = work.rasterize_mesh
    monkeypatch.setattr(
        work, "rasterize_mesh", lambda *given: replace(drawn(*given), findices=torch.zeros(1, 1, 64, 64))
    )
    with pytest.raises(RuntimeError, match="otherwise than the CPU"):
        check_device(torch.device("cpu"))
