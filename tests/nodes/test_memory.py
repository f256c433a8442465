"""The baking nodes where memory is short."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.pack import cameras, run


def test_a_bake_and_a_fill_that_cannot_fit(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack.need, "free_memory", lambda device: 7 << 30)
    mesh = run(pack, "LoadMesh", mesh_file="sample: torus")[0]
    views = cameras(pack)[0]
    with pytest.raises(ValueError, match=r"^texture_size: 16384 x 16384 texels need .* would fit\.$"):
        run(
            pack,
            "BakeViews",
            mesh=mesh,
            images=torch.rand(len(views), 64, 64, 3),
            cameras=views,
            texture_size=16384,
            exponent=4.0,
            max_angle=75.0,
            border=0,
        )
    texture, painted = torch.zeros(1, 1, 1, 3).expand(1, 16384, 16384, 3), torch.ones(1, 1, 1).expand(1, 16384, 16384)
    with pytest.raises(ValueError, match=r"^texture: 16384 x 16384 texels need .* would fit\.$"):
        run(pack, "FillTexture", texture=texture, painted=painted, mesh=mesh, method="dilate")


def test_a_graphics_card_that_is_too_small_gives_way_to_the_cpu(
    pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = pack.runtime
    monkeypatch.setattr(runtime.management, "get_torch_device", lambda: torch.device("meta"))
    tried = []

    def bake(device: torch.device) -> str:
        tried.append(device.type)
        if len(tried) == 1:
            raise pack.need.TooLargeError("texture_size: does not fit")
        return "baked"

    assert runtime.compute(bake) == "baked" and tried == ["meta", "cpu"]
    tried.clear()
    monkeypatch.setattr(runtime.management, "get_torch_device", lambda: torch.device("cpu"))
    with pytest.raises(ValueError, match="^texture_size: does not fit"):
        runtime.compute(bake)


def test_grids_that_do_not_fit_together(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    grids = importlib.import_module(f"{pack.need.__name__.rpartition('.texturing')[0]}.pictures.grids")
    monkeypatch.setattr(grids, "free_memory", lambda device: 2 * 4 * 32 * 32 * 4 * 9)
    values = {"views": 4, "columns": 0, "padding": 0, "size": 32}
    assert run(pack, "GridToViews", grid=torch.rand(2, 64, 64, 3), **values)[0].shape == (8, 32, 32, 3)
    with pytest.raises(ValueError, match=r"^size: 12 views of 32 x 32 need .* expected 24 or less$"):
        run(pack, "GridToViews", grid=torch.rand(3, 64, 64, 3), **values)


def test_refining_asks_for_what_it_needs(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = run(pack, "LoadMesh", mesh_file="sample: torus")[0]
    views = cameras(pack)[0]
    asked = []

    def compute(call: Any, need: int = 0) -> Any:
        asked.append(need)
        return call(torch.device("cpu"))

    monkeypatch.setattr(pack.runtime, "compute", compute)
    trust = {"exponent": 4.0, "max_angle": 75.0, "border": 0}
    texture = {"texture": torch.rand(1, 64, 64, 3), "painted": torch.ones(1, 64, 64), "mesh": mesh}
    for side in (32, 64):
        images = torch.rand(len(views), side, side, 3)
        run(pack, "RefineTexture", **texture, images=images, cameras=views, steps=1, strength=1.0, **trust)
    # What is always needed, and then so much for each pixel.
    assert 64 << 20 < asked[0] < asked[1] and asked[1] - asked[0] > 6 * (64**2 - 32**2) * 4 * (3 + 36)
