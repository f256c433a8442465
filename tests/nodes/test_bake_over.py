"""Bake Views to Texture onto a texture that is there, called as ComfyUI calls it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.pack import cameras, interpolate, rasterize, run

SIDE = 64
BAKE = {"texture_size": SIDE, "exponent": 4.0, "max_angle": 75.0, "border": 0, "match_colors": False, "align_views": 0}


@pytest.fixture
def given(pack: SimpleNamespace, torus: Any) -> dict[str, Any]:
    """A picture from the front, and what to bake it with."""
    views = cameras(pack, preset="turntable", views=1)[0]
    pictures = interpolate(pack, rasterize(pack, torus, cameras=views)[0], attribute="position")[0]
    return {"mesh": torus, "images": pictures, "cameras": views, **BAKE}


@pytest.fixture
def base() -> torch.Tensor:
    return torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))


def test_a_part_is_painted_and_the_rest_kept(pack: SimpleNamespace, given: dict[str, Any], base: torch.Tensor) -> None:
    alone, seen, sure, *_ = run(pack, "BakeViews", **given)
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, :, :20] = 1
    texture, painted, confidence, second, view_map, agreed, report = run(
        pack, "BakeViews", base_texture=base, paint_mask=mask, **given
    )
    there = (seen > 0) & (mask > 0)
    assert there.any() and (painted == 1).all() and torch.equal(texture[there], alone[there])
    # The sample's layout leaves a margin of one texel, which is a gutter.
    inner = torch.zeros_like(there)
    inner[:, 2:-2, 2:-2] = True
    assert torch.equal(texture[inner & ~there], base[inner & ~there])
    assert torch.equal(confidence, sure * there) and ((view_map > 0).any(-1) == there).all() and not second.any()
    assert torch.equal(agreed, given["images"])
    assert re.match(r"\d+ % of the texels painted anew, the others as in base_texture\.", report)
    filled, _ = run(pack, "FillTexture", texture=texture, painted=painted, mesh=given["mesh"], method="surface")
    assert torch.equal(filled, texture), "there is nothing to fill"


def test_masks_of_any_size(pack: SimpleNamespace, given: dict[str, Any], base: torch.Tensor) -> None:
    half = torch.zeros(8, 8)
    half[:, :4] = 1
    texture = run(pack, "BakeViews", base_texture=base, paint_mask=half, **given)[0]
    assert torch.equal(texture[:, 2:-2, 40:-2], base[:, 2:-2, 40:-2])
    texture = run(pack, "BakeViews", base_texture=base, masks=torch.zeros(1, 8, 8), **given)[0]
    assert torch.equal(texture, base)


def test_with_a_second_set(pack: SimpleNamespace, given: dict[str, Any], base: torch.Tensor) -> None:
    sets = {"metallic_roughness": 1 - given["images"], "base_metallic_roughness": 1 - base}
    texture, _, _, second, *_ = run(pack, "BakeViews", base_texture=base, **sets, **given)
    torch.testing.assert_close(second, 1 - texture, rtol=0, atol=1e-5)


def test_a_texture_that_is_not_square(pack: SimpleNamespace, given: dict[str, Any], base: torch.Tensor) -> None:
    assert run(pack, "BakeViews", base_texture=base[:, :32], **given)[0].shape == (1, 32, SIDE, 3)


def test_a_batch(pack: SimpleNamespace, given: dict[str, Any], base: torch.Tensor) -> None:
    mesh, images = given.pop("mesh"), given.pop("images")
    both = SimpleNamespace(**{name: torch.cat([getattr(mesh, name)] * 2) for name in ("vertices", "faces", "uvs")})
    bases, paints = torch.cat((base, 1 - base)), torch.stack((torch.ones(SIDE, SIDE), torch.zeros(SIDE, SIDE)))
    pictures = torch.cat((images, images))
    found = run(pack, "BakeViews", mesh=both, images=pictures, base_texture=bases, paint_mask=paints, **given)[0]
    alone = run(pack, "BakeViews", mesh=mesh, images=images, base_texture=base, **given)[0]
    assert torch.equal(found[:1], alone) and torch.equal(found[1:], 1 - base)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"paint_mask": torch.ones(1, 8, 8)}, "^paint_mask: is connected without base_texture, expected both; Mesh to"),
        ({"base_metallic_roughness": torch.ones(1, 8, 8, 3)}, "^base_metallic_roughness: is connected without base_te"),
        (
            {"base_texture": torch.ones(1, 128, 32, 3)},
            "^texture_size: is 64, but base_texture is 32 x 128; set texture_size to 128, or put Upscale Image between",
        ),
        ({"base_texture": torch.ones(2, 64, 64, 3)}, r"^base_texture: found \[2, 64, 64, 3\], expected \[1 or 1, H, W"),
        (
            {"base_texture": torch.ones(1, 64, 64, 3), "paint_mask": torch.ones(3, 64, 64)},
            "^paint_mask: found 3, expected 1",
        ),
        (
            {"base_texture": torch.ones(1, 64, 64, 3), "base_metallic_roughness": torch.ones(1, 64, 64, 3)},
            "^metallic_roughness: is not connected, but base_texture and base_metallic_roughness are; expected both",
        ),
    ],
)
def test_complaints(pack: SimpleNamespace, given: dict[str, Any], inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(pack, "BakeViews", **given, **inputs)


def test_complaints_about_the_second_set(pack: SimpleNamespace, given: dict[str, Any], base: torch.Tensor) -> None:
    given["metallic_roughness"] = given["images"]
    with pytest.raises(ValueError, match="^base_metallic_roughness: is not connected, but base_texture and metallic_"):
        run(pack, "BakeViews", base_texture=base, **given)
    with pytest.raises(ValueError, match="^base_metallic_roughness: is 32 x 64, expected 64 x 64, as base_texture"):
        run(pack, "BakeViews", base_texture=base, base_metallic_roughness=base[:, :, :32], **given)
