"""The baking nodes where memory is short."""

from __future__ import annotations

from types import SimpleNamespace

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
