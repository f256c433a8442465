"""Bake Views to Texture and Refine Texture on pictures that do not agree, called as ComfyUI calls them."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.pack import cameras, interpolate, rasterize, run

BAKE = {"texture_size": 96, "exponent": 4.0, "max_angle": 75.0, "border": 0}
OFF = {"match_colors": False, "align_views": 0}
REFINE = {"steps": 8, "strength": 1.0, "exponent": 4.0, "max_angle": 75.0, "border": 0}
VIEWS = 6
SIDE = 64


def six(pack: SimpleNamespace, turned: float = 0.0) -> list[dict[str, Any]]:
    """Cameras of which two that are neighbours are turned the other way."""
    places = {
        "azimuths": f"{turned}, {90 - turned}, {180 + turned}, {270 - turned}, {turned}, {180 + turned}",
        "elevations": "0, 0, 0, 0, 90, -90",
        "weights": "1, 1, 1, 1, 1, 1",
    }
    return cameras(pack, preset="custom", **places)[0]


def photograph(pack: SimpleNamespace, mesh: Any, views: Any, side: int = SIDE) -> torch.Tensor:
    """What cameras see of a mesh's own texture."""
    raster = rasterize(pack, mesh, cameras=views, width=side, height=side)[0]
    return interpolate(pack, raster, attribute="texture")[0]


@pytest.fixture
def views(pack: SimpleNamespace) -> list[dict[str, Any]]:
    """The cameras of the bake."""
    return six(pack)


@pytest.fixture
def agreeing(pack: SimpleNamespace, torus: Any, views: Any) -> torch.Tensor:
    """Their pictures."""
    return photograph(pack, torus, views)


@pytest.fixture
def exposed(agreeing: torch.Tensor) -> torch.Tensor:
    """The same, the side views darker."""
    return agreeing * torch.tensor([1.0, 0.8, 1.0, 0.8, 1.0, 1.0])[:, None, None, None]


@pytest.fixture
def said(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the nodes show on themselves."""
    texts: list[str] = []
    monkeypatch.setattr(pack.compat, "show_text", lambda text, node: texts.append(text))
    return texts


class TestBake:
    """Switches, and what comes with them."""

    def test_a_workflow_without_the_switches_gets_the_defaults(self, pack: SimpleNamespace) -> None:
        node = pack.nodes["BakeViews"]
        declared = {entry.id: entry for entry in node.GET_SCHEMA().inputs}
        defaults = {"match_colors": True, "align_views": 3, "blend": "weighted"}
        assert {name: declared[name].default for name in defaults} == defaults
        assert all(declared[name].optional for name in defaults)
        called = inspect.signature(node.execute).parameters
        assert {name: called[name].default for name in defaults} == defaults

    def test_matched_colors_are_nearer_to_the_truth(
        self, pack: SimpleNamespace, torus: Any, views: Any, agreeing: torch.Tensor, exposed: torch.Tensor
    ) -> None:
        inputs = {"mesh": torus, "cameras": views, **BAKE}
        truth, painted, *_ = run(pack, "BakeViews", images=agreeing, **inputs, **OFF)
        errors = []
        for match in (False, True):
            texture = run(pack, "BakeViews", images=exposed, match_colors=match, align_views=0, **inputs)[0]
            texture, wanted = texture[painted > 0], truth[painted > 0]
            errors.append(float((texture * (wanted.mean(0) / texture.mean(0)) - wanted).square().mean()))
        assert errors[1] < 0.3 * errors[0]

    def test_agreed_images_and_report(
        self, pack: SimpleNamespace, torus: Any, views: Any, exposed: torch.Tensor, said: list[str]
    ) -> None:
        inputs = {"mesh": torus, "images": exposed, "cameras": views, **BAKE}
        *_, view_map, agreed, report = run(pack, "BakeViews", **inputs, **OFF)
        assert torch.equal(agreed, exposed)
        assert " % of the texels painted" in report and "as they came" in report and said == [report]
        *_, agreed, report = run(pack, "BakeViews", match_colors=True, align_views=1, **inputs)
        assert agreed.shape == exposed.shape
        side, front = (agreed[view].mean() / exposed[view].mean() for view in (1, 0))
        assert side > 1.1 * front
        assert report.count("view ") == VIEWS and report.count("% red") >= 2 and said[1] == report

    def test_agreed_images_are_a_fixed_point_of_the_texture(
        self, pack: SimpleNamespace, torus: Any, views: Any, exposed: torch.Tensor
    ) -> None:
        inputs = {"mesh": torus, "cameras": views, **BAKE}
        texture, *_, agreed, _ = run(pack, "BakeViews", images=exposed, **inputs)
        again = run(pack, "BakeViews", images=agreed, **inputs, **OFF)[0]
        assert float((again - texture).abs().mean()) < 0.003

    def test_map_of_views(self, pack: SimpleNamespace, torus: Any, views: Any, agreeing: torch.Tensor) -> None:
        masks = torch.zeros(VIEWS, 8, 8)
        masks[4] = 1
        texture, painted, *_, view_map, _, _ = run(
            pack, "BakeViews", mesh=torus, images=agreeing, cameras=views, masks=masks, **BAKE, **OFF
        )
        assert view_map.shape == texture.shape and view_map.dtype == torch.float32
        assert (view_map[painted == 0] == 0).all() and 0 < painted.mean() < 0.5
        fifth = torch.tensor([0x00, 0x72, 0xB2]) / 255
        assert torch.equal(view_map[painted > 0], fifth.expand(int(painted.sum()), 3))

    def test_the_second_set_moves_along_and_takes_no_gain(self, pack: SimpleNamespace, torus: Any, views: Any) -> None:
        moved = photograph(pack, torus, six(pack, turned=1.5), 160)
        inputs = {"mesh": torus, "images": moved, "cameras": views, "metallic_roughness": moved, **BAKE}
        texture, painted, _, second, *_ = run(pack, "BakeViews", match_colors=False, align_views=2, **inputs)
        torch.testing.assert_close(second, texture, rtol=0, atol=1e-5)
        still = run(pack, "BakeViews", **inputs, **OFF)[0]
        assert float((texture - still).abs().max()) > 0.05, "nothing was moved"
        data = torch.full_like(moved, 0.4)
        second = run(pack, "BakeViews", **{**inputs, "metallic_roughness": data})[3]
        torch.testing.assert_close(second[painted > 0], data.view(-1, 3)[: int(painted.sum())], rtol=0, atol=1e-4)

    def test_a_batch_is_reported_mesh_by_mesh(
        self, pack: SimpleNamespace, torus: Any, views: Any, exposed: torch.Tensor
    ) -> None:
        both = {name: torch.cat([getattr(torus, name)] * 2) for name in ("vertices", "faces", "uvs")}
        outputs = run(
            pack, "BakeViews", mesh=SimpleNamespace(**both), images=torch.cat((exposed,) * 2), cameras=views, **BAKE
        )
        alone = run(pack, "BakeViews", mesh=torus, images=exposed, cameras=views, **BAKE)
        for found, one in zip(outputs[:-1], alone[:-1], strict=True):
            assert torch.equal(found, torch.cat((one, one)))
        assert outputs[-1] == f"Mesh 1 of 2: {alone[-1]}\n\nMesh 2 of 2: {alone[-1]}"

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"blend": "poisson"}, "^blend: is 'poisson', expected one of weighted, sharp"),
            ({"align_views": 99}, "^align_views: is 99, expected a whole number from 0 to"),
            ({"images": torch.full((6, 8, 8, 3), torch.nan)}, "^images: view 1 holds NaN or infinite pixels"),
            ({"align_views": -1}, "^align_views: is -1, expected a whole number from 0 to"),
        ],
    )
    def test_complaints(
        self, pack: SimpleNamespace, torus: Any, views: Any, exposed: torch.Tensor, inputs: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            run(pack, "BakeViews", **{"mesh": torus, "images": exposed, "cameras": views, **BAKE, **inputs})


class TestRefine:
    """A baked texture, sharpened."""

    @pytest.fixture
    def baked(self, pack: SimpleNamespace, torus: Any, views: Any, exposed: torch.Tensor) -> tuple[Any, ...]:
        """What Bake Views to Texture gives for pictures that do not agree."""
        return run(pack, "BakeViews", mesh=torus, images=exposed, cameras=views, **{**BAKE, "texture_size": 192})

    @pytest.fixture
    def inputs(self, torus: Any, views: Any, baked: tuple[Any, ...]) -> dict[str, Any]:
        """Of the node, connected as its help says."""
        texture, painted, *_, agreed, _ = baked
        return {"texture": texture, "painted": painted, "mesh": torus, "images": agreed, "cameras": views, **REFINE}

    def test_gives_back_the_pictures(self, pack: SimpleNamespace, inputs: dict[str, Any], said: list[str]) -> None:
        texture, report = run(pack, "RefineTexture", **inputs)
        assert texture.shape == inputs["texture"].shape and texture.dtype == torch.float32
        unpainted = inputs["painted"] == 0
        assert torch.equal(texture[unpainted], inputs["texture"][unpainted])
        lines = re.findall(r"^view \d: ([\d.]+) to ([\d.]+) of 255$", report, re.MULTILINE)
        assert len(lines) == VIEWS and said == [report]
        before, after = (sum(float(value) for value in column) for column in zip(*lines, strict=True))
        assert after < 0.8 * before

    def test_strength(self, pack: SimpleNamespace, inputs: dict[str, Any]) -> None:
        start, whole = inputs["texture"], run(pack, "RefineTexture", **inputs)[0]
        none = run(pack, "RefineTexture", **{**inputs, "strength": 0.0})[0]
        torch.testing.assert_close(none, start, rtol=0, atol=1e-6)
        half = run(pack, "RefineTexture", **{**inputs, "strength": 0.5})[0]
        assert 0.3 < float((half - start).abs().mean() / (whole - start).abs().mean()) < 0.7

    def test_masks_and_border(self, pack: SimpleNamespace, inputs: dict[str, Any]) -> None:
        hidden = run(pack, "RefineTexture", masks=torch.zeros(1, 8, 8), **inputs)[0]
        assert torch.equal(hidden, inputs["texture"])
        narrow, wide = (run(pack, "RefineTexture", **{**inputs, "border": border})[0] for border in (1, 8))
        assert not torch.equal(narrow, wide)

    def test_a_batch(self, pack: SimpleNamespace, torus: Any, inputs: dict[str, Any]) -> None:
        both = {name: torch.cat([getattr(torus, name)] * 2) for name in ("vertices", "faces", "uvs")}
        twice = {name: torch.cat([inputs[name]] * 2) for name in ("texture", "painted", "images")}
        texture, report = run(pack, "RefineTexture", **{**inputs, **twice, "mesh": SimpleNamespace(**both)})
        one, said = run(pack, "RefineTexture", **inputs)
        assert torch.equal(texture, torch.cat((one, one)))
        assert report == f"Mesh 1 of 2: {said}\n\nMesh 2 of 2: {said}"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"cameras": None}, "^cameras: nothing is connected, expected the cameras that the images were made with"),
            ({"images": torch.zeros(5, 8, 8, 3)}, "^images: found 5 pictures for 6 cameras, expected 6"),
            ({"images": torch.zeros(6, 8, 8)}, r"^images: found \[6, 8, 8\], expected \[B, H, W, 3\]"),
            ({"images": torch.full((6, 8, 8, 3), torch.nan)}, "^images: .* not finite"),
            ({"painted": torch.ones(1, 8, 8)}, "^painted: is 8 x 8, expected 192 x 192, as the texture"),
            ({"texture": torch.zeros(2, 192, 192, 3)}, "^texture: found 2 textures and 1 masks for 1 meshes"),
            ({"masks": torch.ones(2, 8, 8)}, "^masks: found 2, expected 6"),
            ({"strength": -1.0}, "^strength: is -1"),
            ({"steps": 0}, "^steps: is 0"),
        ],
    )
    def test_complaints(
        self, pack: SimpleNamespace, inputs: dict[str, Any], change: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            run(pack, "RefineTexture", **{**inputs, **change})

    def test_a_mesh_without_uvs(self, pack: SimpleNamespace, torus: Any, inputs: dict[str, Any]) -> None:
        bare = SimpleNamespace(vertices=torus.vertices, faces=torus.faces)
        with pytest.raises(ValueError, match="^mesh has no UV coordinates"):
            run(pack, "RefineTexture", **{**inputs, "mesh": bare})
